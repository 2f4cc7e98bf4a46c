"""Two pictures of a batch that are too alike: found in the embeddings of the check, flagged on the later one.

Pictures of one generation are variations of one prompt and meant to be alike, so only those of different generations
are compared. Why the comparison is made here and not by pgvector is measured in
`docs/decisions/0021-near-duplicates.md`.
"""

import logging
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from db.records import near_duplicates
from db.records.near_duplicates import SeenPicture
from db.session import Database
from domain.errors import LikenessError
from domain.ids import AssetId, BatchId
from domain.verdict import Origin
from validation.embedder import fingerprint_of

log = logging.getLogger(__name__)

_STORED = np.dtype("<f4")
#: A commit is at most this much later than its transaction began.
_LATE = timedelta(minutes=1)
#: Rows compared at once: with the largest memory, 50 MB of cosines.
_ROWS = 256
_BATCHES = 8


@dataclass(slots=True, kw_only=True)
class _Seen:
    """The pictures of one batch and model that this process has compared."""

    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    assets: list[AssetId] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    numbers: dict[object, int] = field(default_factory=dict)
    known: set[AssetId] = field(default_factory=set)
    latest: deque[tuple[datetime, AssetId]] = field(default_factory=deque)
    newest: datetime | None = None
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


class NearDuplicates:
    """Thread-safe: one thread looks for all that ask meanwhile.

    Args:
        least: cosine from which two pictures are too alike.
        most: pictures of a batch that are remembered, the latest; 50,000 of ViT-L/14 take 150 MB.
    """

    def __init__(self, *, least: float = 0.98, most: int = 50_000) -> None:
        self._least = least
        self._most = most
        self._batches: OrderedDict[tuple[BatchId, str], _Seen] = OrderedDict()
        self._lock = Lock()

    def look(self, database: Database, batch_id: BatchId, *, origin: Origin) -> None:
        """Compare what was judged since the last look; call it after the commit that judged.

        Whoever commits later of two looks later, and so sees both, whatever process they belong to. What fails here
        concerns no verdict and is only told.

        Args:
            origin: of the verdicts just written: only embeddings of the same model are compared.
        """
        fingerprint = fingerprint_of(revision=origin.revision, preprocessing=origin.preprocessing, dtype=origin.dtype)
        seen = self._begin((batch_id, fingerprint))
        if seen is None:
            return  # another thread looks, and will look once more for us
        while True:
            try:
                self._look(database, batch_id, fingerprint, seen)
            except LikenessError as failure:
                log.warning("near-duplicates of batch %s are not looked for now: %s", batch_id, failure)
            except BaseException:
                with self._lock:
                    seen.looking = False
                raise
            with self._lock:
                if not seen.wanted:
                    seen.looking = False
                    return
                seen.wanted = False

    def _begin(self, key: tuple[BatchId, str]) -> _Seen | None:
        with self._lock:
            seen = self._batches.setdefault(key, _Seen())
            self._batches.move_to_end(key)
            while len(self._batches) > _BATCHES:
                self._batches.popitem(last=False)
            if seen.looking:
                seen.wanted = True
                return None
            seen.looking = True
            return seen

    def _look(self, database: Database, batch_id: BatchId, fingerprint: str, seen: _Seen) -> None:
        if len(seen.assets) >= 2 * self._most:
            # Begin anew with the latest half, rather than grow without end.
            seen.assets, seen.generations, seen.newest = [], [], None
            seen.known.clear()
            seen.latest.clear()
            seen.numbers.clear()
        since = None if seen.newest is None else seen.newest - _LATE
        while since is not None and seen.latest and seen.latest[0][0] < since:
            seen.latest.popleft()
        known = [asset_id for _, asset_id in seen.latest]
        with database.transaction() as connection:
            pictures = near_duplicates.judged_since(
                connection, batch_id, fingerprint=fingerprint, since=since, most=self._most, known=known
            )
        first = seen.add(pictures)
        found = _too_alike(seen, first, least=self._least)
        if found:
            with database.transaction() as connection:
                near_duplicates.flag(connection, found)


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


def _too_alike(seen: _Seen, first: int, *, least: float) -> dict[AssetId, tuple[AssetId, float]]:
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
    seen: _Seen,
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
