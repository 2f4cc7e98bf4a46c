"""What a person may do to generations at any moment: cancel, retry, have their check made again."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import array

from db.moves.rows import error_columns, finish, set_attempt, set_generation, take_free
from db.reads.work import Work, finish_given_up
from db.records import finishings, history
from db.schema import attempts, generation_assets, generations
from db.schema_api import deletions
from domain.ids import BatchId, GenerationId
from domain.preparation import PREPARED_AT, WISHES
from domain.states import FINAL, AttemptKind, AttemptState, GenerationState, Outcome, sources_of

#: What ends a check without a word about the picture. Not `unfit_picture`: checking that again says the same.
CHECK_FAILED = ("scorer_error", "scorer_broken", "out_of_memory", "model_unloadable", "poison")


def request_cancel(connection: Connection, batch_id: BatchId, *, generation_id: GenerationId | None = None) -> int:
    """Ask every generation of the batch, or that one of it, to stop unless it is final; returns how many were asked.

    What waits in the queue is canceled at once. What is at a provider runs to the provider's last word, is charged or
    released, keeps its pictures, and is canceled then. What is admitted is canceled by `cancel_admitted`, in a
    transaction of its own: steps lock attempts before generations, and this one starts with generations. Calls that
    finish pictures are treated alike: those of generations that are completed too, which stay so.
    """
    chosen = (
        select(generations.c.id, generations.c.state, generations.c.cancel_requested_at.label("asked_before"))
        .where(
            generations.c.batch_id == batch_id,
            generations.c.state.not_in(FINAL),
            true() if generation_id is None else generations.c.id == generation_id,
        )
        .order_by(generations.c.id)
        .with_for_update()
        .cte("chosen")
    )
    waiting = generations.c.state.in_([GenerationState.PREPARING, GenerationState.QUEUED])
    asked = (
        update(generations)
        .where(generations.c.id == chosen.c.id)
        .values(
            cancel_requested_at=func.coalesce(generations.c.cancel_requested_at, func.now()),
            state=case((waiting, GenerationState.CANCELED), else_=generations.c.state),
            completed_at=case((waiting, func.now()), else_=None),
            updated_at=func.now(),
        )
        .returning(generations.c.id, chosen.c.state.label("before"), generations.c.state, chosen.c.asked_before)
    )
    rows = connection.execute(asked).all()
    new = [row for row in rows if row.asked_before is None]
    for reached in {row.state for row in new}:
        before = {GenerationId(row.id): row.before for row in new if row.state == reached}
        history.note_all(connection, before, to_state=reached, actor=history.PERSON, reason="a cancel was asked for")
    finishings.cancel(connection, batch_id, generation_id)
    return len(rows)


def cancel_admitted(connection: Connection) -> list[GenerationId]:
    """Cancel what a person asked to stop and no worker has claimed yet; returns the generations."""
    works = take_free(
        connection,
        attempts.c.state == AttemptState.ADMITTED,
        or_(generations.c.cancel_requested_at.is_not(None), finish_given_up()),
    )
    for work in works:
        finish(connection, work, GenerationState.CANCELED, outcome=Outcome.CANCELED)
    return [work.generation_id for work in works]


def hasten_cancelled(connection: Connection) -> int:
    """Make the next look at every running job due now that a person asked to stop and nobody has told its provider.

    In a transaction of its own, as `cancel_admitted`. A look that is under way keeps its row: it sees the wish itself.
    """
    wanted = select(generations.c.id).where(generations.c.cancel_requested_at.is_not(None))
    chosen = (
        select(attempts.c.id)
        .where(
            attempts.c.state == AttemptState.GENERATING,
            attempts.c.stop_asked_at.is_(None),
            attempts.c.due_at > func.now(),
            or_(attempts.c.generation_id.in_(wanted), finish_given_up()),
        )
        .order_by(attempts.c.id)
        .with_for_update()
        .cte("chosen")
    )
    hastened = update(attempts).where(attempts.c.id.in_(select(chosen.c.id))).values(due_at=func.now())
    return connection.execute(hastened).rowcount


def check_again(connection: Connection, batch_id: BatchId, *, reason: str | None = None) -> list[Work]:
    """Put generations whose check failed, and whose pictures are stored, back to their check; returns their attempts.

    Nothing is sent to a provider for it, and nothing charged: an attempt goes on where it ended. Its deaths stay, so
    that poison runs alone. At most 500 in one call; in a transaction of its own, as `cancel_admitted`.

    Args:
        reason: only those with this `error_code`.
    """
    wanted = [generations.c.batch_id == batch_id, *_checkable()]
    if reason is not None:
        wanted.append(generations.c.error_code == reason)
    works = take_free(connection, *wanted)
    failed = select(generations.c.id, generations.c.error_code)
    codes = dict(connection.execute(failed.where(generations.c.id.in_([work.generation_id for work in works]))).all())
    for work in works:
        history.note(
            connection,
            generation_id=work.generation_id,
            attempt_id=work.attempt_id,
            from_state=GenerationState.FAILED,
            to_state=GenerationState.VALIDATING,
            actor=history.PERSON,
            reason=f"the check of its stored pictures is asked for again after {codes[work.generation_id]}",
        )
        set_attempt(
            connection,
            work,
            AttemptState.VALIDATING,
            outcome=None,
            finished_at=None,
            step_tries=0,
            published_at=func.now(),
            blame=None,
            **error_columns(None),
        )
        set_generation(connection, work, GenerationState.VALIDATING, cancel_requested_at=None, **error_columns(None))
    return works


def _checkable() -> list[ColumnElement[bool]]:
    """Attempts joined with their generations: the last one's check failed, and there is something to check."""
    later = attempts.alias("later")
    return [
        generations.c.state == GenerationState.FAILED,
        generations.c.character_id.is_not(None),
        attempts.c.kind == AttemptKind.IMAGE,
        attempts.c.outcome == Outcome.FAILED,
        attempts.c.error_code.in_(CHECK_FAILED),
        exists().where(generation_assets.c.attempt_id == attempts.c.id, generation_assets.c.r2_key.is_not(None)),
        ~exists().where(
            later.c.generation_id == attempts.c.generation_id,
            later.c.kind == AttemptKind.IMAGE,
            later.c.number > attempts.c.number,
        ),
    ]


def retry(
    connection: Connection,
    batch_id: BatchId,
    *,
    states: Sequence[GenerationState],
    reason: str | None = None,
    anew: bool = False,
) -> int:
    """Put final generations back into the queue; returns how many.

    Args:
        states: which final states; `completed` is never among them.
        reason: only those with this `error_code`.
        anew: those too whose stored pictures can be checked again, which would cost nothing.
    """
    wanted = _retriable(batch_id, states=states, reason=reason, anew=anew)
    # In the order in which a cancel locks them, so that the two may meet.
    chosen = (
        select(generations.c.id, generations.c.state, generations.c.error_code)
        .where(*wanted)
        .order_by(generations.c.id)
        .with_for_update()
        .cte("chosen")
    )
    rows = connection.execute(
        update(generations)
        .where(generations.c.id == chosen.c.id)
        .values(
            state=case((_unprepared(), GenerationState.PREPARING.value), else_=GenerationState.QUEUED.value),
            completed_at=None,
            cancel_requested_at=None,
            error_code=None,
            error_message=None,
            not_before=None,
            tries=0,
            # What a further try had asked for instead stays; the counting begins anew.
            changes=generations.c.changes.op("-")(array(["try", "since", "action"])),
            updated_at=func.now(),
        )
        .returning(generations.c.id, chosen.c.state, chosen.c.error_code, generations.c.state.label("reached"))
    ).all()
    for code, reached in {(row.error_code, row.reached) for row in rows}:
        before = {GenerationId(row.id): row.state for row in rows if (row.error_code, row.reached) == (code, reached)}
        said = f"asked for again after {code}" if code else "asked for again"
        history.note_all(connection, before, to_state=GenerationState(reached), actor=history.PERSON, reason=said)
    return len(rows)


def _unprepared() -> ColumnElement[bool]:
    """Its prompt was to be prepared, and never was: what stands there is no prompt that could be sent."""
    data = generations.c.pipeline_data
    return and_(data.has_key(WISHES), ~data.has_key(PREPARED_AT))


def _retriable(
    batch_id: BatchId, *, states: Sequence[GenerationState], reason: str | None, anew: bool
) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [
        generations.c.batch_id == batch_id,
        generations.c.state.in_(sources_of(GenerationState.QUEUED) & FINAL & set(states)),
        ~exists().where(deletions.c.generation_id == generations.c.id),
    ]
    if reason is not None:
        wanted.append(generations.c.error_code == reason)
    if not anew:
        wanted.append(~exists().where(attempts.c.generation_id == generations.c.id, *_checkable()))
    return wanted


def reasons(connection: Connection, batch_id: BatchId) -> dict[str, int]:
    """How many generations of the batch failed, by `error_code`."""
    rows = connection.execute(
        select(generations.c.error_code, func.count())
        .where(generations.c.batch_id == batch_id, generations.c.state == GenerationState.FAILED)
        .group_by(generations.c.error_code)
    )
    return dict(rows.all())
