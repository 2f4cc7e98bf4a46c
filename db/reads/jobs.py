"""Jobs that attempts of ours had made, by the provider's own ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from db.schema import attempts, lanes


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
