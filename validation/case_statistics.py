"""Compare cases by the scores of their pictures, and say which is better or that nobody can tell. NumPy, no I/O.

A *case* is one way of asking (a weight, a model, a wording); every prompt is asked for in every case, so that cases are
compared on the same prompts. Two cases differ where the interval of their mean difference leaves out zero, at a
confidence that allows for the number of comparisons. `docs/reference-testing.md` explains the figures to users.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from validation.calibration import Interval

#: With fewer pairs, chance alone puts all differences on one side too often: five do so in 1 of 16 comparisons.
LEAST_PAIRS = 6
#: From so many prompts on, they are resampled too, and the result holds for prompts like these; with fewer, for these.
LEAST_PROMPTS = 6
RESAMPLES = 2000
_SEED = 20261
_OUTSIDE = 0.05
#: Half the width of a 95 % interval of a normal distribution, in standard deviations.
_NORMAL_95 = 1.959964

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The outcomes of one case.

    Args:
        scores: of the judged generations, by prompt; the repeats of a prompt in any order.
        judged, accepted: generations with a verdict, and those that passed.
    """

    name: str
    scores: Mapping[str, Sequence[float]]
    judged: int
    accepted: int

    @property
    def mean(self) -> float | None:
        """The mean over prompts of the mean over repeats; None without a score."""
        return _mean([float(np.mean(one)) for one in self.scores.values()])

    @property
    def repeats(self) -> int:
        """Scores of the prompt that has the fewest."""
        return min(map(len, self.scores.values()), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much higher the scores of `better` are, over the prompts that both cases have."""

    better: str
    worse: str
    mean: float
    interval: Interval
    prompts: int

    @property
    def certain(self) -> bool:
        return self.interval.low > 0


class Outcome(StrEnum):
    """What a comparison comes to."""

    WINNER = "winner"  # one case is better than each other
    TIE = "tie"  # the best few cannot be told apart
    TOO_THIN = "too_thin"  # too few pictures for any statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The result of comparing cases.

    Args:
        leaders: the winner, or those that cannot be told apart, the highest mean first; empty where too thin.
        differences: of the case with the highest mean to each other.
        lacking: what more is needed, where too thin.
        confidence: of each interval, from 0 to 1; higher the more comparisons there are.
    """

    outcome: Outcome
    leaders: Sequence[str] = ()
    differences: Sequence[Difference] = field(default_factory=tuple)
    lacking: str | None = None
    confidence: float = 1 - _OUTSIDE


def recommend(cases: Sequence[Case]) -> Recommendation:
    """Compare the case with the highest mean to every other one."""
    if lacking := _lacking(cases):
        return Recommendation(outcome=Outcome.TOO_THIN, lacking=lacking)
    ordered = sorted(cases, key=lambda one: -(one.mean or 0.0))
    best, *others = ordered
    confidence = 1 - _OUTSIDE / len(others)
    differences = [difference(best, other, confidence=confidence) for other in others]
    tied = [one.worse for one in differences if not one.certain]
    return Recommendation(
        outcome=Outcome.TIE if tied else Outcome.WINNER,
        leaders=[best.name, *tied],
        differences=differences,
        confidence=confidence,
    )


def difference(better: Case, worse: Case, *, confidence: float = 1 - _OUTSIDE) -> Difference:
    """The mean difference of two cases with its interval; both have scores of a common prompt."""
    common = [prompt for prompt in better.scores if prompt in worse.scores]
    pairs = [(_array(better.scores[one]), _array(worse.scores[one])) for one in common]
    found = float(np.mean([np.mean(mine) - np.mean(theirs) for mine, theirs in pairs]))
    drawn = _resampled(pairs)
    return Difference(
        better=better.name,
        worse=worse.name,
        mean=found,
        interval=_interval(drawn, around=found, confidence=confidence, pairs=_pairs(pairs)),
        prompts=len(common),
    )


def mean_interval(case: Case) -> Interval | None:
    """Where the mean of a case lies, with 95 % confidence; None for fewer than two scores of any prompt."""
    if case.mean is None or (case.repeats < 2 and len(case.scores) < LEAST_PROMPTS):
        return None
    pairs = [(_array(one), np.zeros(1)) for one in case.scores.values()]
    count = len(pairs) if len(pairs) >= LEAST_PROMPTS else sum(len(one) for one, _ in pairs)
    return _interval(_resampled(pairs), around=case.mean, confidence=1 - _OUTSIDE, pairs=count)


def share_interval(accepted: int, of: int) -> Interval | None:
    """Wilson's 95 % interval of a share; None of nothing. Source: E. B. Wilson, JASA 22 (1927), 209-212."""
    if not of:
        return None
    share, square = accepted / of, _NORMAL_95**2
    middle = share + square / (2 * of)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    scale = 1 + square / of
    return Interval(low=max(0.0, (middle - half) / scale), high=min(1.0, (middle + half) / scale))


def _lacking(cases: Sequence[Case]) -> str | None:
    if len(cases) < 2:
        return "a second case to compare with"
    without = [one.name for one in cases if not one.scores]
    if without:
        return f"judged pictures of {' and '.join(map(repr, without))}"
    common = set.intersection(*(set(one.scores) for one in cases))
    if not common:
        return "a prompt that has judged pictures in every case"
    repeats = min(len(case.scores[prompt]) for case in cases for prompt in common)
    prompts = len(common)
    if prompts < LEAST_PROMPTS and repeats < 2:
        return (
            f"more than one picture of each prompt and case, or at least {LEAST_PROMPTS} prompts: a single picture"
            " does not show how much two pictures of the same request differ"
        )
    pairs = prompts if prompts >= LEAST_PROMPTS else prompts * repeats
    if pairs < LEAST_PAIRS:
        wanted = math.ceil(LEAST_PAIRS / prompts)
        return f"{wanted} repeats of each prompt and case ({repeats} so far), which makes at least {LEAST_PAIRS} pairs"
    return None


def _pairs(pairs: Sequence[tuple[Floats, Floats]]) -> int:
    if len(pairs) >= LEAST_PROMPTS:
        return len(pairs)
    return sum(min(len(mine), len(theirs)) for mine, theirs in pairs)


def _resampled(pairs: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Mean differences of resamples: of the prompts where there are enough, else of the repeats of each prompt.

    Every draw takes one fewer than there are, so that the spread of small sets is not understated.
    Source: J. N. K. Rao and C. F. J. Wu, JASA 83 (1988), 231-241.
    """
    chance = np.random.default_rng(_SEED)
    if len(pairs) >= LEAST_PROMPTS:
        found = np.array([mine.mean() - theirs.mean() for mine, theirs in pairs])
        return _means(found, chance)
    drawn: Floats = np.mean([_means(mine, chance) - _means(theirs, chance) for mine, theirs in pairs], axis=0)
    return drawn


def _means(values: Floats, chance: np.random.Generator) -> Floats:
    if len(values) == 1:
        return np.full(RESAMPLES, values[0])
    count = len(values) - 1
    # In blocks, so that ten thousand prompts need megabytes and not gigabytes.
    block = max(1, 1_000_000 // count)
    starts = range(0, RESAMPLES, block)
    sizes = [min(block, RESAMPLES - start) for start in starts]
    return np.concatenate([values[chance.integers(0, len(values), (size, count))].mean(axis=1) for size in sizes])


def _interval(drawn: Floats, *, around: float, confidence: float, pairs: int) -> Interval:
    """The central interval, widened for few pairs as Student's distribution is against the normal one."""
    outside = (1 - confidence) / 2
    low, high = np.quantile(drawn, (outside, 1 - outside))
    wider = 1 + 1.5 / max(pairs - 1, 1)
    return Interval(low=around + (float(low) - around) * wider, high=around + (float(high) - around) * wider)


def _array(values: Sequence[float]) -> Floats:
    return np.asarray(values, dtype=np.float64)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
