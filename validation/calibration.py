"""Calibration statistics: how well scores separate a character's pictures from others, and the best cut. NumPy, no I/O.

*Positives* are scores of pictures that show the character, *negatives* of pictures that do not; a score at or above a
cut is accepted. Dependent scores, such as those of one generation's pictures, form a *group*, which is
resampled as a whole and counts as one example. `docs/decisions/0018-recommended-cut.md` explains the rule of the
recommended cut and the minimum numbers; `docs/calibration.md` explains the figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from validation.groups import Drawn, Grouped, Values, grouped

#: Expected share of new positives that a recommended cut rejects, at most.
MOST_REJECTED = 0.05
#: With fewer groups of either kind, figures are shown but do not count as a calibration. With fewer than 19 positives,
#: even a cut at the lowest is expected to reject more than `MOST_REJECTED` of new ones.
LEAST_EXAMPLES = 20
#: The lower end of the interval of the AUC must reach this.
LEAST_AUC = 0.80
#: The AUC of a score without information.
_GUESSING = 0.5
RESAMPLES = 1000
_SEED = 20260
#: Share outside the intervals, half at each end.
_OUTSIDE = 0.05
#: Tolerance when comparing sums of shares.
_SLACK = 1e-9
#: Digits of a threshold, where rounding does not move it past a score.
_DIGITS = 3


class Rule(StrEnum):
    """How the recommended cut is chosen."""

    BETWEEN = "between"  # between the two sets: few false rejects, then few false accepts
    FLOOR = "floor"  # well below the positives, ignoring the negatives


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From `low` to `high`: 95 % of the resamples."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Error rates of a cut, from 0 to 1, with their intervals.

    Args:
        false_reject: of the positives, those below the cut.
        false_accept: of the negatives, those at or above it.
    """

    cut: float
    false_reject: float
    false_reject_interval: Interval
    false_accept: float
    false_accept_interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The figures of one kind of score.

    Args:
        positive_groups, negative_groups: number of independent groups.
        auc: the chance that a positive scores above a negative, ties half.
        eer: equal error rate.
        present: errors at the threshold in force.
        recommended: errors at the recommended cut, on the scores it was derived from.
        unseen: errors at the cuts of resamples, on the scores that each left out; estimates those on new pictures.
        cut_interval: interval of those cuts.
        rule: of the recommended cut.
        lacking: what is missing for a calibration, one phrase each; empty when nothing is.
        resamples: behind every interval.
    """

    positives: int
    negatives: int
    positive_groups: int
    negative_groups: int
    auc: float
    auc_interval: Interval
    eer: float
    eer_interval: Interval
    present: Errors
    recommended: Errors
    unseen: Errors
    cut_interval: Interval
    rule: Rule
    lacking: Sequence[str]
    resamples: int

    @property
    def calibrated(self) -> bool:
        return not self.lacking

    @property
    def tells(self) -> bool:
        """Whether the examples suffice to show that positives score above negatives at all."""
        enough = min(self.positive_groups, self.negative_groups) >= LEAST_EXAMPLES
        return enough and self.auc_interval.low > _GUESSING


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ladder:
    """Error rates at every distinct cut, for B resamples at once.

    Args:
        groups: number of positive groups in each resample.
        values: (K,) distinct scores, ascending.
        false_reject: (B, K + 1) at a cut on each value, and above all.
        false_accept: (B, K + 1).
    """

    groups: int
    values: Values
    false_reject: Values
    false_accept: Values


def examine(
    positives: Sequence[float],
    negatives: Sequence[float],
    *,
    present: float,
    groups: tuple[Sequence[int], Sequence[int]] | None = None,
    rule: Rule = Rule.BETWEEN,
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> Examined:
    """Compute all figures for a set of scores.

    Args:
        positives, negatives: at least one finite score each.
        present: the threshold in force.
        groups: group labels of the positives and of the negatives; None: each is its own group.
        rule: of the recommended cut.
        resamples: number of bootstrap resamples, drawn for positives and negatives separately.
        seed: the same seed gives the same figures.
    """
    both = [np.asarray(scores, np.float64) for scores in (positives, negatives)]
    values = np.unique(np.concatenate(both))  # (K,)
    labels = groups or tuple(range(len(scores)) for scores in both)
    shown, others = (grouped(scores, label, values) for scores, label in zip(both, labels, strict=True))
    whole = _ladder(values, shown.whole, others.whole, groups=shown.groups)
    rng = np.random.default_rng(seed)
    again = shown.drawn(rng, resamples), others.drawn(rng, resamples)
    drawn = _ladder(values, again[0].taken, again[1].taken, groups=shown.groups)
    counts = shown.groups, others.groups
    auc, auc_interval = float(_areas(whole)[0]), _interval(_areas(drawn))
    cuts_of = _cuts if rule is Rule.BETWEEN else _floors
    recommended, cuts = float(cuts_of(whole)[0]), cuts_of(drawn)
    return Examined(
        positives=len(positives),
        negatives=len(negatives),
        positive_groups=shown.groups,
        negative_groups=others.groups,
        auc=auc,
        auc_interval=auc_interval,
        eer=float(_crossings(whole)[0]),
        eer_interval=_interval(_crossings(drawn)),
        present=_errors(present, whole, drawn, counts=counts),
        recommended=_errors(recommended, whole, drawn, counts=counts),
        unseen=_left_out(recommended, cuts, values, again, counts=counts),
        cut_interval=_interval(cuts),
        rule=rule,
        lacking=_lacking(shown, others, auc, auc_interval),
        resamples=resamples,
    )


def auc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The chance that a positive scores above a negative, ties half: the area under the ROC curve."""
    return float(_areas(_whole(positives, negatives))[0])


def equal_error_rate(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The error rate where both errors are equal, interpolated between the two nearest cuts."""
    return float(_crossings(_whole(positives, negatives))[0])


def recommended_cut(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The cut of rule BETWEEN: few false rejects first, then few false accepts, then the largest margin.

    Of the cuts that reject at most `spared` positives, those that accept the fewest negatives; of these, those that
    reject the fewest positives; of the remaining range between two scores, the middle. Where all negatives score
    higher, the lowest positive that is kept.
    """
    return float(_cuts(_whole(positives, negatives))[0])


def floor(positives: Sequence[float]) -> float:
    """The cut of rule FLOOR: as far below the lowest positive as that is below the median; at least -1."""
    return float(_floors(_whole(positives, positives))[0])


def spared(positives: int) -> int:
    """How many of `positives` the recommended cut may reject.

    On average (k + 1) / (n + 1) of new scores lie below the (k + 1)-th lowest of n. Returns the largest k for which
    that is at most `MOST_REJECTED`, or 0.
    """
    return max(0, math.floor(MOST_REJECTED * (positives + 1) + _SLACK) - 1)


def roc(positives: Sequence[float], negatives: Sequence[float]) -> tuple[Values, Values]:
    """(K + 1,) shares of negatives and of positives accepted, from the strictest cut to the laxest."""
    ladder = _whole(positives, negatives)
    return ladder.false_accept[0, ::-1], 1 - ladder.false_reject[0, ::-1]


def _whole(positives: Sequence[float], negatives: Sequence[float]) -> _Ladder:
    shown, others = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    values = np.unique(np.concatenate([shown, others]))
    return _ladder(values, _counts(shown, values)[None], _counts(others, values)[None], groups=len(shown))


def _counts(scores: Values, values: Values) -> Values:
    """(K,) how often each of `values` occurs in `scores`, which has no others."""
    return np.bincount(np.searchsorted(values, scores), minlength=len(values)).astype(np.float64)


def _ladder(values: Values, positives: Values, negatives: Values, *, groups: int) -> _Ladder:
    """From (B, K) counts."""
    below = [
        np.concatenate([np.zeros((len(counts), 1)), counts.cumsum(axis=1)], axis=1) / counts.sum(axis=1, keepdims=True)
        for counts in (positives, negatives)
    ]  # 2 of (B, K + 1)
    return _Ladder(groups=groups, values=values, false_reject=below[0], false_accept=1 - below[1])


def _areas(ladder: _Ladder) -> Values:
    """(B,) areas under the curve: each value's share of positives times the negatives below plus half of the equal."""
    shares = np.diff(ladder.false_reject, axis=1)  # (B, K) of the positives
    below = 1 - ladder.false_accept  # (B, K + 1) of the negatives
    areas: Values = (shares * (below[:, :-1] + below[:, 1:])).sum(axis=1) / 2
    return np.clip(areas, 0.0, 1.0)


def _crossings(ladder: _Ladder) -> Values:
    """(B,) the rate at which false rejects, ascending, meet false accepts, descending."""
    ahead = ladder.false_reject - ladder.false_accept  # (B, K + 1), from -1 to 1, rising
    after = (ahead >= 0).argmax(axis=1)  # (B,), never 0: there nothing is rejected and all accepted
    rows = np.arange(len(ahead))
    before = after - 1
    share = -ahead[rows, before] / (ahead[rows, after] - ahead[rows, before])  # (B,)
    start, end = ladder.false_reject[rows, before], ladder.false_reject[rows, after]
    crossings: Values = start + share * (end - start)
    return crossings


def _cuts(ladder: _Ladder) -> Values:
    """(B,) recommended cuts."""
    rows = np.arange(len(ladder.false_reject))
    last = len(ladder.values) - 1
    share = spared(ladder.groups) / ladder.groups
    kept = (ladder.false_reject <= share + _SLACK).sum(axis=1) - 1  # (B,) the strictest cut allowed
    fewest = ladder.false_accept[rows, kept][:, None]
    low = (ladder.false_accept <= fewest + _SLACK).argmax(axis=1)  # (B,) the laxest that accepts as few
    as_many = ladder.false_reject[rows, low][:, None]
    high = (ladder.false_reject <= as_many + _SLACK).sum(axis=1) - 1  # (B,) the strictest that rejects as few
    upper = ladder.values[np.minimum(high, last)]
    lower = ladder.values[np.maximum(low - 1, 0)]
    middles = np.where(low == 0, upper, (lower + upper) / 2)
    rounded = middles.round(_DIGITS)
    cuts: Values = np.where((lower < rounded) & (rounded <= upper), rounded, middles)
    return cuts


def _floors(ladder: _Ladder) -> Values:
    """(B,) floors."""
    lowest = ladder.values[(ladder.false_reject > _SLACK).argmax(axis=1) - 1]  # (B,)
    median = ladder.values[(ladder.false_reject >= 0.5 - _SLACK).argmax(axis=1) - 1]  # (B,)
    whole = 10.0**_DIGITS
    floors: Values = np.maximum(np.floor((2 * lowest - median) * whole) / whole, -1.0)  # never up, past the lowest
    return floors


def _at(ladder: _Ladder, cut: float) -> tuple[Values, Values]:
    """2 of (B,): both error rates at one cut."""
    place = int(np.searchsorted(ladder.values, cut, side="left"))
    return ladder.false_reject[:, place], ladder.false_accept[:, place]


def _errors(cut: float, whole: _Ladder, drawn: _Ladder, *, counts: tuple[int, int]) -> Errors:
    rejected, accepted = (float(share[0]) for share in _at(whole, cut))
    rejected_drawn, accepted_drawn = _at(drawn, cut)
    return Errors(
        cut=cut,
        false_reject=rejected,
        false_reject_interval=_share_interval(rejected_drawn, share=rejected, count=counts[0]),
        false_accept=accepted,
        false_accept_interval=_share_interval(accepted_drawn, share=accepted, count=counts[1]),
    )


def _left_out(
    recommended: float, cuts: Values, values: Values, again: tuple[Drawn, Drawn], *, counts: tuple[int, int]
) -> Errors:
    """The errors of each resample's own cut on the groups that it left out (about 37 %).

    Source: Efron and Tibshirani 1997, "Improvements on Cross-Validation: The .632+ Bootstrap Method", section 2.
    """
    rejected = values[None] < cuts[:, None]  # (B, K)
    left = [drawn.left for drawn in again]  # 2 of (B, K)
    wrong = [(left[0] * rejected).sum(axis=1), (left[1] * ~rejected).sum(axis=1)]  # 2 of (B,)
    totals = [one.sum(axis=1) for one in left]  # 2 of (B,)
    shares = [w[n > 0] / n[n > 0] for w, n in zip(wrong, totals, strict=True)]
    # With very few examples no resample may leave one out; then assume the worst.
    means = [float(share.mean()) if len(share) else 1.0 for share in shares]
    intervals = [
        _share_interval(share, share=mean, count=count) if len(share) else Interval(low=0.0, high=1.0)
        for share, mean, count in zip(shares, means, counts, strict=True)
    ]
    return Errors(
        cut=recommended,
        false_reject=means[0],
        false_reject_interval=intervals[0],
        false_accept=means[1],
        false_accept_interval=intervals[1],
    )


def _interval(drawn: Values) -> Interval:
    low, high = np.quantile(drawn, (_OUTSIDE / 2, 1 - _OUTSIDE / 2))
    return Interval(low=float(low), high=float(high))


def _share_interval(drawn: Values, *, share: float, count: int) -> Interval:
    """As `_interval`, but wide enough where a bootstrap sees no errors, or only errors.

    In those cases the open end is the exact binomial limit.

    Args:
        count: number of groups, which are independent.
    """
    limit = (_OUTSIDE / 2) ** (1 / count)
    found = _interval(drawn)
    if share <= _SLACK:
        return Interval(low=0.0, high=max(found.high, 1 - limit))
    if share >= 1 - _SLACK:
        return Interval(low=min(found.low, limit), high=1.0)
    # The mean of rare errors may lie outside the central interval of its resamples.
    return Interval(low=min(found.low, share), high=max(found.high, share))


def _lacking(positives: Grouped, negatives: Grouped, area: float, area_interval: Interval) -> list[str]:
    lacking = []
    for kind, one in (("positives", positives), ("negatives", negatives)):
        missing = LEAST_EXAMPLES - one.groups
        if missing > 0:
            alone = one.groups == one.scores
            found = f"{one.groups}" if alone else f"{one.scores} count as {one.groups}"
            more = kind if alone else f"independent {kind}"
            lacking.append(f"{missing} more {more} ({found} of at least {LEAST_EXAMPLES})")
    if area_interval.low < LEAST_AUC:
        lacking.append(
            f"a score that tells them apart (AUC {area:.3f}, its interval from {area_interval.low:.3f};"
            f" at least {LEAST_AUC:.2f})"
        )
    return lacking
