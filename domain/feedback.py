"""What a person says about a picture."""

from enum import StrEnum

from domain.errors import BadInput


class FeedbackType(StrEnum):
    """The kinds of feedback. The first two say whether the picture shows its character, the others are taste."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    HEART = "heart"
    OUTLIER = "outlier"
    RATING = "rating"
    COMMENT = "comment"


#: A person's word on the question that the check answers, and so an example to calibrate it with.
IDENTITY = frozenset({FeedbackType.ACCEPTED, FeedbackType.REJECTED})


def read_kind(word: str) -> FeedbackType:
    """The kind that a word names.

    Raises:
        BadInput: it names none.
    """
    try:
        return FeedbackType(word)
    except ValueError:
        raise BadInput(f"{word!r} is no kind of feedback; there are {', '.join(FeedbackType)}") from None
