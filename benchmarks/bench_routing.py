"""Does the router find the model with the least cost per accepted picture, and notice when that changes?

Question: in a market of five models whose pass rates nobody knows, how many accepted pictures per dollar does it get
within 500 generations, of what an oracle gets that always takes the best one? And where the best one collapses
half-way?
Hypothesis: 90 % on average of many markets; a collapse costs some dozen pictures and no more.
Controls, in the same markets: every model in turn; the lowest price; Thompson sampling that never forgets; the oracle.
Markets: prices from 0.02 to 0.40 USD, evenly on a logarithmic scale, and pass rates from 15 to 95 %, independent of the
price: 60 of each kind, from seeds 0 to 59. The settings of the router were chosen with seeds 0 to 29 in sight.
What is compared are expectations given the choices (the hidden rates), so luck with single pictures is left out.
Run: python benchmarks/bench_routing.py [MARKETS]; appends a line to results/routing.jsonl and draws
docs/routing-market.webp.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from learning.beliefs import KEPT, Beliefs, Result
from learning.routing import EXPLORATION, VERSION, Needs, Offer, choose

RESULTS = Path(__file__).parent / "results" / "routing.jsonl"
PLOT = Path(__file__).parents[1] / "docs" / "routing-market.webp"
GENERATIONS = 500
COLLAPSE_AT = 250
MODELS = 5
COLLAPSED = 0.03

Rates = NDArray[np.float64]
#: Which model the next generation gets, by the beliefs so far.
Router = Callable[["Market", Beliefs, int, np.random.Generator], int]


@dataclass(frozen=True, kw_only=True)
class Market:
    """Five models and, per generation, what each is worth at that time."""

    prices: Rates
    rates: Rates  # (GENERATIONS, MODELS)

    @property
    def offers(self) -> list[Offer]:
        usd = [Decimal(str(round(float(price), 4))) for price in self.prices]
        return [Offer(model=str(at), provider="p", usd=one, at_most_usd=one) for at, one in enumerate(usd)]


def market(seed: int, *, collapses: bool) -> Market:
    rng = np.random.default_rng([seed, 1])
    prices = np.exp(rng.uniform(np.log(0.02), np.log(0.40), MODELS))
    rates = np.tile(rng.uniform(0.15, 0.95, MODELS), (GENERATIONS, 1))
    if collapses:
        rates[COLLAPSE_AT:, int(np.argmin(prices / rates[0]))] = COLLAPSED
    return Market(prices=prices, rates=rates)


def thompson(here: Market, beliefs: Beliefs, _: int, rng: np.random.Generator) -> int:
    chosen = choose(here.offers, Needs(), beliefs, draw=float(rng.random())).chosen
    assert chosen is not None
    return int(chosen.model)


def oracle(here: Market, _: Beliefs, at: int, __: np.random.Generator) -> int:
    return int(np.argmin(here.prices / here.rates[at]))


def lowest_price(here: Market, _: Beliefs, __: int, ___: np.random.Generator) -> int:
    return int(np.argmin(here.prices))


def in_turn(_: Market, __: Beliefs, at: int, ___: np.random.Generator) -> int:
    return at % MODELS


ROUTERS: dict[str, tuple[Router, float]] = {
    "router": (thompson, KEPT),
    "never forgets": (thompson, 1.0),
    "lowest price": (lowest_price, KEPT),
    "in turn": (in_turn, KEPT),
    "oracle": (oracle, KEPT),
}


def run(here: Market, router: Router, *, kept: float, seed: int) -> tuple[Rates, Rates, Rates]:
    """Accepted pictures and dollars after each generation, and how often each model was used."""
    rng = np.random.default_rng([seed, 2])
    beliefs = Beliefs(kept=kept)
    accepted, usd = np.empty(GENERATIONS), np.empty(GENERATIONS)
    uses = np.zeros(MODELS)
    for at in range(GENERATIONS):
        model = router(here, beliefs, at, rng)
        rate = float(here.rates[at, model])
        accepted[at], usd[at] = rate, here.prices[model]
        uses[model] += 1
        beliefs.learn(Result(model=str(model), context=Needs().context, accepted=bool(rng.random() < rate)))
    return accepted.cumsum(), usd.cumsum(), uses


def compared(markets: int, *, collapses: bool) -> tuple[dict[str, object], dict[str, Rates]]:
    """Figures by router, and the share of the oracle's pictures per dollar after each generation."""
    shares: dict[str, list[Rates]] = {name: [] for name in ROUTERS}
    after: dict[str, list[float]] = {name: [] for name in ROUTERS}
    least_used = []
    for seed in range(markets):
        here = market(seed, collapses=collapses)
        done = {name: run(here, router, kept=kept, seed=seed) for name, (router, kept) in ROUTERS.items()}
        best = done["oracle"]
        for name, (accepted, usd, _) in done.items():
            shares[name].append((accepted / usd) / (best[0] / best[1]))
            last = slice(COLLAPSE_AT, None)
            mine = (accepted[-1] - accepted[last][0]) / (usd[-1] - usd[last][0])
            after[name].append(float(mine / ((best[0][-1] - best[0][last][0]) / (best[1][-1] - best[1][last][0]))))
        least_used.append(float(done["router"][2].min()))
    figures = {
        name: {
            "mean": round(float(np.mean([one[-1] for one in found])), 3),
            "p10": round(float(np.quantile([one[-1] for one in found], 0.1)), 3),
            "worst": round(float(min(one[-1] for one in found)), 3),
            "second half": round(float(np.mean(after[name])), 3),
        }
        for name, found in shares.items()
        if name != "oracle"
    }
    return {**figures, "least used model, on average": round(float(np.mean(least_used)), 1)}, {
        name: np.mean(found, axis=0) for name, found in shares.items()
    }


def draw(curves: Sequence[tuple[str, dict[str, Rates]]]) -> None:
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
    for axis, (title, shares) in zip(axes, curves, strict=True):
        for name, curve in shares.items():
            axis.plot(curve, label=name, linestyle="--" if name == "oracle" else "-")
        axis.axhline(0.9, color="grey", linewidth=0.6, linestyle=":")
        axis.set(title=title, xlabel="generations", ylim=(0, 1.05))
    axes[0].set_ylabel("accepted pictures per dollar, share of the oracle's")
    axes[0].legend(loc="lower right")
    figure.savefig(PLOT, dpi=90, pil_kwargs={"quality": 80})


def main() -> None:
    markets = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    steady, curves = compared(markets, collapses=False)
    collapse, broken = compared(markets, collapses=True)
    draw([("nothing changes", curves), (f"the best model collapses at {COLLAPSE_AT}", broken)])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    line = {
        "router": VERSION,
        "exploration": EXPLORATION,
        "kept": KEPT,
        "markets": markets,
        "generations": GENERATIONS,
        "commit": commit.stdout.strip(),
        "machine": platform.machine(),
        "share of the oracle's pictures per dollar": {"steady": steady, "collapse": collapse},
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=2))


if __name__ == "__main__":
    main()
