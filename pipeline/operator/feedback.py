"""Record a user's feedback on a picture; it becomes an example for calibration and moves no generation."""

from typing import Any
from uuid import UUID

from db.records import feedback, preferences
from domain.errors import BadInput, UnknownThing
from domain.feedback import IDENTITY, FeedbackType
from domain.ids import AssetId, GenerationId
from pipeline.resources import Resources
from pipeline.views.generations import GenerationDetails


def record_feedback(
    resources: Resources,
    details: GenerationDetails,
    *,
    user_id: str,
    kind: FeedbackType,
    picture: str | None = None,
    rating: int | None = None,
    comment: str | None = None,
) -> UUID | None:
    """Record feedback on one picture of a generation.

    Args:
        picture: its number in `likeness show`, `1` or `2.1`; None for the best one.
        rating: 1 to 5; allowed with any kind, required with `rating`.

    Returns:
        The picture's id; None where there is no picture and the feedback is about the generation.

    Raises:
        BadInput: a rating without a number, a comment without text, or a verdict without a picture.
        UnknownThing: there is no such picture.
    """
    if (kind is FeedbackType.RATING and rating is None) or rating not in (None, 1, 2, 3, 4, 5):
        raise BadInput("a rating is a number from 1 to 5: add --rating")
    if kind is FeedbackType.COMMENT and not comment:
        raise BadInput("a comment is words: add --comment")
    asset = picture_of(details, picture)
    if asset is None and kind in IDENTITY:
        raise BadInput("there is no stored picture yet of which to say that it shows the character")
    if kind in IDENTITY and details.generation["character_id"] is None:
        raise BadInput("this generation names no character; `heart`, `rating` and `comment` need none")
    asset_id = None if asset is None else asset["id"]
    with resources.database.transaction() as connection:
        feedback.add(
            connection,
            generation_id=GenerationId(details.generation["id"]),
            asset_id=None if asset_id is None else AssetId(asset_id),
            user_id=user_id,
            kind=kind,
            rating=rating,
            comment=comment,
        )
    return asset_id


def record_choice(
    resources: Resources,
    preferred: tuple[GenerationDetails, str | None],
    other: tuple[GenerationDetails, str | None],
    *,
    user_id: str,
) -> tuple[UUID, UUID]:
    """Record that a user likes one picture more than another.

    Args:
        preferred, other: a generation and the number of a picture of it; None for its best one.

    Returns:
        The pictures' ids.

    Raises:
        BadInput: one of them has no picture, or both are the same.
        UnknownThing: there is no such picture.
    """
    found = [picture_of(details, picture) for details, picture in (preferred, other)]
    if found[0] is None or found[1] is None:
        raise BadInput("there is no stored picture yet to compare; name two generations that have one")
    better, worse = found[0]["id"], found[1]["id"]
    if better == worse:
        raise BadInput("these are one and the same picture; name two")
    with resources.database.transaction() as connection:
        preferences.add_choice(connection, user_id=user_id, preferred=AssetId(better), other=AssetId(worse))
    return better, worse


def picture_of(details: GenerationDetails, picture: str | None) -> dict[str, Any] | None:
    """The stored picture of that number, or the best one; None where there is none.

    Raises:
        UnknownThing, BadInput: there is no such picture, or several.
    """
    stored = [one for one in details.assets if one["r2_key"] is not None]
    if picture is None:
        return next((one for one in stored if one["best"]), stored[0] if stored else None)
    numbers = {one["id"]: one["number"] for one in details.attempts}
    attempt, _, position = picture.rpartition(".")
    meant = [
        one
        for one in stored
        if str(one["position"]) == position and (not attempt or str(numbers[one["attempt_id"]]) == attempt)
    ]
    if not meant:
        raise UnknownThing(
            f"there is no stored picture {picture!r}; `likeness show {details.generation['id']}` numbers them"
        )
    if len(meant) > 1:
        raise BadInput(f"several attempts have a picture {picture!r}: write ATTEMPT.PICTURE, as `likeness show` does")
    return meant[0]
