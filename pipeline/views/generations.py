"""What people ask about generations and money. Nothing here changes a row."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.reads import generations
from db.reads.generations import Story, Wanted
from db.records import batches
from domain.errors import BadInput, UnknownThing
from domain.ids import BatchId
from domain.money import show
from domain.states import GenerationState
from pipeline.characters import threshold_origin
from pipeline.resources import Resources

__all__ = ["Cost", "Story", "as_json", "costs", "find", "labels", "page", "summed"]

#: Secrets, and what only a statement needs.
_UNTOLD = frozenset({"token", "lease_token", "identity", "occurrence"})


def page(
    resources: Resources,
    *,
    batch_id: BatchId | None,
    user_id: str,
    state: GenerationState | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[Story]:
    """Generations in the order of the prompt file; of all batches, the newest first, where no batch is named."""
    wanted = Wanted(batch_id=batch_id, user_id=user_id, state=state)
    with resources.database.transaction() as connection:
        return generations.stories(connection, wanted, limit=limit, offset=offset)


def find(resources: Resources, wanted: str, *, user_id: str) -> Story:
    """The generation that a person means: by its id, or by `BATCH/ROW`, rows counted from 0.

    Raises:
        UnknownThing: there is none.
        BadInput: several generations were made of that row; the sentence names them.
    """
    batch_name, slash, row = wanted.rpartition("/")
    with resources.database.transaction() as connection:
        if not slash:
            found = generations.stories(
                connection, Wanted(generation_id=generations.find_generation(connection, wanted))
            )
            return found[0]
        if not row.isdecimal():
            raise BadInput(f"{wanted!r} names no row; write BATCH/ROW with a number, or the id of a generation")
        batch = batches.find(connection, batch_name, user_id=user_id)
        found = generations.stories(connection, Wanted(batch_id=batch.id, position=int(row)))
    if not found:
        raise UnknownThing(f"batch {batch.name!r} has no row {row}; `likeness list {batch.name}` shows its rows")
    if len(found) > 1:
        ids = ", ".join(str(one.generation["id"]) for one in found)
        raise BadInput(f"row {row} of {batch.name!r} has changed and stands for {len(found)} generations: {ids}")
    return found[0]


def labels(story: Story) -> dict[UUID, str]:
    """What each picture is called: its place from 0, after its attempt's number where several have pictures, as 2.1."""
    numbers = {one["id"]: one["number"] for one in story.attempts}
    several = len({asset["attempt_id"] for asset in story.assets}) > 1
    return {
        asset["id"]: f"{numbers[asset['attempt_id']]}.{asset['position']}" if several else str(asset["position"])
        for asset in story.assets
    }


def as_json(story: Story) -> dict[str, Any]:
    """The whole story as a document: the columns of the rows, without secrets."""
    return {
        **_told(story.generation),
        "attempts": [_told(row) for row in story.attempts],
        "assets": [_told(row) for row in story.assets],
        "verdicts": [
            _told(row) | {"thresholds_in_words": threshold_origin.describe_verdict(row)}
            for rows in story.verdicts.values()
            for row in rows
        ],
        "history": [_told(row) for row in story.history],
        "feedback": [_told(row) for row in story.feedback],
    }


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in row.items() if name not in _UNTOLD}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return show(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a batch cost, or all of them together.

    Args:
        batch_id: None for the total.
        paid: calls that were charged.
    """

    batch_id: BatchId | None = None
    name: str
    paid: int
    charged_usd: Decimal
    held_usd: Decimal
    in_doubt_usd: Decimal
    limit_usd: Decimal | None = None

    @property
    def average_usd(self) -> Decimal | None:
        """Per charged call; None before the first."""
        return self.charged_usd / self.paid if self.paid else None


def costs(resources: Resources, *, user_id: str, since: datetime | None = None) -> list[Cost]:
    """Per batch, the newest first.

    Args:
        since: only batches made then or later.
    """
    with resources.database.transaction() as connection:
        rows = generations.cost_of(connection, user_id=user_id, since=since)
    return [
        Cost(
            batch_id=row["id"],
            name=row["name"],
            paid=row["paid"],
            charged_usd=row["charged_usd"],
            held_usd=row["held_usd"],
            in_doubt_usd=row["in_doubt_usd"],
            limit_usd=row["limit_usd"],
        )
        for row in rows
    ]


def summed(parts: list[Cost]) -> Cost:
    return Cost(
        name="all",
        paid=sum(one.paid for one in parts),
        charged_usd=sum((one.charged_usd for one in parts), Decimal(0)),
        held_usd=sum((one.held_usd for one in parts), Decimal(0)),
        in_doubt_usd=sum((one.in_doubt_usd for one in parts), Decimal(0)),
    )
