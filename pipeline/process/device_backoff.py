"""A device without room is this machine's affair and passes: how long those wait whom it could not serve."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

_SHORTEST_S = 1.0
_LONGEST_S = 60.0


class DeviceBackoff:
    """How long the device of this process has been full; thread-safe.

    An attempt waits as long again as the device has been full already, so that waits double, whoever comes. Not by the
    attempt's own tries: those are counted against it, and this is not its fault.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None
        self._lock = threading.Lock()

    def wait(self) -> timedelta:
        """It was full just now: until when to come again; from 1 s to 60 s."""
        with self._lock:
            now = self._clock()
            self._since = now if self._since is None else self._since
            return timedelta(seconds=min(max(now - self._since, _SHORTEST_S), _LONGEST_S))

    def over(self) -> None:
        """It has served somebody."""
        with self._lock:
            self._since = None
