"""When the pictures of a batch are compared with each other; those that are too alike are flagged.

The comparison itself, in `pipeline.process.near_duplicate_search`, brings NumPy along, which only a process that checks
pictures needs.
"""

import logging
import time
from collections import OrderedDict
from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Final

from db.reads import near_duplicates
from db.session import Database
from domain.errors import LikenessError
from domain.ids import BatchId
from domain.verdict import Origin

if TYPE_CHECKING:
    from pipeline.process.near_duplicate_search import Seen

log = logging.getLogger(__name__)

#: A commit is at most this much later than its transaction began.
_LATE: Final = timedelta(minutes=1)
_BATCHES: Final = 8
#: Between two looks at a batch: where many pictures are judged, a look serves those of this time.
_APART_S: Final = 0.25


class NearDuplicates:
    """Thread-safe: one thread looks for all that ask meanwhile.

    Args:
        least: cosine from which two pictures are too alike.
        most: pictures of a batch that are remembered, the latest; 50,000 of ViT-L/14 take 150 MB.
    """

    def __init__(self, *, least: float = 0.98, most: int = 50_000) -> None:
        self._least = least
        self._most = most
        self._batches: OrderedDict[tuple[BatchId, str], Seen] = OrderedDict()
        self._lock = Lock()

    def look(self, database: Database, batch_id: BatchId, *, origin: Origin) -> None:
        """Compare what was judged since the last look; call it after the commit that judged.

        Whoever commits later of two looks later, and so sees both, whatever process they belong to. What fails here
        concerns no verdict and is only told.

        Args:
            origin: of the verdicts just written: only embeddings of the same model are compared.
        """
        from validation.embedder import fingerprint_of

        fingerprint = fingerprint_of(revision=origin.revision, preprocessing=origin.preprocessing, dtype=origin.dtype)
        seen = self._begin((batch_id, fingerprint))
        if seen is None:
            return  # another thread looks, and will look once more for us
        while True:
            time.sleep(max(0.0, seen.earliest - time.monotonic()))
            seen.earliest = time.monotonic() + _APART_S
            with self._lock:
                seen.wanted = False  # who asked until now has committed, and is looked at
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

    def _begin(self, key: tuple[BatchId, str]) -> "Seen | None":
        from pipeline.process.near_duplicate_search import Seen

        with self._lock:
            seen = self._batches.setdefault(key, Seen())
            self._batches.move_to_end(key)
            while len(self._batches) > _BATCHES:
                self._batches.popitem(last=False)
            if seen.looking:
                seen.wanted = True
                return None
            seen.looking = True
            return seen

    def _look(self, database: Database, batch_id: BatchId, fingerprint: str, seen: "Seen") -> None:
        from pipeline.process.near_duplicate_search import too_alike

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
        found = too_alike(seen, first, least=self._least)
        if found:
            with database.transaction() as connection:
                near_duplicates.flag(connection, found)
