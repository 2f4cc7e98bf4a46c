"""Find the judged pictures of a batch with their embeddings, and flag near duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, all_, cast, select, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from db.schema import attempts, generation_assets
from db.schema_checks import embeddings
from domain.ids import AssetId, BatchId, GenerationId
from domain.states import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPicture:
    """A judged picture.

    Args:
        vector: the core embedding, little-endian float32 at unit length.
        judged_at: start of the transaction that judged it.
    """

    asset_id: AssetId
    generation_id: GenerationId
    vector: bytes
    judged_at: datetime


def judged_since(
    connection: Connection,
    batch_id: BatchId,
    *,
    fingerprint: str,
    since: datetime | None,
    most: int,
    known: Sequence[AssetId] = (),
) -> list[SeenPicture]:
    """Pictures of the batch judged at `since` or later, latest first, at most `most`, without the `known`."""
    statement = (
        select(
            generation_assets.c.id.label("asset_id"),
            generation_assets.c.generation_id,
            embeddings.c.vector,
            attempts.c.finished_at.label("judged_at"),
        )
        .join_from(attempts, generation_assets, generation_assets.c.attempt_id == attempts.c.id)
        .join(embeddings, embeddings.c.sha256 == generation_assets.c.sha256)
        .where(
            attempts.c.batch_id == batch_id,
            attempts.c.outcome.in_([Outcome.COMPLETED, Outcome.REJECTED]),
            # A larger picture of the same is no duplicate of it.
            generation_assets.c.asset_type == "image",
            embeddings.c.fingerprint == fingerprint,
        )
        .order_by(attempts.c.finished_at.desc(), generation_assets.c.id.desc())
        .limit(most)
    )
    if since is not None:
        statement = statement.where(attempts.c.finished_at >= since)
    if known:
        statement = statement.where(generation_assets.c.id != all_(cast(list(known), ARRAY(UUID))))
    return [SeenPicture(**row) for row in connection.execute(statement).mappings()]


def flag(connection: Connection, found: Mapping[AssetId, tuple[AssetId, float]]) -> None:
    """Flag each picture as a near duplicate of an earlier one, unless a closer one is recorded."""
    connection.execute(
        _FLAG,
        {
            "later": list(found),
            "earlier": [earlier for earlier, _ in found.values()],
            "scores": [score for _, score in found.values()],
        },
    )


_FLAG: Final = text(
    """
    WITH given AS (
        SELECT * FROM unnest(CAST(:later AS uuid[]), CAST(:earlier AS uuid[]), CAST(:scores AS float8[]))
            AS pairs(id, earlier, score)
    ), locked AS (
        -- In one order, so that two workers that look at the same batch cannot deadlock.
        SELECT id FROM generation_assets WHERE id = ANY(CAST(:later AS uuid[])) ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE generation_assets a SET near_duplicate_of = given.earlier, near_duplicate_score = given.score
    FROM given JOIN locked USING (id)
    WHERE a.id = given.id AND (a.near_duplicate_score IS NULL OR a.near_duplicate_score < given.score)
    """
)


def flagged(connection: Connection, ids: Sequence[AssetId]) -> dict[AssetId, tuple[AssetId, float]]:
    """The near duplicates among these pictures: the earlier picture and the cosine."""
    rows = connection.execute(
        select(
            generation_assets.c.id, generation_assets.c.near_duplicate_of, generation_assets.c.near_duplicate_score
        ).where(generation_assets.c.id.in_(ids), generation_assets.c.near_duplicate_of.is_not(None))
    )
    return {AssetId(row.id): (AssetId(row.near_duplicate_of), row.near_duplicate_score) for row in rows}
