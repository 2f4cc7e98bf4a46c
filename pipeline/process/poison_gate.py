"""Steps of one kind run together in a process; one that has killed a worker runs alone and can kill nobody else.

A death takes every step with it that the process had claimed. After one, nobody knows whose fault it was; so each of
them comes back alone, with nothing else claimed, and whoever dies then dies of itself.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PoisonGate:
    """Many together, or one alone; those who wait to be alone go first, since everybody waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._together = 0
        self._alone = False
        self._waiting_alone = 0

    @contextmanager
    def passed(self, *, alone: bool) -> Iterator[None]:
        """Wait for the way to be free and keep it for the block; enter it before claiming anything."""
        if alone:
            self._enter_alone()
        else:
            self._enter_together()
        try:
            yield
        finally:
            with self._changed:
                if alone:
                    self._alone = False
                else:
                    self._together -= 1
                self._changed.notify_all()

    def _enter_together(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and self._waiting_alone == 0)
            self._together += 1

    def _enter_alone(self) -> None:
        with self._changed:
            self._waiting_alone += 1
            try:
                self._changed.wait_for(lambda: not self._alone and self._together == 0)
                self._alone = True
            finally:
                self._waiting_alone -= 1
