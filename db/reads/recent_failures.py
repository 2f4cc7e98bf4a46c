"""Generations that failed most recently."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from db.schema import batches, generations
from domain.ids import BatchId
from domain.states import GenerationState


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentFailure:
    """A failed generation.

    Args:
        position: its row, from 0.
    """

    batch: str
    position: int
    reason: str


def recent_failures(connection: Connection, batch_ids: Sequence[BatchId], *, limit: int) -> list[RecentFailure]:
    """Failed generations of these batches, the latest first."""
    rows = connection.execute(
        select(batches.c.name, generations.c.position, generations.c.error_code, generations.c.error_message)
        .join(batches, batches.c.id == generations.c.batch_id)
        .where(generations.c.batch_id.in_(batch_ids), generations.c.state == GenerationState.FAILED)
        .order_by(generations.c.completed_at.desc(), generations.c.id)
        .limit(limit)
    )
    return [
        RecentFailure(batch=name, position=position, reason=": ".join(filter(None, (code, message))) or "unknown")
        for name, position, code, message in rows
    ]
