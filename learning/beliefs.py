"""What is believed about the pass rate of a model in a context: Beta posteriors that forget, pooled over contexts.

A new context starts from what the model does elsewhere, and a model that nobody has used from a weak prior. Earlier
results of a model count less with each newer one, so that a model that collapses is noticed within some dozen results.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import lgamma
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

#: Weight that a result keeps with each newer one of the same model and context; 0.98 remembers some 50 results.
KEPT: Final = 0.98
#: The same with each newer one of another model in that context: what nobody has tried lately is less and less sure.
KEPT_IDLE: Final = 0.998
#: A model's results elsewhere count as at most so many results in a context.
POOLED: Final = 6.0
#: Pass rates at which densities are worked out; finer than any belief with the memory above is sharp.
_POINTS: Final = 1025
RATES: Final[NDArray[np.float64]] = (np.arange(_POINTS) + 0.5) / _POINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """A Beta distribution over a pass rate; both parameters are at least 1, so that its density is finite."""

    passed: float
    failed: float

    def __post_init__(self) -> None:
        if self.passed < 1 or self.failed < 1:
            raise ValueError(f"a belief has parameters of at least 1; these are {self.passed} and {self.failed}")

    @classmethod
    def around(cls, rate: float, *, weight: float) -> Self:
        """Centred near `rate`, worth about `weight` results."""
        return cls(passed=1 + weight * rate, failed=1 + weight * (1 - rate))

    @property
    def mean(self) -> float:
        return self.passed / (self.passed + self.failed)

    def density(self) -> NDArray[np.float64]:
        """Probability of each of `RATES`; sums to 1."""
        scale = lgamma(self.passed + self.failed) - lgamma(self.passed) - lgamma(self.failed)
        logs = scale + (self.passed - 1) * np.log(RATES) + (self.failed - 1) * np.log1p(-RATES)
        weights: NDArray[np.float64] = np.exp(logs - logs.max())
        weights /= weights.sum()
        return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one call.

    Args:
        context: of the request, as `learning.routing` names it.
        accepted: its picture passed, and nobody called it an outlier.
    """

    model: str
    context: str
    accepted: bool


@dataclass(slots=True)
class _Counts:
    passed: float = 0.0
    failed: float = 0.0

    def fade(self, kept: float) -> None:
        self.passed *= kept
        self.failed *= kept

    def add(self, *, accepted: bool) -> None:
        self.passed += accepted
        self.failed += not accepted

    @property
    def total(self) -> float:
        return self.passed + self.failed


@dataclass(slots=True)
class Beliefs:
    """Discounted counts by model and context."""

    kept: float = KEPT
    _counts: dict[str, dict[str, _Counts]] = field(default_factory=dict)

    @classmethod
    def of(cls, results: Iterable[Result], *, kept: float = KEPT) -> "Beliefs":
        """From results in the order of their time."""
        beliefs = cls(kept=kept)
        for one in results:
            beliefs.learn(one)
        return beliefs

    def learn(self, result: Result) -> None:
        for model, by_context in self._counts.items():
            if model != result.model and result.context in by_context:
                by_context[result.context].fade(KEPT_IDLE)
        mine = self._counts.setdefault(result.model, {}).setdefault(result.context, _Counts())
        mine.fade(self.kept)
        mine.add(accepted=result.accepted)

    def about(self, model: str, context: str, *, prior: Belief) -> Belief:
        """The belief about a model in a context."""
        by_context = self._counts.get(model, {})
        here = by_context.get(context, _Counts())
        elsewhere = [one for name, one in by_context.items() if name != context]
        total = sum(one.total for one in elsewhere)
        share = min(total, POOLED) / total if total else 0.0
        return Belief(
            passed=prior.passed + share * sum(one.passed for one in elsewhere) + here.passed,
            failed=prior.failed + share * sum(one.failed for one in elsewhere) + here.failed,
        )

    def counts(self) -> Mapping[tuple[str, str], tuple[float, float]]:
        """Discounted passes and failures, by model and context."""
        return {
            (model, context): (one.passed, one.failed)
            for model, by_context in self._counts.items()
            for context, one in by_context.items()
        }
