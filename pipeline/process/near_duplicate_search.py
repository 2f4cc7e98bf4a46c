"""Compare the embeddings of a batch's pictures: which later one is too like which earlier one.

Pictures of one generation are variations of one prompt and meant to be alike, so only those of different generations
are compared. Why the comparison is made here and not by pgvector is measured in
`docs/decisions/0021-near-duplicates.md`. When it is made is decided in `pipeline.process.near_duplicates`.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from db.reads.near_duplicates import SeenPicture
from domain.ids import AssetId

_STORED = np.dtype("<f4")
#: Rows compared at once: with the largest memory, 50 MB of cosines.
_ROWS = 256


@dataclass(slots=True, kw_only=True)
class Seen:
    """The pictures of one batch and model that this process has compared.

    Args:
        earliest: when it may look for more, on the clock that never goes back.
    """

    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    assets: list[AssetId] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    numbers: dict[object, int] = field(default_factory=dict)
    known: set[AssetId] = field(default_factory=set)
    latest: deque[tuple[datetime, AssetId]] = field(default_factory=deque)
    newest: datetime | None = None
    earliest: float = 0.0
    looking: bool = False
    wanted: bool = False

    def add(self, pictures: list[SeenPicture]) -> int:
        """Take up what is new; returns the number of the first new row."""
        first = len(self.assets)
        new = [one for one in pictures if one.asset_id not in self.known]
        for one in new:
            self.known.add(one.asset_id)
            self.assets.append(one.asset_id)
            self.generations.append(self.numbers.setdefault(one.generation_id, len(self.numbers)))
            self.newest = one.judged_at if self.newest is None else max(self.newest, one.judged_at)
        self.latest.extend(sorted((one.judged_at, one.asset_id) for one in new))
        if new:
            rows = np.stack([np.frombuffer(one.vector, dtype=_STORED) for one in new])  # (N, D)
            if len(self.assets) > len(self.vectors):
                grown = np.empty((max(1024, 2 * len(self.assets)), rows.shape[1]), np.float32)
                grown[:first] = self.vectors[:first] if first else 0
                self.vectors = grown
            self.vectors[first : len(self.assets)] = rows
        return first


@dataclass(slots=True, kw_only=True)
class _Nearest:
    """For each picture the number of the earlier one that it is most like so far, and the cosine; -1 for none."""

    score: NDArray[np.float32]
    number: NDArray[np.intp]

    def take(self, pictures: NDArray[np.intp], numbers: NDArray[np.intp], scores: NDArray[np.float32]) -> None:
        """What is more alike replaces what is known; of equals the known one stays. No picture occurs twice."""
        better = scores > self.score[pictures]
        self.score[pictures[better]] = scores[better]
        self.number[pictures[better]] = numbers[better]


def too_alike(seen: Seen, first: int, *, least: float) -> dict[AssetId, tuple[AssetId, float]]:
    """Of every pair with a new picture: the later one, and the earlier that it is most like."""
    total = len(seen.assets)
    generations = np.asarray(seen.generations)
    nearest = _Nearest(score=np.full(total, -1, np.float32), number=np.full(total, -1))
    for at in range(first, total, _ROWS):
        rows = np.arange(at, min(at + _ROWS, total))
        cosines = np.minimum(seen.vectors[rows] @ seen.vectors[:total].T, 1)  # (R, N)
        alike = cosines >= least
        columns = np.flatnonzero(alike.any(axis=0))
        # Mostly a handful of columns: the masks below are as small.
        alike = alike[:, columns] & (generations[rows, None] != generations[None, columns])
        if alike.any():
            _pair(seen, nearest, rows, columns, np.where(alike, cosines[:, columns], -1))
    return {
        seen.assets[later]: (seen.assets[nearest.number[later]], float(nearest.score[later]))
        for later in np.flatnonzero(nearest.number >= 0)
    }


def _pair(
    seen: Seen,
    nearest: _Nearest,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    cosines: NDArray[np.float32],
) -> None:
    """Keep the nearest earlier picture of every later one, by one maximum over rows and one over columns.

    Args:
        rows, columns: numbers of the pictures.
        cosines: (R, C) of them; -1 where two are not alike, or variations of one prompt.
    """
    involved = np.union1d(rows, columns)
    by_age = sorted(involved.tolist(), key=lambda number: seen.assets[number].int)  # ids count up
    age = np.zeros(len(seen.assets), np.intp)
    age[by_age] = np.arange(len(by_age))
    row_is_later = age[rows, None] > age[None, columns]  # (R, C)
    of_columns = np.where(row_is_later, -1, cosines)
    winners = of_columns.argmax(axis=0)  # (C,)
    nearest.take(columns, rows[winners], of_columns[winners, np.arange(len(columns))])
    of_rows = np.where(row_is_later, cosines, -1)
    winners = of_rows.argmax(axis=1)  # (R,)
    nearest.take(rows, columns[winners], of_rows[np.arange(len(rows)), winners])
