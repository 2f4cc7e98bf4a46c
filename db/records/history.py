"""The history of a generation: changes that a user or a rule asked for, such as a retry or a settled doubt, and why.

Ordinary steps are recorded in the attempts' own rows. Rows are only added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from db.schema import generation_history
from db.texts import storable, storable_json
from domain.ids import AttemptId, GenerationId

#: The user who ran a command; the batch's owner identifies them.
PERSON = "a person"
#: Rules that settle a doubt.
THE_LIST = "the provider's list"
THE_REPLY = "the provider's reply"
A_WEBHOOK = "a webhook and the job it named"


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One requested change.

    Args:
        attempt_id: the attempt concerned, or None.
        from_state, to_state: of the generation; equal where it did not move.
        actor: `PERSON`, or the rule that decided.
        detail: further data as JSON.
    """

    at: datetime
    generation_id: GenerationId
    attempt_id: AttemptId | None
    from_state: str
    to_state: str
    actor: str
    reason: str
    detail: Mapping[str, Any]


def note(  # noqa: PLR0913 -- the columns of one row, each by its name
    connection: Connection,
    *,
    generation_id: GenerationId,
    attempt_id: AttemptId | None = None,
    from_state: str,
    to_state: str,
    actor: str,
    reason: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record a change of one generation, in the transaction that makes it."""
    connection.execute(
        insert(generation_history).values(
            generation_id=generation_id,
            attempt_id=attempt_id,
            from_state=str(from_state),
            to_state=str(to_state),
            actor=actor,
            reason=storable(reason)[:4000],
            detail=storable_json(detail or {}),
        )
    )


def note_all(
    connection: Connection, from_states: Mapping[GenerationId, str], *, to_state: str, actor: str, reason: str
) -> None:
    """Record the same change of many generations.

    Args:
        from_states: the former state of each.
    """
    if not from_states:
        return
    common = {"to_state": str(to_state), "actor": actor, "reason": storable(reason)[:4000]}
    rows = [{"generation_id": one, "from_state": str(state), **common} for one, state in from_states.items()]
    connection.execute(insert(generation_history), rows)


def of(connection: Connection, generation_id: GenerationId) -> list[HistoryRow]:
    """The history of one generation, oldest first."""
    return of_many(connection, [generation_id])


def of_many(connection: Connection, generation_ids: Sequence[GenerationId]) -> list[HistoryRow]:
    """The history of these generations, oldest first."""
    history = generation_history.c
    rows = connection.execute(
        select(
            history.at,
            history.generation_id,
            history.attempt_id,
            history.from_state,
            history.to_state,
            history.actor,
            history.reason,
            history.detail,
        )
        .where(history.generation_id.in_(list(generation_ids)))
        .order_by(history.id)
    )
    return [HistoryRow(**row) for row in rows.mappings()]
