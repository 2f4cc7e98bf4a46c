"""Kinds of feedback that a user gives on a picture."""

from enum import StrEnum

from domain.errors import BadInput


class FeedbackType(StrEnum):
    """The first two say whether the picture shows its character; the others are taste."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    HEART = "heart"
    OUTLIER = "outlier"
    RATING = "rating"
    COMMENT = "comment"


#: Answers to the question that the check asks, and therefore examples for calibration.
IDENTITY = frozenset({FeedbackType.ACCEPTED, FeedbackType.REJECTED})


def read_kind(word: str) -> FeedbackType:
    """Parse a kind of feedback.

    Raises:
        BadInput: unknown kind.
    """
    try:
        return FeedbackType(word)
    except ValueError:
        raise BadInput(f"{word!r} is no kind of feedback; there are {', '.join(FeedbackType)}") from None
