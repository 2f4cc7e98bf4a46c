"""Personas of a team, each as the document that a file of it holds."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from db.ids import new_id
from db.records.names_in_words import known_names
from db.schema_learning import personas
from db.texts import storable_json
from domain.errors import UnknownThing


def put(connection: Connection, name: str, document: Mapping[str, Any], *, digest: str, team: str) -> None:
    """Write a persona; one of that name is replaced."""
    values = {"document": storable_json(document), "digest": digest}
    connection.execute(
        upsert(personas)
        .values(id=new_id(), team=team, name=name, **values)
        .on_conflict_do_update(
            index_elements=[personas.c.team, personas.c.name], set_={**values, "updated_at": func.now()}
        )
    )


def find(connection: Connection, name: str, *, team: str) -> Mapping[str, Any]:
    """The document of a persona.

    Raises:
        UnknownThing: there is none; the first of those that the team has are listed.
    """
    document: Mapping[str, Any] | None = connection.execute(
        select(personas.c.document).where(personas.c.team == team, personas.c.name == name)
    ).scalar_one_or_none()
    if document is None:
        there = known_names(connection, personas.c.name, personas.c.team == team)
        hint = there or "make one with `likeness persona create`"
        raise UnknownThing(f"there is no persona {name!r}; {hint}")
    return document


def list_all(connection: Connection, *, team: str) -> list[Mapping[str, Any]]:
    """The documents of a team's personas, by name."""
    rows = connection.execute(select(personas.c.document).where(personas.c.team == team).order_by(personas.c.name))
    return list(rows.scalars())
