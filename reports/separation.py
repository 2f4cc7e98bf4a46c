"""Plain records of a calibration plot: two sets of scores, and the errors at each cut."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A threshold and its two error rates, from 0 to 1."""

    score: float
    false_reject: float
    false_accept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How well one kind of score separates two sets of pictures.

    Args:
        title: heading of the row.
        positives, negatives: scores, at least one each.
        accepted_negatives, accepted_positives: shares at every cut, from the strictest to the laxest.
        auc: formatted, with its interval.
        cuts: by name; the first is drawn solid, the others dashed.
    """

    title: str
    positives: Sequence[float]
    negatives: Sequence[float]
    accepted_negatives: Sequence[float]
    accepted_positives: Sequence[float]
    auc: str
    cuts: Sequence[tuple[str, Cut]]
