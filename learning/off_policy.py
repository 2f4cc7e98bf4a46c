"""What another policy would have come to, from the decisions of this one: IPS, self-normalised IPS, doubly robust.

Inverse propensity scoring weighs a result by how much more often the other policy would have chosen it: right on
average, and wide. The doubly robust estimate starts from a model of the results and corrects it by the same weights:
right if either is, and narrower. Each comes with an interval and the number of results that its weights amount to.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learning.intervals import Z

#: Below so many effective results an estimate is shown as not enough data.
ENOUGH: Final = 30
#: A model's mean is drawn towards that of all as if by so many results.
_SHRUNK: Final = 4.0
_FOLDS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A decision and what came of it.

    Args:
        candidates: their propensities by model, at the time of the decision.
        accepted: 1 or 0.
        usd: what was charged.
    """

    chosen: str
    candidates: Mapping[str, float]
    prices: Mapping[str, float]
    context: str
    accepted: float
    usd: float

    @property
    def propensity(self) -> float:
        return self.candidates[self.chosen]


#: Probability of each candidate under another policy, for a logged decision.
Policy = Callable[[Logged], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean per decision with its interval.

    Args:
        effective: results that the weights amount to (Kish); few where the policies seldom agree.
    """

    value: float
    low: float
    high: float
    effective: float

    @property
    def enough(self) -> bool:
        return self.effective >= ENOUGH


def always(model: str) -> Policy:
    """The policy of a frozen arm; where it was no candidate, what was done stays."""

    def probabilities(one: Logged) -> Mapping[str, float]:
        return {model: 1.0} if model in one.candidates else one.candidates

    return probabilities


def cheapest(one: Logged) -> Mapping[str, float]:
    """The policy that takes the lowest price, whatever passes."""
    return {min(one.candidates, key=lambda name: (one.prices[name], name)): 1.0}


def uniform(one: Logged) -> Mapping[str, float]:
    """The policy that takes every candidate equally often."""
    return dict.fromkeys(one.candidates, 1 / len(one.candidates))


def ips(logged: Sequence[Logged], policy: Policy, values: Sequence[float]) -> Estimate:
    """Inverse propensity scoring of `values`, one per decision."""
    weights = _weights(logged, policy)
    return _mean(weights * np.asarray(values, float), _effective(weights))


def snips(logged: Sequence[Logged], policy: Policy, values: Sequence[float]) -> Estimate:
    """Self-normalised: slightly biased, bounded by the values seen, and steadier where weights are large."""
    weights = _weights(logged, policy)
    total = float(weights.sum())
    if total == 0:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), effective=0.0)
    numbers = np.asarray(values, float)
    value = float(weights @ numbers) / total
    error = sqrt(float((weights**2) @ (numbers - value) ** 2)) / total
    return Estimate(value=value, low=value - Z * error, high=value + Z * error, effective=_effective(weights))


def doubly_robust(logged: Sequence[Logged], policy: Policy, values: Sequence[float]) -> Estimate:
    """The expectation of a model of the results under the policy, corrected by weighted residuals.

    The model is the shrunk mean by model and context, fitted without the fifth of the decisions that it is used for.
    """
    numbers = np.asarray(values, float)
    weights = _weights(logged, policy)
    folds = np.arange(len(logged)) % _FOLDS
    scores = np.empty(len(logged))
    for fold in range(min(_FOLDS, len(logged))):
        outside = [index for index in range(len(logged)) if folds[index] != fold]
        expected = _means([logged[index] for index in outside], numbers[outside])
        for index in map(int, np.flatnonzero(folds == fold)):
            one = logged[index]
            direct = sum(share * expected(name, one.context) for name, share in policy(one).items())
            scores[index] = direct + weights[index] * (numbers[index] - expected(one.chosen, one.context))
    return _mean(scores, _effective(weights))


def ratio(cost: Estimate, accepted: Estimate) -> float | None:
    """Dollars per accepted picture; None where nothing is expected to be accepted."""
    return cost.value / accepted.value if accepted.value > 0 else None


def _weights(logged: Sequence[Logged], policy: Policy) -> NDArray[np.float64]:
    return np.array([policy(one).get(one.chosen, 0.0) / one.propensity for one in logged], float)


def _effective(weights: NDArray[np.float64]) -> float:
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _mean(scores: NDArray[np.float64], effective: float) -> Estimate:
    count = len(scores)
    if count == 0:
        return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), effective=0.0)
    value = float(scores.mean())
    error = float(scores.std(ddof=1)) / sqrt(count) if count > 1 else float("inf")
    return Estimate(value=value, low=value - Z * error, high=value + Z * error, effective=effective)


def _means(logged: Sequence[Logged], values: NDArray[np.float64]) -> Callable[[str, str], float]:
    """Shrunk means: a model's towards that of all, a model's in a context towards the model's."""
    overall = float(values.mean()) if len(values) else 0.0
    by_model: defaultdict[str, list[float]] = defaultdict(list)
    by_context: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for one, value in zip(logged, values, strict=True):
        by_model[one.chosen].append(float(value))
        by_context[one.chosen, one.context].append(float(value))

    def shrunk(found: Sequence[float], towards: float) -> float:
        return (sum(found) + _SHRUNK * towards) / (len(found) + _SHRUNK)

    def expected(model: str, context: str) -> float:
        return shrunk(by_context.get((model, context), ()), shrunk(by_model.get(model, ()), overall))

    return expected
