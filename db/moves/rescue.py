"""Taking over from the dead: leases that ran out, tasks that never came, poison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, Interval, and_, case, func, literal, or_, select, true, update

from db.moves import submission
from db.moves.rows import FREE_LEASE, take_free, unleased
from db.reads.work import Work, select_work, work_of
from db.schema import attempts, lanes
from db.schema_preparation import preparations
from domain.errors import MaybeSent
from domain.ids import AttemptId
from domain.states import AttemptState

S = AttemptState


def doubt_the_silent(
    connection: Connection, *, call_total: timedelta, by_lane: Mapping[str, timedelta] | None = None
) -> list[AttemptId]:
    """Submissions whose worker fell silent between intent and id: nobody can say whether they were sent.

    Args:
        call_total: a POST that began within its lease is over this long after the lease's end at the latest; until
            then its worker may still come back with the id.
        by_lane: the same, where the lane is known.
    """
    total = (
        case(
            {lane: literal(total, Interval) for lane, total in (by_lane or {}).items()},
            value=attempts.c.lane,
            else_=literal(call_total, Interval),
        )
        if by_lane
        else literal(call_total, Interval)
    )
    silent = take_free(connection, attempts.c.state == S.SUBMITTING, attempts.c.lease_until < func.now() - total)
    failure = MaybeSent("the worker died between writing the intent and storing the job's id")
    for work in silent:
        submission.doubt(connection, work.attempt_id, token=None, failure=failure)
    return [work.attempt_id for work in silent]


def bury(connection: Connection) -> list[Work]:
    """Free the leases that ran out on a step that may simply be done again, and count the death."""
    dead = (
        select(attempts.c.id)
        .where(
            attempts.c.state.in_([S.GENERATING, S.COLLECTING, S.VALIDATING]),
            attempts.c.lease_until < func.now(),
        )
        .limit(500)
        .with_for_update(skip_locked=True)
        .cte("dead")
    )
    died = connection.execute(
        update(attempts)
        .where(attempts.c.id.in_(select(dead.c.id)))
        .values(deaths=attempts.c.deaths + 1, published_at=func.now() - timedelta(days=1), **FREE_LEASE)
        .returning(attempts.c.id)
    ).scalars()
    ids = list(died)
    if not ids:
        return []
    return [work_of(row) for row in connection.execute(select_work().where(attempts.c.id.in_(ids)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Attempts that wait for the same queue, none of them claimed.

    Args:
        lane: None where all lanes share a queue.
        number: how many, those that were published just now included.
        rate_limit: of the lane.
    """

    state: AttemptState
    lane: str | None
    number: int
    rate_limit: str | None = None


def waiting(connection: Connection, *, older_than: timedelta) -> list[Waiting]:
    """The queues for which attempts wait, where one of them was published that long ago."""
    lane = case((attempts.c.state == S.ADMITTED, attempts.c.lane))
    rows = connection.execute(
        select(attempts.c.state, lane.label("lane"), func.count().label("number"), lanes.c.rate_limit)
        .join_from(attempts, lanes, lanes.c.name == lane, isouter=True)
        .where(_can_be_claimed(), attempts.c.published_at <= func.now())
        .group_by(attempts.c.state, lane, lanes.c.rate_limit)
        .having(func.min(attempts.c.published_at) < func.now() - older_than)
    )
    return [Waiting(state=S(row.state), lane=row.lane, number=row.number, rate_limit=row.rate_limit) for row in rows]


def unclaimed(
    connection: Connection, *, older_than: timedelta, place: Waiting | None = None, limit: int = 500
) -> Sequence[Work]:
    """Attempts whose task was published that long ago and claimed by nobody; stamped as published now.

    Args:
        place: only those that wait there; wherever it is where it is None.
        limit: those that have waited longest.
    """
    late = (
        select(attempts.c.id)
        .where(
            _can_be_claimed(),
            attempts.c.published_at < func.now() - older_than,
            true() if place is None else attempts.c.state == place.state,
            true() if place is None or place.lane is None else attempts.c.lane == place.lane,
        )
        .order_by(attempts.c.published_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("late")
    )
    ids = list(
        connection.execute(
            update(attempts)
            .where(attempts.c.id.in_(select(late.c.id)))
            .values(published_at=func.now())
            .returning(attempts.c.id)
        ).scalars()
    )
    if not ids:
        return []
    return [work_of(row) for row in connection.execute(select_work().where(attempts.c.id.in_(ids)))]


def _can_be_claimed() -> ColumnElement[bool]:
    """Not while an admitted attempt's lane is closed: its task would only be handed back."""
    closed = select(lanes.c.name).where(lanes.c.closed_until > func.now())
    return and_(
        unleased(),
        or_(
            attempts.c.state.in_([S.COLLECTING, S.VALIDATING]),
            and_(attempts.c.state == S.ADMITTED, attempts.c.lane.not_in(closed)),
        ),
    )


def renew(connection: Connection, tokens: Sequence[object], *, seconds: float) -> int:
    """Push out the end of the leases that their holders still work under; returns how many were still held."""
    renewed = connection.execute(
        update(attempts)
        # The second condition is that of an index: without it every renewal reads the whole table.
        .where(attempts.c.lease_token.in_(tokens), attempts.c.state != S.FINISHED)
        .values(lease_until=func.now() + timedelta(seconds=seconds))
    )
    prepared = connection.execute(
        update(preparations)
        .where(preparations.c.lease_token.in_(tokens))
        .values(lease_until=func.now() + timedelta(seconds=seconds))
    )
    return renewed.rowcount + prepared.rowcount
