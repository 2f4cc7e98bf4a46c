"""Claim pictures, grids and references that are not in the bucket yet, for upload."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Text, func, literal, or_, select, tuple_, update

from db.schema import generation_assets
from db.schema_checks import character_references
from domain.ids import AssetId

_row_of_reference = tuple_(character_references.c.character_id, character_references.c.position)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Files that are on some machine, and perhaps nowhere else.

    Args:
        asset_id: the asset; None for a reference picture, which is identified by its key.
        grid_key: the grid that the picture was cut from, or None.
    """

    r2_key: str
    asset_id: AssetId | None = None
    grid_key: str | None = None


def claim(connection: Connection, *, size: int, again_after: timedelta) -> list[Waiting]:
    """Claim up to `size` waiting files, longest untried first; no other caller gets them before `again_after`.

    References come first, because submissions wait for them.
    """
    references = _claim_references(connection, size=size, again_after=again_after)
    return references + _claim_assets(connection, size=size - len(references), again_after=again_after)


def _claim_assets(connection: Connection, *, size: int, again_after: timedelta) -> list[Waiting]:
    assets = generation_assets.c
    chosen = (
        select(assets.id)
        .where(assets.uploaded_at.is_(None), assets.r2_key.is_not(None), _due(assets.upload_tried_at, again_after))
        .order_by(assets.upload_tried_at.asc().nulls_first())
        .limit(size)
        .with_for_update(skip_locked=True)
        # A CTE: as a plain subquery the planner may run it once per row, and claim too many.
        .cte("chosen")
    )
    rows = connection.execute(
        update(generation_assets)
        .where(assets.id.in_(select(chosen.c.id)))
        .values(upload_tried_at=func.now())
        .returning(assets.id, assets.r2_key, assets.metadata["grid_key"].astext.label("grid_key"))
    )
    return [Waiting(r2_key=row.r2_key, asset_id=AssetId(row.id), grid_key=row.grid_key) for row in rows]


def _claim_references(connection: Connection, *, size: int, again_after: timedelta) -> list[Waiting]:
    """Like assets; a file that several characters share is claimed for all of them that are not locked."""
    references = character_references.c
    chosen = (
        select(references.character_id, references.position)
        .where(references.uploaded_at.is_(None), _due(references.upload_tried_at, again_after))
        .order_by(references.upload_tried_at.asc().nulls_first())
        .limit(size)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    rows = connection.execute(
        update(character_references)
        .where(_row_of_reference.in_(select(chosen.c.character_id, chosen.c.position)))
        .values(upload_tried_at=func.now())
        .returning(references.r2_key)
    )
    return [Waiting(r2_key=key) for key in sorted(set(rows.scalars()))]


def _due(tried_at: ColumnElement[datetime | None], again_after: timedelta) -> ColumnElement[bool]:
    return or_(tried_at.is_(None), tried_at < func.now() - again_after)


def mark_uploaded(connection: Connection, found: Mapping[Waiting, tuple[str | None, datetime]]) -> None:
    """Record that these files are in the bucket.

    Args:
        found: public address, if any, and time of upload of each.
    """
    # Sorted, so that two uploaders of the same rows cannot deadlock.
    assets = {one.asset_id: values for one, values in found.items() if one.asset_id is not None}
    for asset_id in sorted(assets):
        url, at = assets[asset_id]
        connection.execute(
            update(generation_assets)
            .where(generation_assets.c.id == asset_id, generation_assets.c.uploaded_at.is_(None))
            .values(cdn_url=url, uploaded_at=at)
        )
    for one, (_, at) in found.items():
        if one.asset_id is None:
            _note_references(connection, [one.r2_key], uploaded_at=at)


def readdress(connection: Connection, base: str, *, size: int) -> int:
    """Set the address of up to `size` uploaded pictures to `base` + key where it differs; returns how many changed."""
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


def give_back(connection: Connection, waiting: Sequence[Waiting]) -> None:
    """Release the claim on files that were not tried."""
    assets = sorted(one.asset_id for one in waiting if one.asset_id is not None)
    if assets:
        connection.execute(
            update(generation_assets)
            .where(generation_assets.c.id.in_(assets), generation_assets.c.uploaded_at.is_(None))
            .values(upload_tried_at=None)
        )
    keys = [one.r2_key for one in waiting if one.asset_id is None]
    if keys:
        _note_references(connection, keys, upload_tried_at=None)


def _note_references(connection: Connection, keys: Sequence[str], **values: datetime | None) -> None:
    """Write `values` to the references of these keys that are not known to be in the bucket.

    By key, because the character may have got other references meanwhile. Locked rows are skipped, because their writer
    locks in another order; the next round finds them.
    """
    references = character_references.c
    chosen = (
        select(references.character_id, references.position)
        .where(references.r2_key.in_(keys), references.uploaded_at.is_(None))
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    connection.execute(
        update(character_references)
        .where(_row_of_reference.in_(select(chosen.c.character_id, chosen.c.position)))
        .values(**values)
    )
