"""The two moves that all others are made of: take an attempt with its generation, and set both.

A taken row is locked until the transaction ends. No row back means that the race was lost, an ordinary answer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from db.books import ledger
from db.reads.work import Lease, Work, select_work, work_of
from db.records import finishings, history
from db.schema import attempts, batches, generations
from db.schema_checks import model_inputs
from db.texts import storable
from domain.errors import LikenessError, LostRace, ProviderError
from domain.escalation import CLOSED_LOOP
from domain.ids import AttemptId, LeaseToken
from domain.states import FINAL, AttemptKind, AttemptState, GenerationState, Outcome, sources_of

_JOB_KEY = "attempts_lane_job_id_key"

FREE_LEASE = {"lease_token": None, "lease_until": None, "leased_by": None}

#: A person's cancel wins where nothing is at the provider any more; a failure of its own keeps its typed reason.
_CANCEL_WINS = frozenset(
    {GenerationState.QUEUED, GenerationState.ADMITTED, GenerationState.COMPLETED, GenerationState.REJECTED}
)


def unleased() -> ColumnElement[bool]:
    return or_(attempts.c.lease_until.is_(None), attempts.c.lease_until < func.now())


def due_now() -> ColumnElement[bool]:
    """A retry is published with a countdown; an earlier copy of its message must not jump the wait."""
    return attempts.c.published_at <= func.now() + timedelta(seconds=1)


def leased_by(lease: Lease) -> dict[str, Any]:
    return {
        "lease_token": lease.token,
        "lease_until": func.now() + timedelta(seconds=lease.seconds),
        "leased_by": lease.holder,
    }


def take(
    connection: Connection, attempt_id: AttemptId, *, states: frozenset[AttemptState], token: LeaseToken | None
) -> Work:
    """The attempt and its generation, locked.

    Args:
        token: the lease under which the caller worked, or None for a caller who needs none.

    Raises:
        LostRace: the attempt is in none of `states`, or the lease is no longer the caller's.
    """
    statement = select_work().where(attempts.c.id == attempt_id, attempts.c.state.in_(states)).with_for_update()
    if token is not None:
        statement = statement.where(attempts.c.lease_token == token)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise LostRace(f"attempt {attempt_id} is no longer {' or '.join(sorted(states))} under this lease")
    return work_of(row)


def take_free(connection: Connection, *wanted: ColumnElement[bool], limit: int = 500) -> list[Work]:
    """Attempts with their generations and batches, all locked, past those that others hold at the moment.

    For a caller who moves many in one transaction: the batch rows, which every step takes last, are taken in the order
    of their ids before the first move books anything.
    """
    statement = select_work().where(*wanted).order_by(attempts.c.id).limit(limit).with_for_update(skip_locked=True)
    works = [work_of(row) for row in connection.execute(statement)]
    ids = {work.batch_id for work in works}
    if ids:
        connection.execute(
            select(batches.c.id).where(batches.c.id.in_(ids)).order_by(batches.c.id).with_for_update(key_share=True)
        )
    return works


def set_attempt(connection: Connection, work: Work, state: AttemptState, **values: Any) -> None:
    """Write the attempt of a taken row; its lease ends unless `values` carry one."""
    connection.execute(
        update(attempts).where(attempts.c.id == work.attempt_id).values(state=state, **{**FREE_LEASE, **values})
    )


def set_generation(connection: Connection, work: Work, target: GenerationState, **values: Any) -> GenerationState:
    """Move the generation of a taken row; where a person has asked for it, it is canceled instead.

    An attempt that was found late moves nothing, since its generation has gone on without it, nor does one for words.

    Raises:
        LostRace: the table of moves does not allow it; the whole transaction must be given up.
    """
    if work.kind is not AttemptKind.IMAGE:
        return target
    target = _or_canceled(work, target)
    moved = connection.execute(
        update(generations)
        .where(generations.c.id == work.generation_id, generations.c.state.in_(sources_of(target)))
        .values(
            state=target,
            updated_at=func.now(),
            completed_at=func.now() if target in FINAL else None,
            **values,
        )
    )
    if moved.rowcount != 1:
        raise LostRace(f"generation {work.generation_id} cannot become {target} from where it stands")
    return target


def _or_canceled(work: Work, target: GenerationState) -> GenerationState:
    # What its provider stopped because we asked has failed of nothing else.
    stopped = target is GenerationState.FAILED and work.stop_asked_at is not None
    concerned = work.kind in {AttemptKind.IMAGE, AttemptKind.FINISH}
    wins = work.cancel_requested and concerned and (stopped or target in _CANCEL_WINS)
    return GenerationState.CANCELED if wins else target


def hand_back(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    failure: LikenessError | None = None,
    wait: timedelta = timedelta(0),
) -> None:
    """Let go of a claimed attempt without counting a try; the same step again after `wait`.

    For what is no fault of the attempt: something is missing on this machine. Harmless where the lease is lost.
    """
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.lease_token == token)
        .values(
            step_tries=func.greatest(attempts.c.step_tries - 1, 0),
            published_at=func.now() + wait,
            **FREE_LEASE,
            **error_columns(failure),
        )
    )


def error_columns(failure: LikenessError | None) -> dict[str, Any]:
    if failure is None:
        return {"error_code": None, "error_message": None}
    return {"error_code": failure.code, "error_message": storable(str(failure))[:4000]}


def _reached(
    connection: Connection, work: Work, target: GenerationState, failure: LikenessError | None
) -> GenerationState:
    """The state that the generation comes to where `target` was meant; an earlier picture or a cancel changes it."""
    reached = _instead_of_failing(connection, work) if target is GenerationState.FAILED else target
    reached = _or_canceled(work, reached)
    if reached is not target and reached is not GenerationState.CANCELED:
        _note_instead(connection, work, reached, failure)
    return reached


def finish(
    connection: Connection,
    work: Work,
    target: GenerationState,
    *,
    outcome: Outcome,
    failure: LikenessError | None = None,
    wait: timedelta | None = None,
) -> GenerationState:
    """End the attempt, release what is still held, and move the generation to `target`.

    Args:
        outcome: `given_back` does not count as a try of the generation: not accepted, or failed like everybody's.
        wait: for a generation that is queued again, the least time until its next attempt.
    """
    hold_state = ledger.release(connection, work, reason=failure.code if failure else outcome)
    errors = error_columns(failure)
    reached = _reached(connection, work, target, failure)
    set_generation(
        connection,
        work,
        reached,
        **(errors if reached in {GenerationState.FAILED, GenerationState.QUEUED} else error_columns(None)),
        not_before=func.now() + wait if wait and reached is GenerationState.QUEUED else None,
        tries=func.greatest(generations.c.tries - (1 if outcome is Outcome.GIVEN_BACK else 0), 0),
    )
    if reached is GenerationState.CANCELED:
        outcome = Outcome.CANCELED
    set_attempt(
        connection,
        work,
        AttemptState.FINISHED,
        outcome=outcome,
        finished_at=func.now(),
        hold_state=hold_state,
        due_at=None,
        blame=failure.blame if failure else None,
        illegal_prompt=isinstance(failure, ProviderError) and failure.illegal_prompt,
        **errors,
    )
    connection.execute(delete(model_inputs).where(model_inputs.c.attempt_id == work.attempt_id))
    if work.kind is AttemptKind.FINISH:
        counts = outcome is not Outcome.GIVEN_BACK
        finishings.attempt_ended(connection, work, reached, failure=failure, wait=wait, counts=counts)
    return reached


def _instead_of_failing(connection: Connection, work: Work) -> GenerationState:
    """What else than failed a generation becomes whose attempt has failed for good.

    One for which a further try was decided on before the job of this attempt, an earlier one, turned up, waits for
    that try. One whose earlier tries were judged is rejected: the best of their pictures stands for it.
    """
    if work.kind is AttemptKind.IMAGE and not work.cancel_requested:
        decided = select(generations.c.changes).where(generations.c.id == work.generation_id)
        if connection.execute(decided).scalar_one() != work.changes:
            return GenerationState.QUEUED
    judged = select(attempts.c.id).where(
        attempts.c.generation_id == work.generation_id, attempts.c.outcome == Outcome.REJECTED
    )
    if work.kind is AttemptKind.IMAGE and connection.execute(judged.limit(1)).first() is not None:
        return GenerationState.REJECTED
    return GenerationState.FAILED


_INSTEAD = {
    GenerationState.QUEUED: "a job that turned up late failed{why}; the try that was decided on is still to come",
    GenerationState.REJECTED: "the further try failed{why}; the best picture of the earlier ones stays",
}


def _note_instead(connection: Connection, work: Work, reached: GenerationState, failure: LikenessError | None) -> None:
    why = f" ({failure.code})" if failure is not None else ""
    history.note(
        connection,
        generation_id=work.generation_id,
        attempt_id=work.attempt_id,
        from_state=work.state,
        to_state=reached,
        actor=CLOSED_LOOP,
        reason=_INSTEAD[reached].format(why=why),
    )


@contextmanager
def owning(connection: Connection, work: Work, job_id: str) -> Iterator[None]:
    """Write the id of a job to an attempt inside the block; nobody else may own the job.

    Raises:
        LostRace: another attempt owns it; what the block wrote is undone, and the transaction is good for more.
    """
    try:
        with connection.begin_nested():
            yield
    except IntegrityError as error:
        if _JOB_KEY not in str(error.orig):
            raise
        raise LostRace(f"job {job_id!r} of lane {work.lane!r} belongs to another attempt already") from error


def charge(connection: Connection, work: Work, amount: Decimal, *, reason: str) -> None:
    """Book the attempt's cost and add it to its generation's."""
    ledger.charge(connection, work, amount, reason=reason)
    connection.execute(
        update(generations)
        .where(generations.c.id == work.generation_id)
        .values(cost=generations.c.cost + amount, updated_at=func.now())
    )
