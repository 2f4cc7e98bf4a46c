"""An in-process LRU cache of embeddings in front of the persistent one.

A thread that needs an embedding that another is making waits for it, so that 64 tasks with the same references embed
them once.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from threading import Lock

from domain.errors import ScorerError
from validation.base import Embedding, EmbeddingCache


class EmbeddingMemory:
    """Thread-safe.

    Args:
        model: fingerprint for the persistent cache.
        capacity: embeddings in memory; the least recently used are dropped.
        cache: persistent cache, or None.
    """

    def __init__(self, *, model: str, capacity: int, cache: EmbeddingCache | None = None) -> None:
        self._model = model
        self._capacity = capacity
        self._cache = cache
        self._kept: OrderedDict[str, Embedding] = OrderedDict()
        self._coming: dict[str, Future[Embedding]] = {}
        self._lock = Lock()

    def get(
        self, sources: Sequence[str], make: Callable[[Sequence[str]], Sequence[Embedding | ScorerError]]
    ) -> list[Embedding | ScorerError]:
        """One outcome per source, in order; failures are returned and not cached.

        Args:
            sources: digests of original files; may repeat.
            make: embeds the missing ones; called again only for those that another thread failed to make.
        """
        mine: list[str] = []
        futures: dict[str, Future[Embedding]] = {}
        with self._lock:
            for source in dict.fromkeys(sources):
                futures[source] = self._known(source)
                if source not in self._coming and not futures[source].done():
                    self._coming[source] = futures[source]
                    mine.append(source)
        if mine:
            self._settle(mine, make)
        outcomes = {source: _outcome(future) for source, future in futures.items()}
        given_up = [source for source, outcome in outcomes.items() if outcome is None]
        again = dict(zip(given_up, self.get(given_up, make), strict=True)) if given_up else {}
        return [outcomes[source] or again[source] for source in sources]

    def _known(self, source: str) -> Future[Embedding]:
        """The cached (done) or pending future, or a new one; the caller holds the lock."""
        if source in self._coming:
            return self._coming[source]
        future: Future[Embedding] = Future()
        if source in self._kept:
            self._kept.move_to_end(source)
            future.set_result(self._kept[source])
        return future

    def _settle(self, mine: list[str], make: Callable[[Sequence[str]], Sequence[Embedding | ScorerError]]) -> None:
        """Resolve the futures of `mine`, whatever happens: others wait for them."""
        outcomes: dict[str, Embedding | ScorerError] = {}
        try:
            outcomes = self._found_or_made(mine, make)
        finally:
            with self._lock:
                for source in mine:
                    outcome = outcomes.get(source)
                    future = self._coming.pop(source)
                    if outcome is None:
                        future.cancel()
                        continue
                    if isinstance(outcome, ScorerError):
                        future.set_exception(outcome)
                        continue
                    self._kept[source] = outcome
                    future.set_result(outcome)
                while len(self._kept) > self._capacity:
                    self._kept.popitem(last=False)

    def _found_or_made(
        self, mine: list[str], make: Callable[[Sequence[str]], Sequence[Embedding | ScorerError]]
    ) -> dict[str, Embedding | ScorerError]:
        found = dict(self._cache.get_many(mine, model=self._model)) if self._cache else {}
        absent = [source for source in mine if source not in found]
        if not absent:
            return {**found}
        made = dict(zip(absent, make(absent), strict=True))
        new = {source: outcome for source, outcome in made.items() if isinstance(outcome, Embedding)}
        if self._cache and new:
            self._cache.put_many(new, model=self._model)
        return {**found, **made}


def _outcome(future: Future[Embedding]) -> Embedding | ScorerError | None:
    """None where the other thread failed."""
    try:
        return future.result()
    except CancelledError:
        return None
    except ScorerError as error:
        return error
