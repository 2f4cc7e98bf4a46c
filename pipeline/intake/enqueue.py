"""The producer: rows of prompts become generations, all or none, and the first of them are admitted in the same call.

Everything that can be wrong is found before anything is written: models, prices, characters, limits.
"""

import logging
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.records import batches, characters, lanes
from db.records.batches import Enqueued, NewGeneration
from db.records.characters import CharacterRow
from domain.access import LOCAL_TEAM
from domain.errors import BadInput, LimitTooSmall, RequestRefused, ServiceMissing
from domain.escalation import Policy, wishes
from domain.ids import row_identity, sha256
from domain.money import show
from domain.rates import per_second
from pipeline.attempts.admit import admit
from pipeline.attempts.draft_requests import draft
from pipeline.characters.character_names import find_all, join_names, split_names
from pipeline.characters.references import Going, can_be_read, going_along, named_urls, pixels_of
from pipeline.characters.threshold_origin import local_weights, misfits
from pipeline.intake import live_models
from pipeline.intake.columns import misspelt
from pipeline.intake.prompt_file import PromptRow
from pipeline.intake.row_repeats import multiplied
from pipeline.resources import Resources
from providers.catalogue import Catalogue, Model
from providers.contract import Ask
from providers.prices import as_read, price
from providers.prompt_flags import overruled

__all__ = ["Enqueued", "Order", "Plan", "enqueue", "plan"]

log = logging.getLogger(__name__)

_LONGEST_NAME = 200
#: Services are slow at times; their own figures for relaxed jobs span a factor of five.
_SLOWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person wants for a whole batch; a row's own columns win over it.

    Args:
        name: of the batch; enqueuing under a known name adds the rows that are new to it.
        character: whom every picture must show; several with semicolons between.
        settings: defaults of every row (`mode`, `cref_weight`, `ar`, ...).
        limit_usd: the batch's budget, or None for none; given again, it replaces the former one.
        max_image_cost: the most one call may cost; needed for models without a price.
        whole_file: False when the rows are a part of their file, so that nothing is reported as vanished.
        hold_usd: per provider, what is held for a call whose price is an estimate.
        times: how often each prompt is wanted.
        categories: each prompt is wanted once in each of them.
        try_policy: what was said about further tries, as `domain.escalation.wishes` writes it.
        team: whose keys see the batch, and whose characters it may name.
        key_id: the API key that asks; None for the command line or a script.
    """

    name: str
    user_id: str
    provider: str
    model: str | None = None
    character: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit_usd: Decimal | None = None
    max_image_cost: Decimal | None = None
    priority: int | None = None
    whole_file: bool = True
    hold_usd: Mapping[str, Decimal] = field(default_factory=dict)
    times: int = 1
    categories: Sequence[str] = ()
    try_policy: Mapping[str, Any] = field(default_factory=dict)
    team: str = LOCAL_TEAM
    key_id: UUID | None = None

    @property
    def policy(self) -> Policy:
        """What holds for rows that say nothing of their own about further tries."""
        return Policy.of(self.try_policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What enqueuing would write; the dry run shows it.

    Args:
        expected_usd: what the rows cost by the catalogue's prices.
        at_most_usd: the sum of their holds.
        warnings: sentences for a person.
        known: rows that the batch has already, and that would be skipped.
        drafts: providers, each with a submission of every kind that there will be.
        at_least, at_most: how long the others take on the lanes of this installation, if nothing else runs there.
    """

    rows: Sequence[NewGeneration]
    expected_usd: Decimal
    at_most_usd: Decimal
    warnings: Sequence[str]
    known: int
    drafts: Sequence[tuple[str, Ask]]
    at_least: timedelta
    at_most: timedelta

    @property
    def largest_hold_usd(self) -> Decimal:
        return max((row.hold_usd for row in self.rows), default=Decimal(0))

    @property
    def providers(self) -> list[str]:
        return sorted({row.provider for row in self.rows})

    @property
    def digest(self) -> str:
        """Equal for files that ask for the same, whatever their format: prompts, settings and prices in their order."""
        told = ((row.identity.hex(), row.occurrence, row.theme, row.variation, str(row.hold_usd)) for row in self.rows)
        return sha256("\n".join(map(repr, told)).encode())[:16]


def plan(resources: Resources, catalogue: Catalogue, order: Order, rows: Sequence[PromptRow], *, today: date) -> Plan:
    """Check everything and price it; nothing is written.

    Raises:
        BadInput, UnknownThing, ModelRetired, PriceUnknown: which row, and what to do.
        LimitTooSmall: the budget is below a single hold.
    """
    if not order.name.strip() or len(order.name) > _LONGEST_NAME or "\x00" in order.name:
        raise BadInput(f"a batch's name has 1 to {_LONGEST_NAME} characters; this one is {order.name[:40]!r}")
    planner = _Planner(resources, catalogue, order, today)
    wanted = list(multiplied(rows, times=order.times, categories=order.categories))
    planned = list(planner.generations(wanted))
    with resources.database.transaction() as connection:
        known = batches.known_rows(
            connection,
            order.name,
            user_id=order.user_id,
            keys=[(one.identity, one.occurrence) for one in planned],
            team=order.team,
        )
    shortest = _duration(resources, [one for one in planned if (one.identity, one.occurrence) not in known])
    result = Plan(
        rows=planned,
        expected_usd=sum((row.price_usd for row in planned), Decimal(0)),
        at_most_usd=sum((row.hold_usd for row in planned), Decimal(0)),
        warnings=sorted({*planner.warnings, *_about_tries(order, planned), *_about_columns(rows)}),
        known=len(known),
        drafts=list(planner.drafts.values()),
        at_least=shortest,
        at_most=shortest * _SLOWEST,
    )
    if order.limit_usd is not None and order.limit_usd < result.largest_hold_usd:
        raise LimitTooSmall(
            f"the budget of {show(order.limit_usd)} USD is below the {show(result.largest_hold_usd)} USD"
            " that is held for one image; raise --max-cost"
        )
    return result


def _about_tries(order: Order, rows: Sequence[NewGeneration]) -> set[str]:
    """What is odd about further tries."""
    trying = [row for row in rows if Policy.of(order.try_policy, row.try_policy).on]
    warnings = set()
    if trying and order.limit_usd is None:
        warnings.add("further tries without --max-cost have no budget but their number")
    if any(row.character_id is None for row in trying):
        warnings.add("without a character nothing is rejected, so there is nothing to try again")
    return warnings


def _about_columns(rows: Sequence[PromptRow]) -> Iterator[str]:
    """Which columns look like known ones and are not; what they hold would be missed in every picture."""
    return misspelt({column for row in rows if row.extra for column in row.extra})


def _duration(resources: Resources, rows: Sequence[NewGeneration]) -> timedelta:
    """The time in which the lanes carry the rows away: bounded by places, rate limits and the longest job."""
    with resources.database.transaction() as connection:
        known = lanes.list_lanes(connection)
    longest = timedelta(0)
    for provider in {row.provider for row in rows}:
        mine = [row for row in rows if row.provider == provider]
        serving = [lane for lane in known if lane.provider == provider]
        lane = next((one for one in resources.lanes.values() if one.provider == provider), None)
        if lane is None or not serving:
            continue
        jobs = [lane.first_look_after(row.settings, model=row.model) for row in mine]
        by_places = sum(jobs, timedelta(0)) / sum(one.concurrency for one in serving)
        rates = [per_second(one.rate_limit) for one in serving]
        limited = sum(rate for rate in rates if rate is not None) if None not in rates else None
        by_rate = timedelta(seconds=len(mine) / limited) if limited else timedelta(0)
        longest = max(longest, by_places, by_rate, *jobs)
    return longest


def enqueue(resources: Resources, order: Order, planned: Plan) -> Enqueued:
    """Ask the services about their models, write the batch and its generations in one transaction, admit what fits.

    Raises:
        BadInput, ModelRetired: what the services say forbids it; nothing is written.
    """
    warnings = live_models.check(resources, planned.drafts, on=datetime.now(UTC).date())
    with resources.database.transaction() as connection:
        first = next(iter(split_names(order.character)), None)
        character = characters.find(connection, first, team=order.team) if first else None
        batch_id = batches.open_batch(
            connection,
            name=order.name,
            user_id=order.user_id,
            character_id=character.id if character else None,
            settings=order.settings,
            priority=order.priority,
            limit_usd=order.limit_usd,
            team=order.team,
            key_id=order.key_id,
        )
        written = batches.copy_in(
            connection, batch_id, user_id=order.user_id, rows=planned.rows, whole_file=order.whole_file
        )
        batches.amend(connection, batch_id, priority=order.priority, limit_usd=order.limit_usd)
        if policy := _policy_of(order):
            batches.set_try_policy(connection, batch_id, policy)
    for provider in planned.providers:
        admit(resources, provider)
    return replace(written, warnings=warnings)


def _policy_of(order: Order) -> dict[str, Any]:
    """The most that one call may cost holds for further tries too."""
    return wishes(max_image_cost=order.max_image_cost) | dict(order.try_policy)


class _Planner:
    """Resolves rows one by one; models, characters and prices that repeat are looked up once."""

    def __init__(self, resources: Resources, catalogue: Catalogue, order: Order, today: date) -> None:
        self._resources = resources
        self._catalogue = catalogue
        self._order = order
        self._today = today
        self._casts: dict[str, Sequence[CharacterRow]] = {}
        self._prices: dict[str, tuple[Decimal, Decimal]] = {}
        self._models: dict[tuple[str, str | None], Model] = {}
        self.warnings: set[str] = set()
        #: One submission of each kind, by what decides which keys are sent.
        self.drafts: dict[Hashable, tuple[str, Ask]] = {}

    def generations(self, rows: Sequence[PromptRow]) -> Iterator[NewGeneration]:
        seen: Counter[bytes] = Counter()
        for row in rows:
            try:
                planned = self._generation(row, seen)
            except BadInput as failure:
                raise BadInput(str(failure), line=row.line) if failure.line is None else failure from None
            yield planned

    def _generation(self, row: PromptRow, seen: Counter[bytes]) -> NewGeneration:
        provider = row.provider or self._order.provider
        model = self._model(provider, row.model or self._order.model)
        self._check_length(model, row)
        cast = self._cast(row.character or self._order.character)
        settings = {**self._order.settings, **row.settings}
        for setting in overruled(row.prompt, {**self._order.settings, **dict.fromkeys(row.settings)}):
            del settings[setting]  # the row's own words win over the batch's defaults
        if urls := named_urls(settings):
            # A cell holds them as text and an option as a list; rows that ask for the same are the same.
            settings["cref_urls"] = urls
        going = going_along(settings, [reference for one in cast for reference in one.references], model=model)
        self._check_wire(provider, model, row, settings=settings, cast=cast, going=going)
        hold, expected = self._price(provider, model, settings, row=row, going=going)
        name = join_names(one.name for one in cast)
        identity = row_identity(
            row.prompt, {"settings": settings, "provider": provider, "model": model.name, "character": name}
        )
        occurrence = seen[identity]
        seen[identity] += 1
        return NewGeneration(
            position=row.position,
            theme=row.theme,
            variation=row.variation,
            prompt=row.prompt,
            character_id=cast[0].id if cast else None,
            further_character_ids=[one.id for one in cast[1:]],
            provider=provider,
            model=model.name,
            settings=settings,
            identity=identity,
            occurrence=occurrence,
            try_policy=row.try_policy,
            pipeline_data={"row": {"index": row.index, **row.extra}} if row.index or row.extra else {},
            hold_usd=hold,
            price_usd=expected,
        )

    def _model(self, provider: str, name: str | None) -> Model:
        known = self._models.get((provider, name))
        if known is not None:
            return known
        model = self._catalogue.default(provider) if name is None else self._catalogue.get(name)
        self.warnings.update(model.check_usable(self._today))
        if not model.served_by(provider):
            raise BadInput(
                f"model {model.name!r} is not served by {provider!r} but by {model.provider!r};"
                f" use --provider {model.provider}"
            )
        if model.kind != "picture":
            raise BadInput(f"model {model.name!r} makes no pictures; `likeness models` lists those that do")
        self._models[provider, name] = model
        return model

    def _check_length(self, model: Model, row: PromptRow) -> None:
        if model.max_prompt_chars is not None and len(row.prompt) > model.max_prompt_chars:
            raise BadInput(
                f"the prompt has {len(row.prompt):,} characters; {model.name!r} takes {model.max_prompt_chars:,}",
                line=row.line,
            )

    def _check_wire(
        self,
        provider: str,
        model: Model,
        row: PromptRow,
        *,
        settings: Mapping[str, Any],
        cast: Sequence[CharacterRow],
        going: Sequence[Going],
    ) -> None:
        """Refuse now what the adapter would refuse at the submission: a flag, a mode, a combination."""
        lane = next((one for one in self._resources.lanes.values() if one.provider == provider), None)
        if lane is None:
            raise ServiceMissing(f"no lane serves {provider!r} here; set its key, see .env.example")
        files = [one.name for one in cast if any(reference in going for reference in one.references)]
        if files and not can_be_read(self._resources, lane):
            raise BadInput(
                f"the references of {' and '.join(map(repr, files))} have no address that {provider!r}"
                " could read; pass --cref-urls, or set R2_CDN_URL and the other R2 settings",
                line=row.line,
            )
        ask = draft(model.name, row.prompt, settings, references=len(going))
        try:
            lane.check(ask)
            self.warnings.update(lane.warnings(ask))
            kind = (provider, model.name, frozenset(settings), bool(named_urls(settings)), bool(ask.reference_urls))
            self.drafts.setdefault(kind, (provider, ask))
        except RequestRefused as failure:
            raise BadInput(str(failure), line=row.line) from failure

    def _cast(self, names: str | None) -> Sequence[CharacterRow]:
        if names is None:
            return ()
        if names not in self._casts:
            self._casts[names] = find_all(self._resources, names, team=self._order.team)
            self.warnings |= misfits(self._casts[names], scored_by=local_weights(self._resources.scoring_model))
        return self._casts[names]

    def _price(
        self,
        provider: str,
        model: Model,
        settings: Mapping[str, Any],
        *,
        row: PromptRow,
        going: Sequence[Going],
    ) -> tuple[Decimal, Decimal]:
        """Hold and expected charge of one call as known by now; `submission_costs` prices it again before sending."""
        references = pixels_of(going)
        by_words = model.prices and any(one.tokens is not None for one in model.prices)
        # As the price counts it: a character of another script is several bytes.
        words, wished = as_read(model, row.prompt, settings)
        length = len(words.encode()) if by_words else 0
        key = repr((provider, model.name, sorted(wished.items()), references, length))
        if key not in self._prices:
            most = self._order.max_image_cost
            estimate = all(one.estimate for one in model.prices)
            if most is None and estimate and provider in self._order.hold_usd:
                most = self._order.hold_usd[provider]
            found = price(
                model, settings, on=self._today, max_image_cost=most, references=references, prompt=row.prompt
            )
            self._prices[key] = (found.at_most_usd, found.usd)
        return self._prices[key]
