"""How one kind of score tells two sets of pictures apart: what `reports/plots.py` draws, as plain records."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A threshold and the shares that it gets wrong, from 0 to 1."""

    score: float
    false_reject: float
    false_accept: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """How one kind of score tells two sets of pictures apart.

    Args:
        title: what is told apart, as the heading of its row.
        positives, negatives: scores, at least one each.
        accepted_negatives, accepted_positives: shares at every cut, from the strictest to the laxest.
        auc: as a person reads it, with its interval.
        cuts: by what they are called; the first is drawn as a line, the others dashed.
    """

    title: str
    positives: Sequence[float]
    negatives: Sequence[float]
    accepted_negatives: Sequence[float]
    accepted_positives: Sequence[float]
    auc: str
    cuts: Sequence[tuple[str, Cut]]
