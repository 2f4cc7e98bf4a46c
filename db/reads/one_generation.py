"""Read everything about one generation in a single statement: what the API is asked most often.

The nine tables that tell of it cost nine statements by `generations.all_details`, most of it in building, sending and
reading each. Here the rows of eight come as JSON beside the row of the ninth, and are brought back to the types of
their columns, so that the result is the same.
"""

from collections.abc import Callable, Mapping
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
    Numeric,
    ScalarSelect,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.types import TypeEngine

from db.reads.generations import GenerationDetails, parts
from db.schema import batches, generations
from db.schema_api import deletions


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundGeneration:
    """A generation with what decides who may see it.

    Args:
        deleted_at: when somebody deleted it; None where nobody did.
    """

    details: GenerationDetails
    team: str
    deleted_at: datetime | None


def find(connection: Connection, generation_id: UUID) -> FoundGeneration | None:
    found = connection.execute(_WHOLE, {"id": generation_id}).mappings().one_or_none()
    if found is None:
        return None
    details = GenerationDetails(generation={column.name: found[column] for column in generations.c})
    for name, readers in _READERS.items():
        for row in found[name] or ():
            for column, read in readers.items():
                if row[column] is not None:
                    row[column] = read(row[column])
            details.add(name, row)
    return FoundGeneration(details=details, team=found["team"], deleted_at=found["deleted_at"])


def _is_asked(generation_id: ColumnElement[Any]) -> ColumnElement[bool]:
    return generation_id == bindparam("id")


def _as_json(part: Select[Any]) -> ScalarSelect[Any]:
    """The rows of `part`, in its order; null where there is none."""
    # JSON's numbers are read as floats, which amounts of money must never be.
    columns = [
        cast(one, Text).label(one.key) if _is_decimal(one.type) else one for one in part.selected_columns if one.key
    ]
    rows = part.with_only_columns(*columns).subquery()
    return select(func.json_agg(rows.table_valued())).scalar_subquery()


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
    if isinstance(kind, ARRAY) and (read := _reader(kind.item_type)) is not None:
        return lambda values: [read(one) for one in values]
    return None


def _readers(part: Select[Any]) -> Mapping[str, Callable[[Any], Any]]:
    read = {one.key: _reader(one.type) for one in part.selected_columns if one.key}
    return {column: reader for column, reader in read.items() if reader is not None}


_PARTS: Final = parts(_is_asked)
_READERS: Final = {name: _readers(part) for name, part in _PARTS.items()}
# Built once: building it costs more than sending it.
_WHOLE: Final = (
    select(
        generations,
        batches.c.team,
        deletions.c.asked_at.label("deleted_at"),
        *(_as_json(part).label(name) for name, part in _PARTS.items()),
    )
    .join(batches, batches.c.id == generations.c.batch_id)
    .outerjoin(deletions, deletions.c.generation_id == generations.c.id)
    .where(_is_asked(generations.c.id))
)
