"""What was spent, by batch, provider, model, user, day or character, and what is still to come."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from db.books.spending_by import By, Spending, bytes_in_bucket, spending_by
from domain.money import show
from pipeline.resources import Resources
from storage.r2_prices import StorageCost, storage_cost

__all__ = ["By", "Spending", "StorageCost", "as_json", "per_accepted", "spending", "storage", "total"]

_SUMS = ("charged_usd", "held_usd", "in_doubt_usd", "released_usd", "to_come_usd")


def spending(resources: Resources, by: By, *, user_id: str | None, since: datetime | None = None) -> list[Spending]:
    """Sums of this user's calls by their key, or of everybody's where `user_id` is None."""
    with resources.database.transaction() as connection:
        return spending_by(connection, by, user_id=user_id, since=since)


def storage(resources: Resources) -> StorageCost:
    """What is in the bucket, at R2's prices."""
    with resources.database.transaction() as connection:
        return storage_cost(*bytes_in_bucket(connection))


def total(parts: Sequence[Spending]) -> Spending:
    """All of them together."""
    sums: dict[str, Any] = {name: sum((getattr(one, name) for one in parts), Decimal(0)) for name in _SUMS}
    counts = {name: sum(getattr(one, name) for one in parts) for name in ("calls", "accepted")}
    return Spending(key="all", **sums, **counts)


def per_accepted(one: Spending) -> Decimal | None:
    """Charged per accepted picture; None before the first."""
    return one.charged_usd / one.accepted if one.accepted else None


def as_json(one: Spending) -> dict[str, Any]:
    """The document of one line: every amount as an exact decimal string, and under `numbers` as a JSON number."""
    amounts = {name: getattr(one, name) for name in _SUMS} | {
        "forecast_usd": one.charged_usd + one.in_doubt_usd + one.to_come_usd,
        "usd_per_accepted": per_accepted(one),
    }
    return {
        "key": one.key,
        "calls": one.calls,
        "accepted": one.accepted,
        **{name: show(value) for name, value in amounts.items()},
        "numbers": {name: None if value is None else float(value) for name, value in amounts.items()},
    }
