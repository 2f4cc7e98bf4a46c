"""Jobs that attempts of ours had made, by the provider's own ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from db.schema import attempts, batches, generations, lanes
from domain.ids import BatchId
from domain.states import AttemptState


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneJob:
    """A job of ours that its provider has finished.

    Args:
        sent_prompt: the text as it was sent.
        detail: what else the provider said in its last word.
    """

    lane: str
    sent_prompt: str
    detail: Mapping[str, Any]


def done(connection: Connection, *, provider: str, job_id: str) -> DoneJob | None:
    """The job of that id on any lane of the provider, if an attempt of ours owns it and it is done."""
    row = connection.execute(
        select(attempts.c.lane, attempts.c.sent_prompt, attempts.c.result).where(
            attempts.c.lane.in_(select(lanes.c.name).where(lanes.c.provider == provider)),
            attempts.c.job_id == job_id,
            attempts.c.made_at.is_not(None),
        )
    ).first()
    if row is None:
        return None
    return DoneJob(lane=row.lane, sent_prompt=row.sent_prompt or "", detail=row.result.get("detail") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueJob:
    """A job that its provider has been working on for longer than its deadline.

    Args:
        position: row of its generation, from 0.
        age: since the provider took it.
    """

    batch: str
    position: int
    lane: str
    job_id: str
    age: timedelta


def overdue(connection: Connection, *, batch_id: BatchId | None = None) -> list[OverdueJob]:
    """Overdue jobs of a batch, or of all batches, the oldest first."""
    age = (func.now() - attempts.c.accepted_at).label("age")
    found = (
        select(batches.c.name.label("batch"), generations.c.position, attempts.c.lane, attempts.c.job_id, age)
        .join(generations, generations.c.id == attempts.c.generation_id)
        .join(batches, batches.c.id == attempts.c.batch_id)
        .where(attempts.c.state == AttemptState.GENERATING, attempts.c.deadline_at < func.now())
        .order_by(attempts.c.accepted_at)
    )
    if batch_id is not None:
        found = found.where(attempts.c.batch_id == batch_id)
    return [OverdueJob(**row) for row in connection.execute(found).mappings()]
