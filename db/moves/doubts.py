"""Settling a doubt: found on the provider's list, proven absent from it, or decided by a person.

Each leaves a row of history. What a listing must have been like to prove anything is `pipeline.doubts.by_person`'
business; what turns up after a doubt was settled as lost is `db.moves.late_discovery`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, update

from db.books import ledger
from db.moves import late_discovery, submission
from db.moves.rows import charge, finish, owning, set_attempt, take
from db.reads.work import Work, select_work, work_of
from db.records import history
from db.schema import attempts, generations
from db.texts import storable
from domain.errors import LikenessError, ProviderError
from domain.ids import AttemptId
from domain.states import AttemptState, GenerationState, HoldState, Outcome

_IN_DOUBT = frozenset({AttemptState.IN_DOUBT})


class NeverArrived(ProviderError):
    """The provider's own list proves that the submission was not accepted."""

    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An attempt of which nobody knows whether it is paid.

    Args:
        doubted_at: when its reply was given up.
        absent_since: begin of the first complete listing without it, or None.
        unsettled_because: why the last listing could not settle it; None where none has been read, or it only takes
            a second one.
    """

    work: Work
    doubted_at: datetime
    absent_since: datetime | None
    unsettled_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A job that the service has accepted from a lane.

    Args:
        is_further: it carries another job further, and is listed under that one's text.
    """

    job_id: str
    sent_prompt: str | None
    intent_at: datetime
    is_further: bool


_DOUBT = (attempts.c.doubted_at, attempts.c.absent_since, attempts.c.unsettled_because)


def of_lane(connection: Connection, lane: str) -> list[Doubt]:
    """The lane's doubts, oldest intent first."""
    rows = connection.execute(
        select_work()
        .add_columns(*_DOUBT)
        .where(attempts.c.lane == lane, attempts.c.state == AttemptState.IN_DOUBT)
        .order_by(attempts.c.intent_at, attempts.c.id)
    ).all()
    return [_doubt(row) for row in rows]


def unanswered(connection: Connection, lane: str) -> list[Work]:
    """The lane's attempts whose reply nobody waits for any more: in doubt, or left behind between intent and result."""
    left = and_(attempts.c.state == AttemptState.SUBMITTING, attempts.c.lease_until < func.now())
    statement = select_work().where(attempts.c.lane == lane, or_(attempts.c.state == AttemptState.IN_DOUBT, left))
    return [work_of(row) for row in connection.execute(statement.order_by(attempts.c.intent_at, attempts.c.id))]


def _doubt(row: Row[Any]) -> Doubt:
    return Doubt(
        work=work_of(row),
        doubted_at=row.doubted_at,
        absent_since=row.absent_since,
        unsettled_because=row.unsettled_because,
    )


def one(connection: Connection, attempt_id: AttemptId) -> Doubt | None:
    row = connection.execute(
        select_work().add_columns(*_DOUBT).where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.IN_DOUBT)
    ).one_or_none()
    return None if row is None else _doubt(row)


def now(connection: Connection) -> datetime:
    """The clock of Postgres, by which every moment in the rows is measured."""
    moment: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return moment


def owned(connection: Connection, lane: str, job_ids: Sequence[str]) -> dict[str, datetime | None]:
    """Of these jobs, those that an attempt owns, with the moment when it was told so."""
    rows = connection.execute(
        select(attempts.c.job_id, attempts.c.accepted_at).where(
            attempts.c.lane == lane, attempts.c.job_id.in_(list(job_ids))
        )
    )
    return {str(row.job_id): row.accepted_at for row in rows}


def accepted(connection: Connection, lane: str, *, since: datetime, until: datetime) -> list[Accepted]:
    """The jobs that an attempt of the lane owns, asked for since then and accepted by then, oldest intent first."""
    rows = connection.execute(
        select(
            attempts.c.job_id,
            attempts.c.sent_prompt,
            attempts.c.intent_at,
            attempts.c.changes.has_key("action").label("is_further"),
        )
        .where(
            attempts.c.lane == lane,
            attempts.c.job_id.is_not(None),
            attempts.c.intent_at >= since,
            attempts.c.accepted_at <= until,
        )
        .order_by(attempts.c.intent_at, attempts.c.id)
    )
    return [Accepted(**row) for row in rows.mappings()]


def identical_is_submitting(connection: Connection, work: Work) -> bool:
    """Whether an attempt with the very same request is between its intent and its job's id right now."""
    same = select(attempts.c.id).where(
        attempts.c.lane == work.lane,
        attempts.c.state == AttemptState.SUBMITTING,
        attempts.c.sent_prompt == work.sent_prompt,
    )
    return connection.execute(same).first() is not None


def identical_is_unanswered(connection: Connection, work: Work) -> bool:
    """Whether another attempt with the very same request is between its intent and its job's id, or in doubt."""
    same = select(attempts.c.id).where(
        attempts.c.lane == work.lane,
        attempts.c.state.in_([AttemptState.SUBMITTING, AttemptState.IN_DOUBT]),
        attempts.c.sent_prompt == work.sent_prompt,
    )
    return connection.execute(same).first() is not None


def saw_nothing(connection: Connection, attempt_id: AttemptId, *, began_at: datetime) -> None:
    """A complete listing begun then did not show the job."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.IN_DOUBT)
        .values(absent_since=func.coalesce(attempts.c.absent_since, began_at), unsettled_because=None)
    )


def saw_something(connection: Connection, attempt_id: AttemptId, *, why: str) -> None:
    """A listing was inconclusive, so what earlier ones did not show proves nothing any more; `why` is for people."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == AttemptState.IN_DOUBT)
        .values(absent_since=None, unsettled_because=storable(why))
    )


def found(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    job_id: str,
    first_look: timedelta,
    deadline: timedelta,
    actor: str = history.THE_LIST,
) -> None:
    """The job exists: `submission.adopt`, with a row of history."""
    work = take(connection, attempt_id, states=_IN_DOUBT, token=None)
    submission.adopt(connection, attempt_id, job_id=job_id, first_look=first_look, deadline=deadline)
    _note(
        connection, work, GenerationState.GENERATING, actor=actor, reason=f"the doubt is settled: its job is {job_id}"
    )


def _note(connection: Connection, work: Work, reached: GenerationState, *, actor: str, reason: str) -> None:
    history.note(
        connection,
        generation_id=work.generation_id,
        attempt_id=work.attempt_id,
        from_state=GenerationState.IN_DOUBT,
        to_state=reached,
        actor=actor,
        reason=reason,
    )


def not_accepted(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    failure: LikenessError,
    wait: timedelta | None = None,
    actor: str = history.THE_LIST,
) -> GenerationState:
    """The job does not exist: the hold is released and the generation goes on; should it turn up, `late` adopts it."""
    work = take(connection, attempt_id, states=_IN_DOUBT, token=None)
    reached = finish(connection, work, GenerationState.QUEUED, outcome=Outcome.GIVEN_BACK, failure=failure, wait=wait)
    late_discovery.watch(connection, attempt_id)
    _note(connection, work, reached, actor=actor, reason=f"the doubt is settled: {failure}")
    return reached


def paid_for_nothing(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    call: str,
    amount: Decimal | None,
    said_by: str,
    failure: LikenessError,
) -> Decimal:
    """It was made and billed, and there is nothing to fetch: the generation fails, charged.

    Args:
        call: the service's name for it; it stands where other services have a job's id.
        amount: what the service billed, or None for the whole hold.

    Raises:
        LostRace: the doubt was settled otherwise, or another attempt owns the call.
    """
    work = take(connection, attempt_id, states=_IN_DOUBT, token=None)
    charged = work.hold_usd if amount is None else amount
    ledger.undoubt(connection, work, reason=said_by)
    # The hold first: a doubt cannot stand beside a charge.
    with owning(connection, work, call):
        set_attempt(connection, work, AttemptState.COLLECTING, hold_state=HoldState.HELD, job_id=call)
    charge(connection, replace(work, hold_state=HoldState.HELD), charged, reason=said_by)
    settled = replace(work, hold_state=HoldState.CHARGED)
    reached = finish(connection, settled, GenerationState.FAILED, outcome=Outcome.FAILED, failure=failure)
    _note(connection, work, reached, actor=history.PERSON, reason=f"the doubt is settled: {failure}")
    return charged


def list_doubts(connection: Connection, *, user_id: str) -> list[Doubt]:
    """All doubts of a user's batches, oldest first."""
    rows = connection.execute(
        select_work()
        .add_columns(*_DOUBT)
        .where(attempts.c.state == AttemptState.IN_DOUBT, generations.c.user_id == user_id)
        .order_by(attempts.c.doubted_at)
    ).all()
    return [_doubt(row) for row in rows]
