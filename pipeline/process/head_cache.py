"""Remembers the preference head for a minute: a check should not read the same weights for every picture."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # it brings NumPy along, which a command that only looks does not need
    from learning.preference import Head

_FRESH_S: Final = 60.0


class HeadCache:
    """The usable head of each model, or None where there is none."""

    def __init__(self, *, fresh_s: float = _FRESH_S) -> None:
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._heads: dict[str, tuple[float, Head | None]] = {}

    def get(self, fingerprint: str, read: "Callable[[], Head | None]") -> "Head | None":
        with self._lock:
            found = self._heads.get(fingerprint)
        if found is not None and time.monotonic() - found[0] < self._fresh_s:
            return found[1]
        head = read()
        with self._lock:
            self._heads[fingerprint] = (time.monotonic(), head)
        return head
