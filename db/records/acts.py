"""Who did what to batches, pictures and characters. Rows are added and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from db.schema_api import acts
from db.texts import storable, storable_json
from domain.ids import BatchId, GenerationId


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that somebody did.

    Args:
        actor: the member, and the user that the request named.
        key_name: by which key; None on the command line or in a script.
        generation_id: None where it is about the whole batch.
    """

    at: datetime
    actor: str
    key_name: str | None
    act: str
    generation_id: UUID | None
    detail: Mapping[str, Any]


def note(  # noqa: PLR0913 -- the columns of one row, each by its name
    connection: Connection,
    *,
    team: str,
    batch_id: BatchId | None,
    generation_id: GenerationId | None,
    actor: str,
    key_name: str | None,
    act: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(
        insert(acts).values(
            team=team,
            batch_id=batch_id,
            generation_id=generation_id,
            actor=storable(actor)[:400],
            key_name=key_name,
            act=act,
            detail=storable_json(detail or {}),
        )
    )


def note_change(connection: Connection, *, team: str, by: str, act: str, detail: Mapping[str, Any]) -> None:
    """Write down what somebody did to the team's keys or limits, outside every batch and without a key."""
    note(connection, team=team, batch_id=None, generation_id=None, actor=by, key_name=None, act=act, detail=detail)


def of_no_batch(connection: Connection, team: str, *, limit: int) -> list[Act]:
    """What was done to the team's characters, keys and limits; the newest first."""
    columns = [acts.c[name] for name in Act.__dataclass_fields__]
    wanted = select(*columns).where(acts.c.batch_id.is_(None), acts.c.team == team)
    return [Act(**row) for row in connection.execute(wanted.order_by(acts.c.id.desc()).limit(limit)).mappings()]


def of_batch(connection: Connection, batch_id: BatchId, *, limit: int = 100) -> list[Act]:
    """The newest first."""
    columns = [acts.c[name] for name in Act.__dataclass_fields__]
    rows = connection.execute(
        select(*columns).where(acts.c.batch_id == batch_id).order_by(acts.c.id.desc()).limit(limit)
    )
    return [Act(**row) for row in rows.mappings()]
