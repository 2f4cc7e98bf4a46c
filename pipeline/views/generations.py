"""List, find and show generations, and sum up costs. Read-only."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.reads import generations
from db.reads.generations import GenerationDetails, Wanted
from db.records import batches
from domain.errors import BadInput, UnknownThing
from domain.finishing import FinishOutcome
from domain.ids import BatchId
from domain.money import show
from pipeline.characters import threshold_origin
from pipeline.resources import Resources

__all__ = [
    "Cost",
    "GenerationDetails",
    "Wanted",
    "as_json",
    "cost_summary",
    "costs",
    "find",
    "labels",
    "page",
    "summed",
]

#: Columns left out of documents: secrets and technical values.
_UNTOLD = frozenset({"token", "lease_token", "identity", "occurrence"})


def page(
    resources: Resources,
    wanted: Wanted,
    *,
    limit: int | None = None,
    offset: int = 0,
    told: Collection[str] | None = None,
) -> list[GenerationDetails]:
    """A page of generations: of a batch in the order of its prompt file, or of all batches, newest first.

    Args:
        told: which fields of the details are filled beside the generation's own row; None for all.
    """
    with resources.database.transaction() as connection:
        return generations.all_details(connection, wanted, limit=limit, offset=offset, told=told)


def find(resources: Resources, wanted: str, *, user_id: str) -> GenerationDetails:
    """Find a generation by its id or by `BATCH/ROW`, with rows counted from 0.

    Raises:
        UnknownThing: there is none.
        BadInput: the row has several generations; the message names them.
    """
    batch_name, slash, row = wanted.rpartition("/")
    with resources.database.transaction() as connection:
        if not slash:
            found = generations.all_details(
                connection, Wanted(generation_id=generations.find_generation(connection, wanted))
            )
            return found[0]
        if not row.isdecimal():
            raise BadInput(f"{wanted!r} names no row; write BATCH/ROW with a number, or the id of a generation")
        batch = batches.find(connection, batch_name, user_id=user_id)
        found = generations.all_details(connection, Wanted(batch_id=batch.id, position=int(row)))
    if not found:
        raise UnknownThing(f"batch {batch.name!r} has no row {row}; `likeness list {batch.name}` shows its rows")
    if len(found) > 1:
        ids = ", ".join(str(one.generation["id"]) for one in found)
        raise BadInput(f"row {row} of {batch.name!r} has changed and stands for {len(found)} generations: {ids}")
    return found[0]


def labels(details: GenerationDetails) -> dict[UUID, str]:
    """The number of each picture for users: its position from 0, or `ATTEMPT.POSITION` if several attempts have any.

    Those that finishing made are `finished.1` and so on, by their attempts.
    """
    numbers = {one["id"]: one["number"] for one in details.attempts}
    several = len({asset["attempt_id"] for asset in details.assets if asset["asset_type"] == "image"}) > 1
    return {asset["id"]: _label(asset, numbers[asset["attempt_id"]], several=several) for asset in details.assets}


def _label(asset: dict[str, Any], number: int, *, several: bool) -> str:
    if asset["asset_type"] != "image":
        return f"finished.{number}"
    return f"{number}.{asset['position']}" if several else str(asset["position"])


def finished_pictures(details: GenerationDetails, *, passed: bool = False) -> dict[UUID, str]:
    """The pictures that finishing came to, each with what was wished; the last one of the same wish.

    Args:
        passed: only those that stand as results.
    """
    told = {FinishOutcome.FINISHED} if passed else {FinishOutcome.FINISHED, FinishOutcome.REJECTED}
    by_wish = {one["wanted"]: one["asset_id"] for one in details.finishings if one["outcome"] in told}
    return {asset_id: wanted for wanted, asset_id in by_wish.items()}


def as_json(details: GenerationDetails) -> dict[str, Any]:
    """The generation with all its rows as a JSON document, without secrets."""
    return {
        **_told(details.generation),
        "attempts": [_told(row) for row in details.attempts],
        "assets": [_told(row) for row in details.assets],
        "verdicts": [
            _told(row) | {"thresholds_in_words": threshold_origin.describe_verdict(row)}
            for rows in details.verdicts.values()
            for row in rows
        ],
        "history": [_told(row) for row in details.history],
        "feedback": [_told(row) for row in details.feedback],
        "acts": [_told(row) for row in details.acts],
        "finishings": [_told(row) for row in details.finishings],
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
    """The cost of a batch, or of all together.

    Args:
        batch_id: None for the total.
        paid: number of charged calls.
        accepted: generations with an accepted picture.
    """

    batch_id: BatchId | None = None
    name: str
    paid: int
    accepted: int
    charged_usd: Decimal
    held_usd: Decimal
    in_doubt_usd: Decimal
    limit_usd: Decimal | None = None

    @property
    def average_usd(self) -> Decimal | None:
        """Average per charged call; None before the first."""
        return self.charged_usd / self.paid if self.paid else None

    @property
    def per_accepted_usd(self) -> Decimal | None:
        """Charged per accepted picture; None before the first."""
        return self.charged_usd / self.accepted if self.accepted else None


def costs(resources: Resources, *, user_id: str, since: datetime | None = None) -> list[Cost]:
    """Costs per batch, newest first.

    Args:
        since: only batches created then or later.
    """
    with resources.database.transaction() as connection:
        rows = generations.cost_of(connection, user_id=user_id, since=since)
    return [
        Cost(
            batch_id=row["id"],
            name=row["name"],
            paid=row["paid"],
            accepted=row["accepted"],
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
        accepted=sum(one.accepted for one in parts),
        charged_usd=sum((one.charged_usd for one in parts), Decimal(0)),
        held_usd=sum((one.held_usd for one in parts), Decimal(0)),
        in_doubt_usd=sum((one.in_doubt_usd for one in parts), Decimal(0)),
    )


def cost_summary(cost: Cost) -> dict[str, int | float | None]:
    """The three figures of the owner's `get_cost_summary()`, as plain numbers; the average is per charged call."""
    average = cost.average_usd
    return {
        "images_generated": cost.paid,
        "total_cost": float(cost.charged_usd),
        "avg_cost_per_image": None if average is None else round(float(average), 6),
    }
