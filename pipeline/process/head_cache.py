"""Remembers preference heads for a minute: a check should not read the same weights for every picture."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

if TYPE_CHECKING:  # it brings NumPy along, which a command that only looks does not need
    from learning.preference import Head

_FRESH_S: Final = 60.0
#: Batches that a process works on at a time, each with the model that it is judged by.
_MOST: Final = 64


class HeadCache:
    """The usable head for each batch and model, or None where there is none; made outside the lock, at worst twice."""

    def __init__(self, *, fresh_s: float = _FRESH_S) -> None:
        self._lock = threading.Lock()
        self._heads: TTLCache[str, Head | None] = TTLCache(_MOST, ttl=fresh_s)

    def get(self, key: str, read: "Callable[[], Head | None]") -> "Head | None":
        with self._lock:
            if key in self._heads:
                return self._heads[key]
        head = read()
        with self._lock:
            self._heads[key] = head
        return head
