"""Which pictures, grids and references are not in the bucket yet, and who brings them there."""

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
    """Files of ours that are on some machine, and perhaps on it alone.

    Args:
        asset_id: whose picture it is; None for a reference picture, which is known by its key.
        grid_key: the grid that the picture was cut from, where it was.
    """

    r2_key: str
    asset_id: AssetId | None = None
    grid_key: str | None = None


def claim(connection: Connection, *, size: int, again_after: timedelta) -> list[Waiting]:
    """Up to `size` pictures that wait, longest untried first; nobody else gets them before `again_after`.

    References come first: submissions wait for them.
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
        # As a plain subquery the planner may run it once per row, and claim more than asked for.
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
    """As assets; a file that several characters have is claimed with all of them, or with those that nobody holds."""
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
    """These are in the bucket now.

    Args:
        found: for each its public address where it has one, and when it was there.
    """
    # In one order for everybody, so that two uploaders of the same rows cannot lock each other out.
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


def give_back(connection: Connection, waiting: Sequence[Waiting]) -> None:
    """These were not tried; whoever comes next may try them."""
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

    By key, and not by place: somebody may have given the character other references meanwhile. What he has locked is
    passed over, since he locks in an order of his own; the next round finds what is left of it.
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
