"""Remembers the preference head for a minute: a check should not read the same weights for every picture."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

if TYPE_CHECKING:  # it brings NumPy along, which a command that only looks does not need
    from learning.preference import Head

_FRESH_S: Final = 60.0
#: Scoring models that a process judges by at a time.
_MODELS: Final = 8


class HeadCache:
    """The usable head of each model, or None where there is none; made outside the lock, at worst twice."""

    def __init__(self, *, fresh_s: float = _FRESH_S) -> None:
        self._lock = threading.Lock()
        self._heads: TTLCache[str, Head | None] = TTLCache(_MODELS, ttl=fresh_s)

    def get(self, fingerprint: str, read: "Callable[[], Head | None]") -> "Head | None":
        with self._lock:
            if fingerprint in self._heads:
                return self._heads[fingerprint]
        head = read()
        with self._lock:
            self._heads[fingerprint] = head
        return head
