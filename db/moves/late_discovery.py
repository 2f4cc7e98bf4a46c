"""Write down that a job turned up after its doubt was settled as lost: charged and adopted, never thrown away.

Where the generation still waits in the queue, the attempt comes back to life with its job and decides as any other.
Where the generation has gone on without it, the attempt lives again beside it (`AttemptKind.LATE`): its job is charged,
its pictures are kept as assets, and it decides nothing; only a rescore, which a person asks for, looks at them too.
Either way the hold is set aside again by a counter-entry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Interval, and_, case, extract, func, select, update

from db.books import ledger
from db.moves.rows import charge, error_columns, finish, owning, set_attempt, set_generation
from db.moves.submission import has_job, unused_name
from db.reads.work import Work, select_work, work_of
from db.records import history
from db.schema import attempts, generations
from db.texts import storable_json
from domain.errors import LikenessError, LostRace
from domain.ids import AttemptId, GenerationId
from domain.states import AttemptKind, AttemptState, GenerationState, HoldState, Outcome

#: The time between two looks grows with the time since the doubt was settled.
_SHARE = 0.25
_MOST = 1000
_AFRESH = {
    "outcome": None,
    "finished_at": None,
    "late_look_at": None,
    "step_tries": 0,
    "deaths": 0,
    **error_columns(None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLate:
    """An attempt whose job turned up after its doubt had been settled as lost.

    Args:
        charged_usd: None while the provider is still at work.
    """

    work: Work
    found_at: datetime
    charged_usd: Decimal | None
    generation_state: GenerationState


def _settled_as_lost() -> ColumnElement[bool]:
    return and_(
        attempts.c.state == AttemptState.FINISHED,
        attempts.c.hold_state == HoldState.RELEASED,
        attempts.c.doubted_at.is_not(None),
        attempts.c.job_id.is_(None),
    )


def watch(connection: Connection, attempt_id: AttemptId) -> None:
    """From now on look out for the job of this attempt, whose doubt has just been settled as lost."""
    connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(late_look_at=func.now()))


def watched(connection: Connection, lane: str) -> list[Work]:
    """The lane's attempts that were settled as lost and whose jobs are to be looked for now, oldest intent first."""
    rows = connection.execute(
        select_work()
        .where(attempts.c.lane == lane, attempts.c.late_look_at <= func.now(), _settled_as_lost())
        .order_by(attempts.c.intent_at, attempts.c.id)
    )
    return [work_of(row) for row in rows]


def one(connection: Connection, attempt_id: AttemptId) -> Work | None:
    """The attempt if its doubt was settled as lost, and its job has not turned up."""
    row = connection.execute(select_work().where(attempts.c.id == attempt_id, _settled_as_lost())).one_or_none()
    return None if row is None else work_of(row)


def looked(connection: Connection, works: Sequence[Work], *, least: timedelta, window: timedelta) -> None:
    """The jobs of these did not show: look again when a quarter of the time since the settlement has gone by again.

    Args:
        least: the shortest time between two looks.
        window: after this long nobody looks any more.
    """
    since = func.now() - attempts.c.finished_at
    share = func.make_interval(0, 0, 0, 0, 0, 0, extract("epoch", since) * _SHARE, type_=Interval)
    again = case((since < window, func.now() + func.greatest(least, share, type_=Interval)), else_=None)
    connection.execute(
        update(attempts)
        .where(attempts.c.id.in_([work.attempt_id for work in works]), attempts.c.late_look_at.is_not(None))
        .values(late_look_at=again)
    )


def adopt(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    job_id: str,
    first_look: timedelta,
    deadline: timedelta,
    actor: str,
) -> AttemptKind:
    """The job belongs to this attempt after all: it is polled, charged and collected as any other.

    Harmless where an earlier run of the same write was committed and only the answer got lost.

    Returns:
        IMAGE where the attempt decides about its generation again, LATE where the generation has gone on without it.

    Raises:
        LostRace: the doubt was not settled as lost, or another attempt owns the job.
    """
    if has_job(connection, attempt_id, job_id):
        return _kind(connection, attempt_id)
    work = _take(connection, attempt_id)
    with owning(connection, work, job_id):
        return _live_again(
            connection,
            work,
            AttemptState.GENERATING,
            actor=actor,
            reason=f"job {job_id} turned up after its doubt had been settled as lost",
            job_id=job_id,
            accepted_at=func.now(),
            due_at=func.now() + first_look,
            deadline_at=func.now() + deadline,
        ).kind


def delivered(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    result: Mapping[str, Any],
    charged_usd: Decimal,
    said_by: str,
    request_id: str | None = None,
) -> AttemptKind:
    """A reply that was the result itself turned up, and is safely in the store; as `adopt`, charged at once."""
    result = storable_json(result)
    known = connection.execute(select(attempts.c.result).where(attempts.c.id == attempt_id)).scalar_one_or_none()
    if known == result:
        return _kind(connection, attempt_id)
    work = _take(connection, attempt_id)
    alive = _live_again(
        connection,
        work,
        AttemptState.COLLECTING,
        actor=history.THE_REPLY,
        reason="the reply turned up after its doubt had been settled as lost",
        job_id=unused_name(connection, work, request_id),
        result=result,
        percent=100,
        accepted_at=func.now(),
        made_at=func.now(),
        published_at=func.now(),
    )
    charge(connection, alive, charged_usd, reason=said_by)
    return alive.kind


def paid_for_nothing(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    call: str,
    amount: Decimal | None,
    said_by: str,
    failure: LikenessError,
) -> Decimal:
    """A person found it on the bill after all, and there is nothing to fetch: it is charged beside its generation.

    Args:
        call: the service's name for it; it stands where other services have a job's id.
        amount: what the service billed, or None for the whole hold.
    """
    work = _take(connection, attempt_id)
    with owning(connection, work, call):
        alive = _live_again(
            connection,
            work,
            AttemptState.COLLECTING,
            actor=history.PERSON,
            reason=said_by,
            beside=True,
            job_id=call,
            made_at=func.now(),
        )
    charged = work.hold_usd if amount is None else amount
    charge(connection, alive, charged, reason=said_by)
    settled = replace(alive, hold_state=HoldState.CHARGED)
    finish(connection, settled, GenerationState.FAILED, outcome=Outcome.FAILED, failure=failure)
    return charged


def _take(connection: Connection, attempt_id: AttemptId) -> Work:
    row = connection.execute(
        select_work().where(attempts.c.id == attempt_id, _settled_as_lost()).with_for_update()
    ).one_or_none()
    if row is None:
        raise LostRace(f"attempt {attempt_id} has no doubt that was settled as lost")
    return work_of(row)


def _kind(connection: Connection, attempt_id: AttemptId) -> AttemptKind:
    return AttemptKind(connection.execute(select(attempts.c.kind).where(attempts.c.id == attempt_id)).scalar_one())


def _live_again(
    connection: Connection,
    work: Work,
    state: AttemptState,
    *,
    actor: str,
    reason: str,
    beside: bool = False,
    **values: Any,
) -> Work:
    """The attempt with its money set aside again; its generation goes with it where it still waits in the queue."""
    standing = _standing(connection, work.generation_id)
    decides = standing is GenerationState.QUEUED and not beside and work.kind is AttemptKind.IMAGE
    kind = AttemptKind.IMAGE if decides else AttemptKind.LATE
    ledger.hold_again(connection, work, reason="job found late")
    alive = replace(work, state=state, kind=kind, hold_state=HoldState.HELD)
    values |= {"kind": kind, "hold_state": HoldState.HELD, "found_late_at": func.now()}
    set_attempt(connection, work, state, **_AFRESH, **values)
    # Only now does what is held for it count there.
    ledger.pause_above_other_limits(connection, work)
    reached = GenerationState(state) if decides else standing
    if decides:
        set_generation(
            connection, alive, reached, not_before=None, tries=generations.c.tries + 1, **error_columns(None)
        )
    history.note(
        connection,
        generation_id=work.generation_id,
        attempt_id=work.attempt_id,
        from_state=standing,
        to_state=reached,
        actor=actor,
        reason=reason,
    )
    return alive


def _standing(connection: Connection, generation_id: GenerationId) -> GenerationState:
    state = select(generations.c.state).where(generations.c.id == generation_id)
    return GenerationState(connection.execute(state).scalar_one())


def list_found_late(connection: Connection, *, user_id: str) -> list[FoundLate]:
    """What turned up late in a user's batches, the latest first."""
    rows = connection.execute(
        select_work()
        .add_columns(
            attempts.c.found_late_at, attempts.c.charged_usd, attempts.c.outcome, generations.c.state.label("standing")
        )
        .where(attempts.c.found_late_at.is_not(None), generations.c.user_id == user_id)
        .order_by(attempts.c.found_late_at.desc())
        .limit(_MOST)
    ).all()
    return [
        FoundLate(
            work=work_of(row),
            found_at=row.found_late_at,
            charged_usd=row.charged_usd,
            generation_state=GenerationState(row.standing),
        )
        for row in rows
    ]
