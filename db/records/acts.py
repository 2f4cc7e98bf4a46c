"""Who did what to batches, pictures and characters. Rows are added and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, insert, select

from db.reads.work import Work
from db.schema import batches
from db.schema_api import acts
from db.texts import storable, storable_json
from domain.access import Actor
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


def note(
    connection: Connection,
    *,
    team: str,
    by: Actor,
    act: str,
    batch_id: BatchId | None = None,
    generation_id: GenerationId | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down what somebody did: to a generation, to a batch, or to neither."""
    connection.execute(
        insert(acts).values(
            team=team,
            batch_id=batch_id,
            generation_id=generation_id,
            actor=storable(by.name)[:400],
            key_name=by.key_name,
            act=act,
            detail=storable_json(detail or {}),
        )
    )


def note_change(
    connection: Connection, *, team: str, by: str | Actor | None, act: str, detail: Mapping[str, Any]
) -> None:
    """Write down what somebody did to the team's characters, keys or limits, outside every batch.

    Args:
        by: a name alone: without a key; None: nobody is named, and nothing is written.
    """
    if by is not None:
        note(connection, team=team, by=Actor(name=by) if isinstance(by, str) else by, act=act, detail=detail)


def note_doubt(connection: Connection, work: Work, *, by: str | None, detail: Mapping[str, Any]) -> None:
    """Write down who settled a doubt by hand, and as what; None: nobody is named, and nothing is written."""
    if by is None:
        return
    note(
        connection,
        team=connection.execute(select(batches.c.team).where(batches.c.id == work.batch_id)).scalar_one(),
        by=Actor(name=by),
        act="doubt settled",
        batch_id=work.batch_id,
        generation_id=work.generation_id,
        detail={"attempt": str(work.attempt_id), **detail},
    )


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
