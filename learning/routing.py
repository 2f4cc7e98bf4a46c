"""Choose the model of a request: the one with the least expected cost per accepted picture, by Thompson sampling.

With price c and pass rate p, trying until something passes costs c / p on average, and where failures are followed by
other models the cheapest order is by c / p too. Thompson sampling picks each model as often as it is believed to be
the best; a floor on every probability keeps all of them in use. The probabilities are computed first, by quadrature
over the posteriors, and the choice is drawn from them: the propensity that is stored is exactly that of the draw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learning.beliefs import RATES, Belief, Beliefs

#: Changes whenever equal inputs may give another distribution.
VERSION: Final = "thompson-1"
#: The share of choices that explores; it spends as many dollars on one candidate as on another.
EXPLORATION: Final = 0.02
#: Weight of the catalogue's facts, in results, and the pass rate assumed of one picture.
_PRIOR_WEIGHT: Final = 2.0
_PRIOR_PER_PICTURE: Final = 0.5


def context_of(characters: int) -> str:
    """Where results are told apart: what must show several characters fails far more often than what shows none."""
    return ("no character", "one character")[characters] if characters < 2 else "several characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A model that could make the picture, with the facts that decide whether it may.

    Args:
        usd: expected price of one call, above 0.
        at_most_usd: what is held for it.
        pictures: of one call.
        references: how many it takes; 0 for none.
        ratios: aspect ratios that it makes; `any` stands for all.
        negative: it takes a negative prompt.
        expected_s: usual duration of a call.
        closed: why its lanes take nothing now; None where one is open.
    """

    model: str
    provider: str
    usd: Decimal
    at_most_usd: Decimal
    pictures: int = 1
    references: int = 0
    ratios: Sequence[str] = ("any",)
    negative: bool = False
    expected_s: float = 0.0
    closed: str | None = None

    @property
    def prior(self) -> Belief:
        """From the catalogue's facts alone: several pictures of a call are as many chances."""
        return Belief.around(1 - (1 - _PRIOR_PER_PICTURE) ** self.pictures, weight=_PRIOR_WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a request demands of its model, whatever a model may be believed to be worth.

    Args:
        characters: how many the picture must show; a model without references can show none of them.
        ratio: None where any will do.
        negative: there is a negative prompt.
        most_usd: for one call; None for no limit.
        deadline_s: None for none.
    """

    characters: int = 0
    ratio: str | None = None
    negative: bool = False
    most_usd: Decimal | None = None
    deadline_s: float | None = None

    @property
    def context(self) -> str:
        """Requests of one context have pass rates in common."""
        return context_of(self.characters)

    def obstacle(self, offer: Offer) -> str | None:
        """Why the offer cannot serve; None where it can."""
        late = self.deadline_s is not None and offer.expected_s > self.deadline_s
        dear = self.most_usd is not None and offer.at_most_usd > self.most_usd
        unshaped = self.ratio is not None and not {"any", self.ratio} & set(offer.ratios)
        found = (
            (offer.closed is not None, f"its lane is closed ({offer.closed})"),
            (self.characters > 0 and offer.references == 0, "takes no references"),
            (unshaped, f"does not make {self.ratio}"),
            (self.negative and not offer.negative, "takes no negative prompt"),
            (dear, f"may cost {offer.at_most_usd} USD"),
            (late, f"usually takes {offer.expected_s:.0f} s"),
        )
        return next((why for is_so, why in found if is_so), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An offer that can serve, with what is believed of it.

    Args:
        pass_rate: mean of the belief.
        usd_per_accepted: price over pass rate.
        propensity: probability with which it is chosen.
    """

    model: str
    provider: str
    usd: Decimal
    pass_rate: float
    usd_per_accepted: float
    propensity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A decision with everything that is needed to judge it afterwards.

    Args:
        chosen: None where nothing can serve.
        candidates: cheapest per accepted picture first, which is the order of escalation.
        excluded: reasons by model.
    """

    chosen: Candidate | None
    candidates: Sequence[Candidate]
    excluded: Mapping[str, str]
    context: str
    version: str = VERSION


def choose(
    offers: Sequence[Offer],
    needs: Needs,
    beliefs: Beliefs,
    *,
    draw: float,
    exploration: float = EXPLORATION,
    frozen: str | None = None,
) -> Choice:
    """Choose one of `offers`.

    Args:
        draw: uniform in [0, 1); equal inputs and draws give equal choices.
        exploration: share of choices that explores; each candidate has its part of it, however little is thought of it.
        frozen: a model that is to be used whatever is believed; its propensity is 1.
    """
    excluded = {one.model: why for one in offers if (why := needs.obstacle(one)) is not None}
    if frozen is not None:
        excluded |= {one.model: "another was named" for one in offers if one.model not in {frozen, *excluded}}
    able = [one for one in offers if one.model not in excluded]
    believed = [beliefs.about(one.model, needs.context, prior=one.prior) for one in able]
    shares = propensities(believed, [float(one.usd) for one in able], exploration=exploration)
    candidates = [
        Candidate(
            model=one.model,
            provider=one.provider,
            usd=one.usd,
            pass_rate=belief.mean,
            usd_per_accepted=float(one.usd) / belief.mean,
            propensity=float(share),
        )
        for one, belief, share in zip(able, believed, shares, strict=True)
    ]
    candidates.sort(key=lambda one: (one.usd_per_accepted, one.model))
    return Choice(chosen=_drawn(candidates, draw), candidates=candidates, excluded=excluded, context=needs.context)


def _drawn(candidates: Sequence[Candidate], draw: float) -> Candidate | None:
    reached = 0.0
    for one in candidates:
        reached += one.propensity
        if draw < reached:
            return one
    return candidates[-1] if candidates else None


def propensities(
    beliefs: Sequence[Belief], prices: Sequence[float], *, exploration: float = EXPLORATION
) -> NDArray[np.float64]:
    """How probable it is that each has the least price per pass, mixed with the exploring share; sums to 1.

    P(i is best) is the integral over its rate t of its density times the product of P(rate_j < t * c_j / c_i): one
    dimension however many candidates there are. On a grid, an error of about 1e-3, which normalising evens out; the
    result is what is drawn from, so nothing is approximate about a stored propensity.
    """
    count = len(beliefs)
    if count == 0:
        return np.zeros(0)
    densities = [one.density() for one in beliefs]
    edges = np.linspace(0, 1, len(RATES) + 1)
    below = [np.concatenate([[0.0], np.cumsum(one)]) for one in densities]
    best = np.empty(count)
    for i, density in enumerate(densities):
        others = np.ones_like(RATES)
        for j in range(count):
            if j != i:
                others *= np.interp(RATES * (prices[j] / prices[i]), edges, below[j])
        best[i] = float(density @ others)
    cheapness = 1 / np.asarray(prices, float)
    shares: NDArray[np.float64] = exploration * cheapness / cheapness.sum() + (1 - exploration) * best / best.sum()
    return shares
