"""Serve together what threads ask at the same time, so that what a request costs is paid once for all of them.

Whoever comes first is served at once and alone; those who come meanwhile form the next group, which one of them serves.
So a lone request waits for no company, and a group grows with the load; where groups begin some milliseconds apart,
it grows before the load is all the machine can bear.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(slots=True, eq=False)
class _Entry(Generic[_Item, _Result]):
    """An item and what became of it.

    Args:
        woken: it is done, or its thread is to serve the next group.
    """

    item: _Item
    woken: threading.Event = field(default_factory=threading.Event)
    result: _Result | None = None


class Combiner(Generic[_Item, _Result]):
    """Items of any number of threads, served by groups; thread-safe.

    Args:
        serve: one result for each item of a group, in order. Where it raises, its own thread hears of it, and the
            others of the group have no result.
        most: items in a group.
        apart_s: groups begin so far apart at least. One that follows a pause begins at once, and so does that of a
            thread which had no company the last time and is the only one that asks.
    """

    def __init__(
        self, serve: Callable[[Sequence[_Item]], Sequence[_Result]], *, most: int, apart_s: float = 0.0
    ) -> None:
        self._serve, self._most, self._apart_s = serve, most, apart_s
        self._earliest = 0.0
        self._lone: int | None = None
        self._lock = threading.Lock()
        self._waiting: list[_Entry[_Item, _Result]] = []
        self._leader: _Entry[_Item, _Result] | None = None

    def do(self, item: _Item) -> _Result | None:
        """The result for `item`, once its group has been served.

        A thread that is interrupted here, by Ctrl-C say, leaves nobody behind who waits for it.
        """
        mine = _Entry[_Item, _Result](item)
        try:
            with self._lock:
                self._waiting.append(mine)
                self._leader = self._leader or mine
            if self._leader is not mine:
                mine.woken.wait()
            if self._leader is mine:
                self._lead()
        finally:
            self._leave(mine)
        return mine.result

    def _lead(self) -> None:
        """Serve one group, whose first is the caller's own item."""
        me = threading.get_ident()
        if self._apart_s and self._lone != me:
            time.sleep(max(0.0, self._earliest - time.monotonic()))
            self._earliest = time.monotonic() + self._apart_s
        group: list[_Entry[_Item, _Result]] = []
        try:
            with self._lock:
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._lone = me if len(group) == 1 else None
            for entry, result in zip(group, self._serve([entry.item for entry in group]), strict=True):
                entry.result = result
        finally:
            for entry in group:
                entry.woken.set()

    def _leave(self, mine: _Entry[_Item, _Result]) -> None:
        """Hand the lead on to one who waits, if it was the caller's; an interrupted caller waits no more."""
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            if self._leader is mine:
                self._leader = self._waiting[0] if self._waiting else None
                if self._leader is not None:
                    self._leader.woken.set()
