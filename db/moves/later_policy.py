"""Rejected generations that go on by a policy that came after their verdicts."""

from sqlalchemy import Connection, exists, func, select, update

from db.records import closed_loop, history
from db.records.closed_loop import Decision
from db.schema import generations
from db.schema_api import deletions
from domain.escalation import CLOSED_LOOP
from domain.ids import BatchId, GenerationId
from domain.states import GenerationState


def rejected_of(connection: Connection, batch_id: BatchId) -> list[GenerationId]:
    """The batch's rejected generations, in the order of the prompt file."""
    found = (
        select(generations.c.id)
        .where(
            generations.c.batch_id == batch_id,
            generations.c.state == GenerationState.REJECTED,
            ~exists().where(deletions.c.generation_id == generations.c.id),
        )
        .order_by(generations.c.position, generations.c.id)
    )
    return [GenerationId(one) for one in connection.execute(found).scalars()]


def take_up(connection: Connection, generation_id: GenerationId, decision: Decision) -> bool:
    """Queue a rejected generation for its next try; False where there is none, or it is no longer rejected."""
    if decision.next_try is None:
        return False
    moved = connection.execute(
        update(generations)
        .where(generations.c.id == generation_id, generations.c.state == GenerationState.REJECTED)
        .values(
            state=GenerationState.QUEUED,
            completed_at=None,
            cancel_requested_at=None,
            error_code=None,
            error_message=None,
            not_before=None,
            updated_at=func.now(),
        )
    )
    if moved.rowcount != 1:
        return False
    closed_loop.prepare(connection, generation_id, decision.next_try)
    history.note(
        connection,
        generation_id=generation_id,
        from_state=GenerationState.REJECTED,
        to_state=GenerationState.QUEUED,
        actor=CLOSED_LOOP,
        reason=decision.reason,
        detail=decision.detail,
    )
    return True
