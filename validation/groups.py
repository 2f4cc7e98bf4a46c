"""Resample dependent scores together (cluster bootstrap). NumPy only.

Scores of one generation's pictures, or of near duplicates, are not independent. Resampling them one by one would give
intervals that are too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
_Numbers = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Resamples of one kind of score: (B, K) how often each value was drawn, and was left out."""

    taken: Values
    left: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """One kind of score in groups.

    Args:
        scores: number of scores.
        groups: number of groups.
        of: (N,) the group of each score, from 0, with scores ascending.
        at: positions of its values among all K.
        starts: where in `of` the scores of each of these values begin.
        values: K, the number of distinct values.
    """

    scores: int
    groups: int
    of: _Numbers
    at: _Numbers
    starts: _Numbers
    values: int

    @property
    def whole(self) -> Values:
        """(1, K) how often each value occurs."""
        return self._counted(np.ones((1, self.groups)))

    def drawn(self, rng: np.random.Generator, resamples: int) -> Drawn:
        """Draw as many groups as there are, with replacement.

        Source: the cluster bootstrap, Davison and Hinkley 1997, "Bootstrap Methods and their Application", section 3.8.
        """
        times = rng.multinomial(self.groups, np.full(self.groups, 1 / self.groups), size=resamples)  # (B, G)
        return Drawn(taken=self._counted(times), left=self._counted(times == 0))

    def _counted(self, times: NDArray[np.generic]) -> Values:
        """(B, K) from (B, G) how often each group counts."""
        counts = np.zeros((len(times), self.values))
        counts[:, self.at] = np.add.reduceat(times[:, self.of].astype(np.float64), self.starts, axis=1)
        return counts


def grouped(scores: Values, labels: Sequence[int], values: Values) -> Grouped:
    """Group the scores by their labels; `values` is ascending and contains all of them."""
    _, group = np.unique(np.asarray(labels), return_inverse=True)
    order = np.argsort(scores, kind="stable")
    at, starts = np.unique(np.searchsorted(values, scores[order]), return_index=True)
    return Grouped(
        scores=len(scores), groups=int(group.max()) + 1, of=group[order], at=at, starts=starts, values=len(values)
    )


def linked(cores: NDArray[np.float32], labels: Sequence[int], *, least: float) -> list[int]:
    """Connected groups of pictures that share a label or are near duplicates.

    Args:
        cores: (N, D) unit rows.
        labels: as many; pictures with equal ones belong together.
        least: cosine from which two pictures are alike.
    """
    given = np.asarray(labels)
    together = (cores @ cores.T >= least) | (given[:, None] == given[None])  # (N, N)
    found = np.arange(len(given))
    while True:
        lowest = np.where(together, found[None], len(given)).min(axis=1)  # (N,) of those beside it, itself among them
        lowest = lowest[lowest]
        if np.array_equal(lowest, found):
            return [int(one) for one in found]
        found = lowest
