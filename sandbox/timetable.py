"""A scheduler: one thread runs actions at given wall-clock times, in order."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable


class Timetable:
    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="timetable", daemon=True)
        self._thread.start()

    def at(self, when_s: float, action: Callable[[], None]) -> None:
        """Call the action at a time (seconds since 1970), at once if it has passed; actions must be short."""
        with self._wake:
            heapq.heappush(self._entries, (when_s, next(self._numbers), action))
            self._wake.notify()

    def close(self) -> None:
        """Stop: no action starts after this returns."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            action()

    def _next(self) -> Callable[[], None] | None:
        with self._wake:
            while not self._closed:
                now_s = time.time()
                if self._entries and self._entries[0][0] <= now_s:
                    return heapq.heappop(self._entries)[2]
                self._wake.wait(min(1.0, self._entries[0][0] - now_s) if self._entries else None)
        return None
