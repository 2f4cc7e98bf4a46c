"""Generations that people deleted: a tombstone each, and which of their pictures are still to be removed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema import attempts, generation_assets, generations
from db.schema_api import deletions
from db.schema_checks import embeddings, model_inputs
from domain.ids import AttemptId, GenerationId
from domain.states import FINAL

#: Stands in a row in place of its picture.
DELETED = "deleted on request"

_INPUT_OF = text(
    """
    SELECT g.pipeline_data #>> '{prepare,image}' FROM generations g
    WHERE g.id = :generation_id AND (g.pipeline_data #>> '{prepare,image}') IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM generations o
          WHERE (o.pipeline_data #>> '{prepare,image}') IS NOT NULL
            AND (o.pipeline_data #>> '{prepare,image}') = (g.pipeline_data #>> '{prepare,image}') AND o.id <> g.id
            AND NOT EXISTS (SELECT FROM deletions d WHERE d.generation_id = o.id AND d.done_at IS NOT NULL))
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A tombstone.

    Args:
        removed: pictures that were removed so far.
        done_at: None while something of it lives at a provider, or pictures wait to be removed.
    """

    generation_id: GenerationId
    asked_at: datetime
    asked_by: str
    removed: int
    done_at: datetime | None


def ask(connection: Connection, generation_id: GenerationId, *, asked_by: str) -> None:
    """Write the tombstone; asking again changes nothing."""
    connection.execute(
        upsert(deletions).values(generation_id=generation_id, asked_by=asked_by).on_conflict_do_nothing()
    )


def of(connection: Connection, generation_id: GenerationId) -> Deletion | None:
    columns = [deletions.c[name] for name in Deletion.__dataclass_fields__]
    row = connection.execute(select(*columns).where(deletions.c.generation_id == generation_id)).mappings()
    found = row.one_or_none()
    return None if found is None else Deletion(**found)


def unfinished(connection: Connection, *, limit: int) -> list[GenerationId]:
    """Those that may be finished now, the oldest wish first."""
    rows = connection.execute(
        select(deletions.c.generation_id)
        .join(generations, generations.c.id == deletions.c.generation_id)
        .where(deletions.c.done_at.is_(None), generations.c.state.in_(FINAL))
        .order_by(deletions.c.asked_at)
        .limit(limit)
    )
    return [GenerationId(one) for one in rows.scalars()]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that belongs to a deleted generation.

    Args:
        asset_id: the picture that is it, or that was cut from it.
        shared: whether a picture of another generation is the same file.
    """

    asset_id: UUID
    key: str
    shared: bool


def files_of(connection: Connection, generation_id: GenerationId) -> list[StoredFile]:
    """The files of its pictures, and the grids that they were cut from."""
    other = generation_assets.alias("other")
    grid = generation_assets.c.metadata["grid_key"].astext
    rows = connection.execute(
        select(generation_assets.c.id, generation_assets.c.r2_key, grid.label("grid")).where(
            generation_assets.c.generation_id == generation_id
        )
    ).all()
    found = []
    for asset_id, key in [(row.id, key) for row in rows for key in (row.r2_key, row.grid) if key is not None]:
        elsewhere = or_(other.c.r2_key == key, other.c.metadata["grid_key"].astext == key)
        shared = exists().where(and_(other.c.generation_id != generation_id, elsewhere))
        found.append(
            StoredFile(asset_id=asset_id, key=key, shared=bool(connection.execute(select(shared)).scalar_one()))
        )
    return found


def input_of(connection: Connection, generation_id: GenerationId) -> str | None:
    """The picture that was handed in for it; None where there is none, or a generation that is not deleted has it."""
    key: str | None = connection.execute(_INPUT_OF, {"generation_id": generation_id}).scalar_one_or_none()
    return key


def forget_pictures(connection: Connection, generation_id: GenerationId) -> int:
    """Empty the rows of its pictures, and what was computed from them; returns how many pictures there were."""
    mine = generation_assets.c.generation_id == generation_id
    ids = select(generation_assets.c.id).where(mine)
    connection.execute(delete(model_inputs).where(model_inputs.c.asset_id.in_(ids)))
    other = generation_assets.alias("other")
    alone = ~exists().where(
        other.c.sha256 == embeddings.c.sha256, other.c.generation_id != generation_id, other.c.r2_key.is_not(None)
    )
    digests = select(generation_assets.c.sha256).where(mine)
    connection.execute(delete(embeddings).where(embeddings.c.sha256.in_(digests), alone))
    emptied = (
        update(generation_assets)
        .where(mine, generation_assets.c.r2_key.is_not(None))
        .values(
            r2_key=None,
            cdn_url=None,
            sha256=None,
            missing_reason=DELETED,
            metadata=generation_assets.c.metadata.op("-")("grid_key").op("-")("source_url"),
        )
    )
    return connection.execute(emptied).rowcount


def attempts_of(connection: Connection, generation_id: GenerationId) -> list[AttemptId]:
    rows = connection.execute(select(attempts.c.id).where(attempts.c.generation_id == generation_id))
    return [AttemptId(one) for one in rows.scalars()]


def lives(connection: Connection, generation_id: GenerationId) -> bool:
    """Whether something of it may still bring pictures: it is not final, or an attempt of it runs."""
    live = exists().where(attempts.c.generation_id == generation_id, attempts.c.state != "finished")
    return bool(
        connection.execute(
            select(or_(generations.c.state.not_in(FINAL), live)).where(generations.c.id == generation_id)
        ).scalar_one()
    )


def note(connection: Connection, generation_id: GenerationId, *, removed: int, done: bool) -> None:
    connection.execute(
        update(deletions)
        .where(deletions.c.generation_id == generation_id)
        .values(removed=deletions.c.removed + removed, done_at=func.now() if done else None)
    )
