"""Lanes: their limits, account figures, and whether they are open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, and_, case, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema import attempts, generations, lanes
from db.texts import storable
from domain.errors import LikenessError, UnknownThing
from domain.ids import BatchId
from domain.schedule import LONGEST_JOB
from domain.states import IN_FLIGHT, AttemptState, GenerationState

_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRow:
    """One provider account.

    Args:
        rate_limit: submissions in Celery's notation (`60/m`), or None for no limit.
        concurrency: jobs in flight: the lower of the user's and the account's limit.
        concurrency_origin: whose limit that is: `setting`, `account` or `person`.
        person_concurrency: the limit that a user set; None for none.
        closed_until: admission skips the lane until then.
        account_asked_at: when the account was last requested.
        account_balance_usd, account_held_usd, account_jobs: its figures; None where the provider gives none.
        in_flight: attempts that occupy one of its places.
        waiting: queued generations that it may take; shared by the lanes of a provider.
    """

    name: str
    provider: str
    rate_limit: str | None
    concurrency: int
    concurrency_origin: str
    person_concurrency: int | None
    closed_until: datetime | None
    reason: str | None
    last_error: str | None
    last_error_at: datetime | None
    account_asked_at: datetime | None
    account_balance_usd: Decimal | None
    account_held_usd: Decimal | None
    account_jobs: int | None
    in_flight: int
    waiting: int

    def is_closed(self, now: datetime) -> bool:
        return self.closed_until is not None and self.closed_until > now


def ensure(
    connection: Connection,
    *,
    name: str,
    provider: str,
    rate_limit: str | None,
    concurrency: int,
    said_by: str = "setting",
) -> None:
    """Create the lane's row if it is missing; existing limits are kept.

    Args:
        said_by: `person`, whose limit the account can only lower, or `setting`, a default.
    """
    connection.execute(
        upsert(lanes)
        .values(
            name=name,
            provider=provider,
            rate_limit=rate_limit,
            concurrency=concurrency,
            concurrency_origin=said_by,
            person_concurrency=concurrency if said_by == "person" else None,
        )
        .on_conflict_do_nothing()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """What a lane may carry, as in `LaneRow`."""

    name: str
    provider: str
    rate_limit: str | None
    concurrency: int


def limits_of(connection: Connection, provider: str) -> list[LaneLimits]:
    """The limits of the provider's lanes; for each admission, since `list_lanes` counts all that waits."""
    columns = lanes.c.name, lanes.c.provider, lanes.c.rate_limit, lanes.c.concurrency
    rows = connection.execute(select(*columns).where(lanes.c.provider == provider).order_by(lanes.c.name))
    return [LaneLimits(**row) for row in rows.mappings()]


def providers(connection: Connection) -> list[str]:
    """Those that have a lane."""
    return list(connection.execute(select(lanes.c.provider).distinct().order_by(lanes.c.provider)).scalars())


def list_lanes(connection: Connection) -> list[LaneRow]:
    """All that is known of every lane; what is in flight and waits is counted, row by row."""
    in_flight = (
        select(func.count())
        .select_from(attempts)
        .where(
            attempts.c.lane == lanes.c.name,
            attempts.c.state.in_(IN_FLIGHT),
            or_(attempts.c.state != AttemptState.IN_DOUBT, attempts.c.intent_at > func.now() - LONGEST_JOB),
        )
        .scalar_subquery()
    )
    only = generations.c.changes["action"]["lane"].astext
    waiting = (
        select(func.count())
        .select_from(generations)
        .where(
            generations.c.state == GenerationState.QUEUED,
            generations.c.provider == lanes.c.provider,
            or_(only.is_(None), only == lanes.c.name),
        )
        .scalar_subquery()
    )
    columns = [column for column in lanes.c if column.name != "created_at"]
    rows = connection.execute(
        select(*columns, in_flight.label("in_flight"), waiting.label("waiting")).order_by(lanes.c.name)
    )
    return [LaneRow(**row) for row in rows.mappings()]


def waited_for(connection: Connection, batch_id: BatchId) -> set[str]:
    """The providers of the batch's queued generations."""
    queued = exists().where(
        generations.c.state == GenerationState.QUEUED,
        generations.c.provider == lanes.c.provider,
        generations.c.batch_id == batch_id,
    )
    return set(connection.execute(select(lanes.c.provider).where(queued)).scalars())


def names_of(connection: Connection, provider: str) -> Sequence[str]:
    return connection.execute(select(lanes.c.name).where(lanes.c.provider == provider)).scalars().all()


def is_open(connection: Connection, name: str) -> bool:
    closed = select(lanes.c.name).where(lanes.c.name == name, lanes.c.closed_until > func.now())
    return connection.execute(closed).first() is None


def close(connection: Connection, name: str, *, reason: str, wait: timedelta) -> None:
    """Close the lane for `wait`; a longer closure is kept."""
    until = func.now() + wait
    connection.execute(
        update(lanes)
        .where(lanes.c.name == name, or_(lanes.c.closed_until.is_(None), lanes.c.closed_until < until))
        .values(closed_until=until, reason=storable(reason))
    )


def reopen(connection: Connection, name: str) -> None:
    """Open the lane now.

    Raises:
        UnknownThing: there is no lane of that name.
    """
    opened = connection.execute(update(lanes).where(lanes.c.name == name).values(closed_until=None, reason=None))
    if opened.rowcount == 0:
        raise UnknownThing(f"there is no lane {name!r}; `likeness lanes` lists them")


def note_error(connection: Connection, name: str, failure: LikenessError) -> None:
    connection.execute(
        update(lanes)
        .where(lanes.c.name == name)
        .values(last_error=storable(str(failure))[:1000], last_error_at=func.now())
    )


def set_rate_limit(connection: Connection, name: str, rate_limit: str | None) -> None:
    connection.execute(update(lanes).where(lanes.c.name == name).values(rate_limit=rate_limit))


def set_concurrency(connection: Connection, name: str, concurrency: int) -> None:
    """Set the user's limit; a lower limit of the account is used while it lasts."""
    connection.execute(
        update(lanes)
        .where(lanes.c.name == name)
        .values(
            person_concurrency=concurrency, **_least(person=literal(concurrency, Integer), account=lanes.c.account_jobs)
        )
    )


def _least(*, person: ColumnElement[int], account: ColumnElement[int]) -> dict[str, ColumnElement[Any]]:
    """The lower limit and its origin; null, or a non-positive account limit, counts as no limit."""
    allowed = func.nullif(func.greatest(account, 0), 0)
    return {
        "concurrency": func.least(person, allowed),
        "concurrency_origin": case((person <= func.coalesce(allowed, person), "person"), else_="account"),
    }


def illegal_prompts_until(connection: Connection, name: str, *, limit: int) -> timedelta | None:
    """How long until the last 24 hours have fewer than `limit` illegal prompts; None where they have fewer now."""
    oldest = (
        select(attempts.c.finished_at + _DAY - func.now())
        .where(attempts.c.lane == name, attempts.c.illegal_prompt, attempts.c.finished_at > func.now() - _DAY)
        .order_by(attempts.c.finished_at.desc())
        .offset(limit - 1)
        .limit(1)
    )
    return connection.execute(oldest).scalar_one_or_none()


def latest_refusals(connection: Connection, name: str, *, code: str, count: int) -> list[str]:
    """Why the last `count` submissions of a day were refused; fewer where one was not, or where one came twice."""
    latest = (
        select(attempts.c.sent_prompt, attempts.c.error_code, attempts.c.error_message)
        .where(
            attempts.c.lane == name,
            attempts.c.intent_at > func.now() - _DAY,
            # Whoever waits for an answer proves nothing yet.
            attempts.c.state != AttemptState.SUBMITTING.value,
        )
        .order_by(attempts.c.intent_at.desc())
        .limit(count)
    )
    by_prompt = {prompt: message or "" for prompt, why, message in connection.execute(latest) if why == code}
    return list(by_prompt.values())


def claim_account(connection: Connection, name: str, *, every: timedelta) -> bool:
    """Claim the next account request: returns whether one is due and no other caller has claimed it."""
    stale = or_(lanes.c.account_asked_at.is_(None), lanes.c.account_asked_at <= func.now() - every)
    claimed = update(lanes).where(lanes.c.name == name, stale).values(account_asked_at=func.now())
    return connection.execute(claimed).rowcount == 1


def note_account(
    connection: Connection, name: str, *, balance_usd: Decimal | None, held_usd: Decimal | None, jobs: int | None
) -> Decimal | None:
    """Store the account's figures; returns the former balance.

    Its job limit becomes the lane's, up or down, but never above the user's limit.
    """
    before: Decimal | None = connection.execute(
        select(lanes.c.account_balance_usd).where(lanes.c.name == name).with_for_update()
    ).scalar_one_or_none()
    figures = {"account_balance_usd": balance_usd, "account_held_usd": held_usd, "account_jobs": jobs}
    connection.execute(update(lanes).where(lanes.c.name == name).values(**figures))
    if jobs is not None and jobs > 0:
        least = _least(person=lanes.c.person_concurrency, account=literal(jobs, Integer))
        connection.execute(update(lanes).where(lanes.c.name == name).values(**least))
    return before


def reopen_if_closed_for(connection: Connection, name: str, reason: str) -> None:
    """Open the lane if the reason of its closure begins with `reason`."""
    closed_for = lanes.c.reason.startswith(reason, autoescape=True)
    connection.execute(update(lanes).where(lanes.c.name == name, closed_for).values(closed_until=None, reason=None))


def rate_limits(connection: Connection) -> dict[str, str | None]:
    return dict(connection.execute(select(lanes.c.name, lanes.c.rate_limit)).all())


def forget_past_closures(connection: Connection) -> None:
    """Clear closures that are over, so that users do not see an old reason."""
    connection.execute(
        update(lanes)
        .where(and_(lanes.c.closed_until.is_not(None), lanes.c.closed_until <= func.now()))
        .values(closed_until=None, reason=None)
    )
