"""Choices between pictures, opinions about them, and the heads that were fitted to both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema_learning import preference_heads, preference_pairs
from domain.ids import AssetId, GenerationId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceRow:
    """A choice, by the digests of the two pictures."""

    user_id: str
    preferred: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionRow:
    """Feedback on a picture; on a generation as a whole it is about the picture that stands for it."""

    user_id: str
    batch_id: str
    sha256: str
    kind: str
    rating: int | None
    comment: str | None
    prompt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRow:
    """A fitted head.

    Args:
        team: whose choices it was fitted to.
        bins, weights, offsets: as `pipeline.learning.preferences` writes them.
    """

    team: str
    digest: str
    fingerprint: str
    version: str
    standing: str
    pairs: int
    accuracy: float | None
    low: float | None
    high: float | None
    penalty: float | None
    bins: Sequence[Mapping[str, Any]]
    weights: bytes
    offsets: Mapping[str, str]


def add_choice(connection: Connection, *, user_id: str, preferred: AssetId, other: AssetId) -> None:
    connection.execute(insert(preference_pairs).values(user_id=user_id, preferred_id=preferred, other_id=other))


_CHOICES = text(
    """
    SELECT c.user_id, preferred.sha256 AS preferred, other.sha256 AS other
    FROM preference_pairs c
    JOIN generation_assets preferred ON preferred.id = c.preferred_id
    JOIN generation_assets other ON other.id = c.other_id
    JOIN generations g ON g.id = preferred.generation_id
    JOIN batches b ON b.id = g.batch_id
    WHERE preferred.sha256 IS NOT NULL AND other.sha256 IS NOT NULL AND b.team = :team
    ORDER BY c.id DESC LIMIT :most
    """
)

_TEAMS = text(
    """
    SELECT DISTINCT b.team FROM batches b JOIN generations g ON g.batch_id = b.id
    JOIN (SELECT generation_id FROM generation_feedback
          UNION SELECT a.generation_id FROM preference_pairs c JOIN generation_assets a ON a.id = c.preferred_id
    ) said ON said.generation_id = g.id
    ORDER BY 1
    """
)

_OPINIONS = text(
    """
    SELECT f.user_id, CAST(g.batch_id AS text) AS batch_id, a.sha256, f.feedback_type AS kind, f.rating, f.comment,
        g.prompt
    FROM generation_feedback f
    JOIN generations g ON g.id = f.generation_id
    JOIN batches b ON b.id = g.batch_id AND b.team = :team
    JOIN generation_assets a ON a.id = coalesce(f.asset_id, (
        SELECT o.id FROM generation_assets o WHERE o.generation_id = f.generation_id AND o.r2_key IS NOT NULL
        ORDER BY o.best DESC, o.created_at, o.position LIMIT 1))
    WHERE a.sha256 IS NOT NULL AND f.feedback_type IN ('heart', 'outlier', 'rating', 'comment')
      AND (CAST(:user AS text) IS NULL OR f.user_id = :user)
    ORDER BY f.id DESC LIMIT :most
    """
)


def teams(connection: Connection) -> list[str]:
    """Teams that have said something about pictures."""
    return list(connection.execute(_TEAMS).scalars())


def choices(connection: Connection, *, team: str, most: int) -> list[ChoiceRow]:
    """The latest choices of a team."""
    return [ChoiceRow(**row) for row in connection.execute(_CHOICES, {"most": most, "team": team}).mappings()]


def opinions(connection: Connection, *, team: str, most: int, user_id: str | None = None) -> list[OpinionRow]:
    """The latest feedback of a team that says something about taste, oldest first."""
    rows = connection.execute(_OPINIONS, {"most": most, "team": team, "user": user_id}).mappings()
    return [OpinionRow(**row) for row in rows][::-1]


def keep_head(connection: Connection, head: HeadRow) -> None:
    """Write a head; an equal one stays as it is."""
    connection.execute(upsert(preference_heads).values(**asdict(head)).on_conflict_do_nothing())


def latest_head(connection: Connection, *, team: str, fingerprint: str | None = None) -> HeadRow | None:
    """The head of a team that was fitted last: of a model, or of any."""
    columns = [preference_heads.c[name] for name in HeadRow.__dataclass_fields__]
    newest_first = (preference_heads.c.trained_at.desc(), preference_heads.c.digest)
    statement = select(*columns).where(preference_heads.c.team == team).order_by(*newest_first).limit(1)
    if fingerprint is not None:
        statement = statement.where(preference_heads.c.fingerprint == fingerprint)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else HeadRow(**row)


def has_head(connection: Connection, *, team: str, digest: str, fingerprint: str) -> bool:
    """Whether a head was fitted to exactly these choices."""
    found = select(preference_heads.c.digest).where(
        preference_heads.c.team == team,
        preference_heads.c.digest == digest,
        preference_heads.c.fingerprint == fingerprint,
    )
    return connection.execute(found).first() is not None


_REWARDS = text(
    """
    WITH liked AS (
        UPDATE generation_assets a
        SET metadata = a.metadata || jsonb_build_object('reward', r.reward, 'head', CAST(:head AS text))
        FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, reward float8), generations g
        WHERE a.id = r.id AND g.id = a.generation_id AND g.id = :generation
          AND g.pipeline_data #>> '{prepare,optimise}' IS DISTINCT FROM 'off'
        RETURNING r.reward
    )
    UPDATE generations g
    SET pipeline_data = g.pipeline_data || jsonb_build_object('reward',
        jsonb_build_object('head', CAST(:head AS text), 'best', (SELECT max(reward) FROM liked),
            'pictures', CAST(:count AS int)))
    WHERE g.id = :generation AND EXISTS (SELECT FROM liked)
    """
)


def write_rewards(
    connection: Connection, generation_id: GenerationId, rewards: Mapping[AssetId, float], *, head: str
) -> bool:
    """Keep how much each picture is liked by a head; False where the generation asked for none of that.

    Only rewards of one head can be compared.
    """
    rows = json.dumps([{"id": str(one), "reward": round(rewards[one], 6)} for one in sorted(rewards)])
    values = {"rows": rows, "head": head, "generation": generation_id, "count": len(rewards)}
    return connection.execute(_REWARDS, values).rowcount == 1
