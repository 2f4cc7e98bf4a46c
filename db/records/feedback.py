"""Feedback of users on pictures. Rows are only added; the latest on a picture counts."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, any_, func, insert, literal, or_, select

from db.schema import generation_assets, generations
from db.schema_learning import generation_feedback
from db.texts import storable
from domain.feedback import IDENTITY, FeedbackType
from domain.ids import AssetId, CharacterId, GenerationId


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPicture:
    """A stored picture that a user accepted or rejected as showing the character.

    Args:
        accepted: whether it shows the character.
    """

    accepted: bool
    generation_id: GenerationId
    sha256: str
    r2_key: str


def add(
    connection: Connection,
    *,
    generation_id: GenerationId,
    asset_id: AssetId | None,
    user_id: str,
    kind: FeedbackType,
    rating: int | None = None,
    comment: str | None = None,
) -> None:
    """Add feedback.

    Args:
        asset_id: the picture; None for the generation as a whole.
        rating: 1 to 5.
    """
    connection.execute(
        insert(generation_feedback).values(
            generation_id=generation_id,
            asset_id=asset_id,
            user_id=user_id,
            feedback_type=kind,
            rating=rating,
            comment=None if comment is None else storable(comment)[:4000],
        )
    )


def judged_by_people(connection: Connection, character_id: CharacterId, *, most: int) -> list[JudgedPicture]:
    """Pictures that users accepted or rejected for this character, latest feedback first.

    A rejected picture of several characters is left out, because it may still show this one.
    """
    words = (
        select(
            generation_feedback.c.id,
            generation_feedback.c.asset_id,
            generation_feedback.c.feedback_type,
            func.row_number()
            .over(partition_by=generation_feedback.c.asset_id, order_by=generation_feedback.c.id.desc())
            .label("age"),
        )
        .where(generation_feedback.c.feedback_type.in_(IDENTITY))
        .subquery()
    )
    alone = and_(generations.c.character_id == character_id, func.cardinality(generations.c.further_character_ids) == 0)
    among: Any = literal(character_id) == any_(generations.c.further_character_ids)
    accepted = words.c.feedback_type == FeedbackType.ACCEPTED
    rows = connection.execute(
        select(
            accepted.label("accepted"),
            generation_assets.c.generation_id,
            generation_assets.c.sha256,
            generation_assets.c.r2_key,
        )
        .join(generation_assets, generation_assets.c.id == words.c.asset_id)
        .join(generations, generations.c.id == generation_assets.c.generation_id)
        .where(
            words.c.age == 1,
            generation_assets.c.r2_key.is_not(None),
            generation_assets.c.sha256.is_not(None),
            or_(alone, and_(accepted, or_(generations.c.character_id == character_id, among))),
        )
        .order_by(words.c.id.desc())
        .limit(most)
    )
    return [JudgedPicture(**row) for row in rows.mappings()]
