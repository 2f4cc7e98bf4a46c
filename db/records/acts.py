"""Who did what to a batch by the API or the page. Rows are added and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from db.schema_api import acts
from db.texts import storable, storable_json
from domain.ids import BatchId


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that somebody did.

    Args:
        actor: the key's name, and the user that the request named.
    """

    at: datetime
    actor: str
    act: str
    detail: Mapping[str, Any]


def note(
    connection: Connection,
    *,
    team: str,
    batch_id: BatchId | None,
    actor: str,
    act: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    connection.execute(
        insert(acts).values(
            team=team, batch_id=batch_id, actor=storable(actor)[:400], act=act, detail=storable_json(detail or {})
        )
    )


def of_batch(connection: Connection, batch_id: BatchId, *, limit: int = 100) -> list[Act]:
    """The newest first."""
    columns = [acts.c[name] for name in Act.__dataclass_fields__]
    rows = connection.execute(
        select(*columns).where(acts.c.batch_id == batch_id).order_by(acts.c.id.desc()).limit(limit)
    )
    return [Act(**row) for row in rows.mappings()]
