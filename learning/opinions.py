"""Feedback becomes choices between pictures: who liked one more than another of the same prompt has preferred it."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

#: A picture takes part in so many choices at most, so that one long session does not outweigh all others.
MOST_PER_PICTURE: Final = 6
#: Where a heart and an outlier stand on the scale of the ratings from 1 to 5.
HEART: Final = 4.5
OUTLIER: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What a person thinks of a picture.

    Args:
        group: pictures of one group can be compared, such as those of one prompt.
        liking: a rating from 1 to 5, `HEART` or `OUTLIER`.
    """

    picture: str
    person: str
    group: Hashable
    liking: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferred:
    """One picture preferred to another by a person."""

    picture: str
    other: str
    person: str


def liking_of(kind: str, rating: int | None) -> float | None:
    """Where a word of feedback stands on the scale from 1 to 5; None where it says nothing about taste."""
    if rating is not None:
        return float(rating)
    return {"heart": HEART, "outlier": OUTLIER}.get(kind)


def choices(opinions: Iterable[Opinion]) -> Iterator[Preferred]:
    """The choices that opinions come to; the latest opinion of a person on a picture counts.

    Equal likings say nothing. The widest differences come first where a picture would take part in too many.
    """
    latest: dict[tuple[str, Hashable], dict[str, Opinion]] = defaultdict(dict)
    for one in opinions:
        latest[one.person, one.group][one.picture] = one
    for (person, _), found in latest.items():
        yield from _within(person, list(found.values()))


def _within(person: str, opinions: Sequence[Opinion]) -> Iterator[Preferred]:
    pairs = sorted(
        ((better, worse) for better in opinions for worse in opinions if better.liking > worse.liking),
        key=lambda pair: (pair[1].liking - pair[0].liking, pair[0].picture, pair[1].picture),
    )
    taken: defaultdict[str, int] = defaultdict(int)
    for better, worse in pairs:
        if taken[better.picture] < MOST_PER_PICTURE and taken[worse.picture] < MOST_PER_PICTURE:
            taken[better.picture] += 1
            taken[worse.picture] += 1
            yield Preferred(picture=better.picture, other=worse.picture, person=person)
