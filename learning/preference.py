"""A Bradley-Terry head over frozen embeddings: how much a picture, or a prompt, is liked, in general and by a persona.

P(a is preferred to b) = sigmoid(s(a) - s(b)) with s(x) = (w + u_k) . x: one direction for everybody, and an offset for
each persona that is drawn towards none (partial pooling), so that few choices of a persona change little. Both have an
L2 penalty; the problem is convex and is solved by Newton steps, so the same pairs give the same head. No generator is
trained by any of this: the embeddings are those of the check.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from learning.intervals import wilson

Vector = NDArray[np.float64]

#: With fewer pairs nothing is fitted: a held-out accuracy could not be told from chance.
ENOUGH_PAIRS: Final = 100
#: A persona with fewer pairs has no offset of its own.
ENOUGH_OF_A_PERSONA: Final = 30
VERSION: Final = "bradley-terry-1"
#: What is predicted must lie so many standard errors above chance: held-out folds share pairs with each other, so that
#: their spread is wider than that of independent choices.
_SURE_Z: Final = 3.0
_FOLDS: Final = 5
_PENALTIES: Final = (0.3, 1.0, 3.0, 10.0)
_POOLING: Final = 3.0
_ROUNDS: Final = 12
_SETTLED: Final = 1e-6
_BINS: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class HeadStatus(StrEnum):
    """Whether a head may be used."""

    NOT_ENOUGH_DATA = "not enough data"
    NO_BETTER_THAN_CHANCE = "no better than chance"
    USABLE = "usable"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """One choice between two.

    Args:
        preferred, other: their embeddings, of unit length.
        persona: whose choice it is; None for nobody's in particular.
    """

    preferred: Vector
    other: Vector
    persona: str | None = None

    @property
    def difference(self) -> Vector:
        return self.preferred - self.other


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Choices that were predicted with a confidence between `low` and `high`, and how often that was right."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """A fitted head and what is known of its worth.

    Args:
        weights: for everybody; empty where nothing was fitted.
        offsets: by persona.
        pairs: it was fitted to.
        accuracy: share of held-out pairs whose choice it predicts, with its interval.
        bins: the reliability of its confidence on those pairs.
        penalty: of the weights, chosen by held-out likelihood.
        digest: of the pairs and the parameters: equal for equal heads.
    """

    standing: HeadStatus
    weights: Vector
    pairs: int
    digest: str
    offsets: Mapping[str, Vector] = field(default_factory=dict)
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    bins: Sequence[Bin] = ()
    penalty: float | None = None

    @property
    def usable(self) -> bool:
        return self.standing is HeadStatus.USABLE

    def rewards(self, embeddings: Vector, *, persona: str | None = None) -> Vector:
        """(N,) how much each of (N, D) is liked; only differences mean anything.

        Raises:
            ValueError: the head is not usable.
        """
        if not self.usable:
            raise ValueError(f"this head predicts nothing: {self.standing}")
        offset = self.offsets.get(persona) if persona is not None else None
        found: Vector = embeddings @ (self.weights if offset is None else self.weights + offset)
        return found


def train(pairs: Sequence[Pair]) -> Head:
    """Fit a head, and measure it on pairs that it did not see: each pair is held out once, in one of five folds."""
    digest = digest_of(pairs)
    if len(pairs) < ENOUGH_PAIRS:
        return Head(standing=HeadStatus.NOT_ENOUGH_DATA, weights=np.zeros(0), pairs=len(pairs), digest=digest)
    # By content, so that the order in which choices come changes nothing.
    pairs = sorted(pairs, key=_content)
    rows = np.stack([one.difference for one in pairs])
    personas = _personas(pairs)
    folds = np.arange(len(rows)) % _FOLDS
    held_out = {penalty: _held_out(rows, personas, folds, penalty) for penalty in _PENALTIES}
    penalty = min(_PENALTIES, key=lambda one: float(np.logaddexp(0, -held_out[one]).sum()))
    margins = held_out[penalty]
    accuracy = float((margins > 0).mean() + 0.5 * (margins == 0).mean())
    low, high = wilson(accuracy * len(rows), len(rows))
    surely, _ = wilson(accuracy * len(rows), len(rows), z=_SURE_Z)
    weights, offsets = _fit(rows, personas, penalty)
    return Head(
        standing=HeadStatus.USABLE if surely > 0.5 else HeadStatus.NO_BETTER_THAN_CHANCE,
        weights=weights,
        offsets=offsets,
        pairs=len(rows),
        digest=digest,
        accuracy=accuracy,
        low=low,
        high=high,
        bins=_reliability(margins),
        penalty=penalty,
    )


def digest_of(pairs: Sequence[Pair]) -> str:
    """Equal for equal choices, in whatever order, under equal parameters."""
    told = sha256(repr((VERSION, _PENALTIES, _POOLING, ENOUGH_PAIRS, ENOUGH_OF_A_PERSONA)).encode())
    for one in sorted(map(_content, pairs)):
        told.update(one)
    return told.hexdigest()[:16]


def _content(pair: Pair) -> bytes:
    return sha256(pair.difference.tobytes() + repr(pair.persona).encode()).digest()


def _personas(pairs: Sequence[Pair]) -> Mapping[str, NDArray[np.intp]]:
    """Rows of each persona that has enough of them."""
    names = sorted({one.persona for one in pairs if one.persona is not None})
    rows = {name: np.flatnonzero([one.persona == name for one in pairs]) for name in names}
    return {name: found for name, found in rows.items() if len(found) >= ENOUGH_OF_A_PERSONA}


def _held_out(
    rows: Vector, personas: Mapping[str, NDArray[np.intp]], folds: NDArray[np.int_], penalty: float
) -> Vector:
    """Of each row, its margin by a head that was fitted without its fold."""
    margins = np.empty(len(rows))
    for fold in range(_FOLDS):
        seen = np.flatnonzero(folds != fold)
        number = {int(row): index for index, row in enumerate(seen)}
        kept = {
            name: np.array([number[int(row)] for row in found if int(row) in number], np.intp)
            for name, found in personas.items()
        }
        weights, offsets = _fit(rows[seen], kept, penalty)
        out = np.flatnonzero(folds == fold)
        margins[out] = rows[out] @ weights
        for name, found in personas.items():
            mine = np.intersect1d(found, out)
            margins[mine] += rows[mine] @ offsets[name]
    return margins


def _fit(rows: Vector, personas: Mapping[str, NDArray[np.intp]], penalty: float) -> tuple[Vector, dict[str, Vector]]:
    """Newton steps for the weights and for each offset in turn, until neither moves."""
    weights = np.zeros(rows.shape[1])
    offsets = {name: np.zeros(rows.shape[1]) for name in personas}
    base = np.zeros(len(rows))
    for _ in range(_ROUNDS):
        step = _newton(rows, rows @ weights + base, weights, penalty)
        weights = weights + step
        moved = float(np.abs(step).max())
        for name, mine in personas.items():
            margins = rows[mine] @ (weights + offsets[name])
            step = _newton(rows[mine], margins, offsets[name], _POOLING * penalty)
            offsets[name] = offsets[name] + step
            base[mine] = rows[mine] @ offsets[name]
            moved = max(moved, float(np.abs(step).max()))
        if moved < _SETTLED:
            break
    return weights, offsets


def _newton(rows: Vector, margins: Vector, at: Vector, penalty: float) -> Vector:
    """The step towards the minimum of the penalised logistic loss of (N, D) differences."""
    wrong = 1 / (1 + np.exp(np.clip(margins, -30, 30)))
    gradient = rows.T @ wrong - penalty * at
    curvature = wrong * (1 - wrong)
    if len(rows) >= rows.shape[1]:
        inner = (rows.T * curvature) @ rows + penalty * np.eye(rows.shape[1])
        return np.linalg.solve(inner, gradient).astype(np.float64)
    # Fewer pairs than dimensions: the same step through a system of the pairs (Woodbury).
    scaled = rows * np.sqrt(curvature)[:, None]
    inner = np.linalg.solve(penalty * np.eye(len(rows)) + scaled @ scaled.T, scaled @ gradient).astype(np.float64)
    step: Vector = (gradient - scaled.T @ inner) / penalty
    return step


def _reliability(margins: Vector) -> list[Bin]:
    confidence = 1 / (1 + np.exp(-np.abs(margins)))
    right = (margins > 0).astype(float)
    bins = []
    for low, high in pairwise(_BINS):
        inside = (confidence >= low) & ((confidence < high) | (high == 1.0))
        if inside.any():
            bins.append(
                Bin(
                    low=low,
                    high=high,
                    count=int(inside.sum()),
                    confidence=float(confidence[inside].mean()),
                    right=float(right[inside].mean()),
                )
            )
    return bins
