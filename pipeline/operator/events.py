"""What happened in a team's batches, for those who listen: numbered in one place, read from any number on."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from db.records import acts, batches, events
from db.records.events import Event
from domain.access import LOCAL_TEAM, Actor
from domain.ids import BatchId, GenerationId
from pipeline.operator.keys import KeyRow
from pipeline.resources import Resources

__all__ = ["Event", "after", "forget_old", "last_number", "last_numbers", "number", "oldest_number", "want"]


def want(resources: Resources) -> None:
    """Have the rows write events for the coming week."""
    with resources.database.transaction() as connection:
        events.want(connection)


def number(resources: Resources) -> list[Event]:
    """Number what was committed since; empty also where another process does so."""
    with resources.database.transaction() as connection:
        return events.number(connection)


def last_number(resources: Resources, team: str) -> int:
    with resources.database.transaction() as connection:
        return events.last_number(connection, team)


def last_numbers(resources: Resources, teams: Sequence[str]) -> dict[str, int]:
    """Number of each team's newest event; teams without one are left out."""
    with resources.database.transaction() as connection:
        return events.last_numbers(connection, teams)


def oldest_number(resources: Resources, team: str) -> int | None:
    with resources.database.transaction() as connection:
        return events.oldest_number(connection, team)


def after(resources: Resources, team: str, last: int, *, limit: int = 500, batch_id: UUID | None = None) -> list[Event]:
    with resources.database.transaction() as connection:
        return events.after(connection, team, last, limit=limit, batch_id=batch_id)


def forget_old(resources: Resources) -> int:
    with resources.database.transaction() as connection:
        return events.forget_old(connection)


def actor_of(key: KeyRow, *, user_id: str | None = None) -> Actor:
    """The member whose key it is, with the user that the request named where that is another."""
    name = key.member if user_id in {None, key.user_id} else f"{key.member} for {user_id}"
    return Actor(name=name, key_name=key.name)


def note_act(
    resources: Resources,
    key: KeyRow,
    act: str,
    *,
    batch_id: BatchId | None,
    generation_id: GenerationId | None = None,
    user_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down which member did what, by which key."""
    with resources.database.transaction() as connection:
        acts.note(
            connection,
            team=key.team,
            by=actor_of(key, user_id=user_id),
            act=act,
            batch_id=batch_id,
            generation_id=generation_id,
            detail=detail,
        )


def note_act_here(
    resources: Resources,
    user: str,
    act: str,
    *,
    batch_id: BatchId | None,
    generation_id: GenerationId | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down what the user of this machine did on the command line or in a script."""
    with resources.database.transaction() as connection:
        acts.note(
            connection,
            team=LOCAL_TEAM if batch_id is None else batches.get(connection, batch_id).team,
            by=Actor(name=user),
            act=act,
            batch_id=batch_id,
            generation_id=generation_id,
            detail=detail,
        )
