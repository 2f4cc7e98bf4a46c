"""How many choices does the preference head need, and does it find what sets a persona apart?

Question: of choices by raters whose taste is known, what share of held-out ones does it predict after 20, 200 and
2,000, and how near is that to the noise ceiling (what knowing the taste exactly would predict)? How well does each
persona's offset agree with the truth, and are its confidences right?
Hypothesis: nothing at 20, above chance with confidence at 200, near the ceiling at 2,000.
Control: the same number of choices made by throwing a coin.
Raters: embeddings of 64 dimensions on the unit sphere; a taste is a direction; a choice is a draw from Bradley-Terry
with sharpness 8, so that about a fifth of the choices contradict the taste. Three personas share a taste, and each has
an offset of its own, as long as it. Seeds 0 to 9. Vectors of a vision model are longer and correlated: this shows the
method, not how far real taste can be predicted (the best public models get about 70 % of such choices).
Run: python benchmarks/bench_preference.py; appends a line to results/preference.jsonl and draws
docs/preference-calibration.webp.
"""

import json
import platform
import subprocess
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from learning.preference import VERSION, Head, Pair, train

RESULTS = Path(__file__).parent / "results" / "preference.jsonl"
PLOT = Path(__file__).parents[1] / "docs" / "preference-calibration.webp"
SEEDS = range(10)
DIMENSIONS = 64
SHARPNESS = 8.0
PERSONAS = ("warm", "plain", "loud")

Rows = NDArray[np.float64]


def unit(rng: np.random.Generator, count: int) -> Rows:
    rows = rng.normal(size=(count, DIMENSIONS))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def choices(rng: np.random.Generator, count: int, tastes: dict[str, Rows], *, coin: bool) -> tuple[list[Pair], float]:
    """Choices by personas in turn, and the share of them that agrees with their taste."""
    names = list(tastes)
    pairs, agree = [], 0
    for at, (a, b) in enumerate(zip(unit(rng, count), unit(rng, count), strict=True)):
        name = names[at % len(names)]
        gap = 0.0 if coin else SHARPNESS * float((a - b) @ tastes[name])
        first = rng.random() < 1 / (1 + np.exp(-gap))
        pair = Pair(preferred=a if first else b, other=b if first else a, persona=name)
        agree += float(pair.difference @ tastes[name]) > 0
        pairs.append(pair)
    return pairs, agree / count


def agreement(head: Head, rng: np.random.Generator, tastes: dict[str, Rows]) -> float:
    """Mean correlation of learned offsets with the true ones, over pictures that nobody has judged."""
    rows = unit(rng, 500)
    mean = np.mean([tastes[name] for name in PERSONAS], axis=0)
    learned = np.mean([head.weights + head.offsets[name] for name in PERSONAS], axis=0)
    found = [
        np.corrcoef(rows @ (head.weights + head.offsets[name] - learned), rows @ (tastes[name] - mean))[0, 1]
        for name in PERSONAS
    ]
    return float(np.mean(found))


def measured(count: int, *, coin: bool = False) -> tuple[dict[str, object], list[Head]]:
    heads, ceilings, offsets = [], [], []
    for seed in SEEDS:
        rng = np.random.default_rng([seed, count])
        shared = unit(rng, 1)[0]
        tastes = {name: shared + unit(rng, 1)[0] for name in PERSONAS}
        pairs, ceiling = choices(rng, count, tastes, coin=coin)
        head = train(pairs)
        heads.append(head)
        ceilings.append(ceiling)
        if set(head.offsets) == set(PERSONAS):
            offsets.append(agreement(head, rng, tastes))
    found: dict[str, object] = {"standings": {str(one.standing): 0 for one in heads}}
    standings = found["standings"]
    assert isinstance(standings, dict)
    for one in heads:
        standings[str(one.standing)] += 1
    accuracies = [one.accuracy for one in heads if one.accuracy is not None]
    if accuracies:
        found["held-out accuracy"] = round(float(np.mean(accuracies)), 3)
        found["lower end of its interval"] = round(float(np.mean([one.low for one in heads if one.low is not None])), 3)
    if not coin:
        found["noise ceiling"] = round(float(np.mean(ceilings)), 3)
        if offsets:
            found["correlation of offsets with the true ones"] = round(float(np.mean(offsets)), 3)
    return found, heads


def draw(heads: list[Head]) -> None:
    mpl.use("agg")
    from matplotlib import pyplot as plt

    bins = sorted({(one.low, one.high) for head in heads for one in head.bins})
    points = []
    for low, high in bins:
        inside = [one for head in heads for one in head.bins if (one.low, one.high) == (low, high)]
        total = sum(one.count for one in inside)
        points.append(
            (
                sum(one.confidence * one.count for one in inside) / total,
                sum(one.right * one.count for one in inside) / total,
            )
        )
    figure, axis = plt.subplots(figsize=(4.5, 4.2), layout="constrained")
    axis.plot([0.5, 1], [0.5, 1], color="grey", linewidth=0.8, linestyle="--")
    axis.plot(*zip(*points, strict=True), marker="o")
    axis.set(xlabel="confidence of the head", ylabel="share of held-out choices it predicts", title="2,000 choices")
    figure.savefig(PLOT, dpi=90, pil_kwargs={"quality": 80})


def main() -> None:
    by_count = {str(count): measured(count) for count in (20, 200, 2000)}
    coin = {str(count): measured(count, coin=True)[0] for count in (200, 2000)}
    draw(by_count["2000"][1])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    line = {
        "head": VERSION,
        "dimensions": DIMENSIONS,
        "seeds": len(SEEDS),
        "commit": commit.stdout.strip(),
        "machine": platform.machine(),
        "choices": {count: found for count, (found, _) in by_count.items()},
        "choices by throwing a coin": coin,
    }
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=2))


if __name__ == "__main__":
    main()
