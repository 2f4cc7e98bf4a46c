"""The lanes of this installation: one per API key in the settings."""

from collections.abc import Iterator
from dataclasses import dataclass

from db.records import lanes
from db.session import Database
from domain.errors import ServiceMissing, UnknownThing
from providers.catalogue import load
from providers.lane import HttpLane
from providers.openai.words import Rates, WordsClient
from providers.registry import is_synchronous, open_lane, service
from runtime.settings import Settings

#: The address of a stand-in that is not there.
NOWHERE = "http://sandbox.invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """The settings of one lane; its repr hides key and secret."""

    name: str
    provider: str
    base_url: str | None
    key: str | None
    rate_limit: str
    concurrency: int
    concurrency_said: bool = False
    submit_total_s: float | None = None
    webhook_secret: str | None = None

    def __repr__(self) -> str:
        return f"LanePlan({self.name!r}, {self.provider!r}, {self.base_url!r})"


def lane_plans(settings: Settings) -> Iterator[LanePlan]:
    """Every lane that the settings have a key for, or an address where no key is needed."""
    for provider, known in settings.services.items():
        for number, key in enumerate(known.keys, start=1):
            yield LanePlan(
                name=provider if number == 1 else f"{provider}-{number}",
                provider=provider,
                base_url=known.base_url,
                key=key,
                rate_limit=known.rate_limit,
                concurrency=known.concurrency,
                concurrency_said=known.concurrency_said,
                submit_total_s=known.submit_total_s,
                webhook_secret=known.webhook_secrets[number - 1] if number <= len(known.webhook_secrets) else None,
            )
    if settings.sandbox_base_url is not None:
        yield LanePlan(
            name="sandbox",
            provider="sandbox",
            base_url=settings.sandbox_base_url,
            key=None,
            rate_limit=settings.sandbox_rate_limit,
            concurrency=settings.sandbox_concurrency,
            concurrency_said="sandbox_concurrency" in settings.model_fields_set,
            submit_total_s=settings.submit_total_s,
        )


def open_lanes(settings: Settings) -> dict[str, HttpLane]:
    return {
        plan.name: open_lane(
            plan.name,
            plan.provider,
            base_url=plan.base_url,
            key=plan.key,
            stand_in=settings.sandbox_base_url,
            submit_total_s=plan.submit_total_s,
            webhook_secret=plan.webhook_secret,
        )
        for plan in lane_plans(settings)
    }


def open_words(settings: Settings) -> WordsClient | None:
    """The model for words; None without a key, or without a price for it: unknown is not zero."""
    keys = settings.services["openai"].keys
    key = settings.words_api_key.get_secret_value() if settings.words_api_key else next(iter(keys), None)
    rates = _word_rates(settings)
    if not key or rates is None:
        return None
    base_url = settings.words_base_url or settings.openai_base_url or service("openai").base_url
    assert base_url is not None
    return WordsClient(base_url=base_url, key=key, model=settings.words_model, rates=rates)


def _word_rates(settings: Settings) -> Rates | None:
    if settings.words_usd_in is not None and settings.words_usd_out is not None:
        return Rates(usd_in=settings.words_usd_in, usd_out=settings.words_usd_out)
    try:
        known = load().get(settings.words_model).words
    except UnknownThing:
        return None
    return None if known is None else Rates(usd_in=known.usd_in, usd_out=known.usd_out)


def synchronous_lanes(settings: Settings) -> list[LanePlan]:
    """The lanes whose submissions block until the picture is made; they need a worker of the `io-sync` role."""
    return [plan for plan in lane_plans(settings) if is_synchronous(plan.provider)]


def ensure_rows(settings: Settings, database: Database) -> None:
    """Create missing lane rows; existing limits are not changed."""
    with database.transaction() as connection:
        for plan in lane_plans(settings):
            lanes.ensure(
                connection,
                name=plan.name,
                provider=plan.provider,
                rate_limit=plan.rate_limit,
                concurrency=plan.concurrency,
                said_by="person" if plan.concurrency_said else "setting",
            )


def open_unkeyed(provider: str) -> HttpLane:
    """A lane of a provider without a key, for what is checked and priced here; nothing can be sent by it.

    Raises:
        UnknownThing: there is no such provider.
    """
    known = service(provider)
    stand_in = known.base_url or (NOWHERE if known.key_setting is None else None)
    return open_lane(provider, provider, base_url=stand_in, key=None if known.key_setting is None else "none")


def require_lane(settings: Settings, provider: str) -> None:
    """Check that a lane of `provider` is configured.

    Raises:
        UnknownThing: there is no such provider.
        ServiceMissing: its key or address is not set.
    """
    known = service(provider)
    if any(plan.provider == provider for plan in lane_plans(settings)):
        return
    if known.key_setting is not None:
        raise ServiceMissing(f"{known.key_setting} is not set; put the key for {provider!r} into .env")
    raise ServiceMissing(
        "SANDBOX_BASE_URL is not set: `likeness run FILE --provider sandbox --workers` brings the stand-in, and workers"
        " for it; workers of another command find one that runs (`likeness sandbox --port 8899`) by"
        " SANDBOX_BASE_URL=http://127.0.0.1:8899, set here and for them"
    )
