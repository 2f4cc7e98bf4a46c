"""Read everything about some generations in a single statement: what the API is asked most often.

The nine tables that tell of one cost nine statements by `generations.all_details`, most of it in building, sending and
reading each. Here their rows come as one JSON text for each generation, and are brought back to the types of their
columns, so that the result is the same. As long as nothing has changed, the text is the same: whoever made something of
it before need not read it again.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    DateTime,
    Float,
    LargeBinary,
    Numeric,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.types import TypeEngine

from db.reads.generations import GenerationDetails, parts
from db.schema import batches, generations
from db.schema_api import deletions

_ASKED: Final = generations.alias("asked")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGeneration:
    """A generation with what decides who may see it.

    Args:
        rows: of all its tables, as JSON.
        deleted_at: when somebody deleted it; None where nobody did.
    """

    id: UUID
    team: str
    deleted_at: datetime | None
    rows: str

    def details(self) -> GenerationDetails:
        rows = json.loads(self.rows)
        for name, readers in _READERS.items():
            for row in rows[name] or ():
                for column, read in readers.items():
                    if row[column] is not None:
                        row[column] = read(row[column])
        details = GenerationDetails(generation=rows.pop(_OWN)[0])
        for name, of_part in rows.items():
            for row in of_part or ():
                details.add(name, row)
        return details


def find(connection: Connection, ids: Sequence[UUID]) -> list[FoundGeneration]:
    """Those of these generations that there are, in any order. Best on a connection of `Database.lookup`."""
    found = connection.execute(_WHOLE, {"ids": ids})
    return [FoundGeneration(id=row.id, team=row.team, deleted_at=row.deleted_at, rows=row.rows) for row in found]


def _as_json(part: Select[Any]) -> ScalarSelect[Any]:
    """The rows of `part`, in its order; null where there is none."""
    # JSON's numbers are read as floats, which amounts of money must never be.
    columns = [
        cast(one, Text).label(one.key) if _is_decimal(one.type) else one for one in part.selected_columns if one.key
    ]
    rows = part.with_only_columns(*columns).correlate(_ASKED).subquery()
    return select(func.json_agg(rows.table_valued())).scalar_subquery()


def _entry(name: str, part: Select[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Key and value, for `json_build_object`."""
    return literal_column(f"'{name}'"), _as_json(part)


def _is_decimal(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, Numeric) and not isinstance(kind, Float)


def _reader(kind: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Makes of a JSON value what the column holds; None where that is the same."""
    if isinstance(kind, Uuid):
        return UUID
    if isinstance(kind, DateTime):
        return datetime.fromisoformat
    if _is_decimal(kind):
        return Decimal
    if isinstance(kind, LargeBinary):
        return lambda digits: bytes.fromhex(digits.removeprefix(r"\x"))
    if isinstance(kind, ARRAY) and (read := _reader(kind.item_type)) is not None:
        return lambda values: [read(one) for one in values]
    return None


def _readers(part: Select[Any]) -> Mapping[str, Callable[[Any], Any]]:
    read = {one.key: _reader(one.type) for one in part.selected_columns if one.key}
    return {column: reader for column, reader in read.items() if reader is not None}


_OWN: Final = "generation"
_PARTS: Final = {
    _OWN: select(generations).where(generations.c.id == _ASKED.c.id),
    **parts(lambda generation_id: generation_id == _ASKED.c.id),
}
_READERS: Final = {name: _readers(part) for name, part in _PARTS.items()}
_ROWS: Final = [one for name, part in _PARTS.items() for one in _entry(name, part)]
# Built once: building it costs more than sending it.
_WHOLE: Final = (
    select(
        _ASKED.c.id,
        batches.c.team,
        deletions.c.asked_at.label("deleted_at"),
        cast(func.json_build_object(*_ROWS), Text).label("rows"),
    )
    .join(batches, batches.c.id == _ASKED.c.batch_id)
    .outerjoin(deletions, deletions.c.generation_id == _ASKED.c.id)
    .where(_ASKED.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
)
