"""The read side of spending, by batch, provider, model, user, day or character: the ledger and open holds."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, Text, cast, func, select

from db.schema import attempts, batches, characters, generation_assets, generations, ledger_entries
from domain.states import GenerationState, HoldState, LedgerKind

#: States of a generation whose present call is not charged yet.
_TO_BE_PAID: Final = (
    GenerationState.QUEUED,
    GenerationState.ADMITTED,
    GenerationState.SUBMITTING,
    GenerationState.GENERATING,
)


class By(StrEnum):
    """What spending is summed by."""

    BATCH = "batch"
    PROVIDER = "provider"
    MODEL = "model"
    USER = "user"
    DAY = "day"
    CHARACTER = "character"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What one batch, provider, model, user, day (UTC) or character has cost.

    Args:
        key: None where generations have no character, which no name can say, since a character may have any.
        calls: charged ones.
        released_usd: set aside for calls that came to nothing, and given back.
        to_come_usd: by the catalogue's prices, for generations that are not charged yet.
        accepted: generations with an accepted picture; on the day on which it was.
    """

    key: str | None
    calls: int = 0
    charged_usd: Decimal = Decimal(0)
    held_usd: Decimal = Decimal(0)
    in_doubt_usd: Decimal = Decimal(0)
    released_usd: Decimal = Decimal(0)
    to_come_usd: Decimal = Decimal(0)
    accepted: int = 0


def spending_by(
    connection: Connection, by: By, *, user_id: str | None = None, since: datetime | None = None
) -> list[Spending]:
    """Sums over all calls, by their key.

    Args:
        user_id: None for everybody.
        since: charges and releases booked, holds made, and pictures accepted then or later.
    """
    found: dict[str | None, dict[str, Any]] = defaultdict(dict)
    for sums in (_booked(by, since), _open(by, since), _pictures(by, since)):
        mine = sums if user_id is None else sums.where(batches.c.user_id == user_id)
        for row in connection.execute(mine).mappings():
            found[row["key"]] |= {name: value for name, value in row.items() if name != "key" and value is not None}
    return [Spending(key=key, **found[key]) for key in sorted(found, key=lambda key: (key is None, key or ""))]


def bytes_in_bucket(connection: Connection) -> tuple[int, int]:
    """Bytes and number of the pictures that are in the bucket."""
    sums = select(func.coalesce(func.sum(generation_assets.c.file_size), 0), func.count())
    row = connection.execute(sums.where(generation_assets.c.uploaded_at.is_not(None))).one()
    return int(row[0]), int(row[1])


def _booked(by: By, since: datetime | None) -> Any:
    """By the ledger: what was charged, and what was given back."""
    ledger = ledger_entries.c
    given_back = -func.sum(ledger.held_usd + ledger.in_doubt_usd).filter(ledger.kind == LedgerKind.RELEASE)
    key = _key(by, attempts, at=ledger.at)
    sums = (
        select(
            key,
            func.count().filter(ledger.kind == LedgerKind.CHARGE).label("calls"),
            func.sum(ledger.charged_usd).label("charged_usd"),
            given_back.label("released_usd"),
        )
        .join(attempts, attempts.c.id == ledger.attempt_id)
        .join(generations, generations.c.id == attempts.c.generation_id)
    )
    return _grouped(sums, key, at=ledger.at, since=since)


def _open(by: By, since: datetime | None) -> Any:
    """By the attempts: what is set aside now, on the day on which it was."""
    held = attempts.c.hold_state
    key = _key(by, attempts, at=attempts.c.created_at)
    sums = (
        select(
            key,
            func.sum(attempts.c.hold_usd).filter(held == HoldState.HELD).label("held_usd"),
            func.sum(attempts.c.hold_usd).filter(held == HoldState.IN_DOUBT).label("in_doubt_usd"),
        )
        .join(generations, generations.c.id == attempts.c.generation_id)
        .where(held.in_((HoldState.HELD, HoldState.IN_DOUBT)))
    )
    return _grouped(sums, key, at=attempts.c.created_at, since=since)


def _pictures(by: By, since: datetime | None) -> Any:
    """By the generations: what was accepted, and what is to be paid yet."""
    at = func.coalesce(generations.c.completed_at, generations.c.created_at)
    key = _key(by, generations, at=at)
    state = generations.c.state
    sums = select(
        key,
        func.count().filter(state == GenerationState.COMPLETED).label("accepted"),
        func.sum(generations.c.price_usd).filter(state.in_(_TO_BE_PAID)).label("to_come_usd"),
    ).select_from(generations)
    return _grouped(sums, key, at=at, since=since)


def _grouped(sums: Any, key: Any, *, at: ColumnElement[Any], since: datetime | None) -> Any:
    joined = sums.join(batches, batches.c.id == generations.c.batch_id).outerjoin(
        characters, characters.c.id == generations.c.character_id
    )
    return (joined if since is None else joined.where(at >= since)).group_by(key)


def _key(by: By, calls: FromClause, *, at: ColumnElement[Any]) -> Any:
    keys: dict[By, ColumnElement[Any]] = {
        By.BATCH: batches.c.name,
        By.PROVIDER: calls.c.provider,
        By.MODEL: calls.c.model,
        By.USER: batches.c.user_id,
        By.DAY: cast(func.date(func.timezone("UTC", at)), Text),
        By.CHARACTER: characters.c.name,
    }
    return keys[by].label("key")
