"""Which pictures are not in the bucket yet, and who brings them there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Text, func, literal, or_, select, update

from db.schema import generation_assets
from domain.ids import AssetId


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A stored picture that is on some machine, and perhaps on it alone."""

    asset_id: AssetId
    r2_key: str


def claim(connection: Connection, *, size: int, again_after: timedelta) -> list[Waiting]:
    """Up to `size` pictures that wait, longest untried first; nobody else gets them before `again_after`."""
    assets = generation_assets.c
    due = or_(assets.upload_tried_at.is_(None), assets.upload_tried_at < func.now() - again_after)
    chosen = (
        select(assets.id)
        .where(assets.uploaded_at.is_(None), assets.r2_key.is_not(None), due)
        .order_by(assets.upload_tried_at.asc().nulls_first())
        .limit(size)
        .with_for_update(skip_locked=True)
        # As a plain subquery the planner may run it once per row, and claim more than asked for.
        .cte("chosen")
    )
    rows = connection.execute(
        update(generation_assets)
        .where(assets.id.in_(select(chosen.c.id)))
        .values(upload_tried_at=func.now())
        .returning(assets.id, assets.r2_key)
    )
    return [Waiting(asset_id=AssetId(row.id), r2_key=row.r2_key) for row in rows]


def uploaded(connection: Connection, found: Mapping[AssetId, tuple[str | None, datetime]]) -> None:
    """These are in the bucket now.

    Args:
        found: by asset, its public address where it has one, and when it was there.
    """
    # In one order for everybody, so that two uploaders of the same rows cannot lock each other out.
    for asset_id in sorted(found):
        url, at = found[asset_id]
        connection.execute(
            update(generation_assets)
            .where(generation_assets.c.id == asset_id, generation_assets.c.uploaded_at.is_(None))
            .values(cdn_url=url, uploaded_at=at)
        )


def readdress(connection: Connection, base: str, *, size: int) -> int:
    """Give up to `size` uploaded pictures the address `base` + key, if they have another or none; returns how many."""
    assets = generation_assets.c
    address = literal(base, Text) + assets.r2_key
    chosen = (
        select(assets.id)
        .where(assets.uploaded_at.is_not(None), assets.r2_key.is_not(None), assets.cdn_url.is_distinct_from(address))
        .limit(size)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    moved = update(generation_assets).where(assets.id.in_(select(chosen.c.id))).values(cdn_url=address)
    return connection.execute(moved).rowcount


def give_back(connection: Connection, asset_ids: Sequence[AssetId]) -> None:
    """These were not tried; whoever comes next may try them."""
    if asset_ids:
        connection.execute(
            update(generation_assets)
            .where(generation_assets.c.id.in_(sorted(asset_ids)), generation_assets.c.uploaded_at.is_(None))
            .values(upload_tried_at=None)
        )
