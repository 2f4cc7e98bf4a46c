"""Run what the threads of a process ask of Postgres at the same time as one statement in one transaction.

Whoever comes first runs at once and alone; those who come while it runs form the next group, which one of them runs.
So nothing waits for company, and a group grows with the load. A caller returns only after the commit that holds its own
item: grouping moves no write behind anything that depends on it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from db.session import Database, DatabaseAway

log = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Above this a statement's parameters grow faster than what is saved.
_MOST: Final = 64


@dataclass(slots=True, eq=False)
class _Entry(Generic[_Item, _Result]):
    """An item and what became of it.

    Args:
        woken: it is done, or its thread is to run the next group.
    """

    item: _Item
    woken: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    result: _Result | None = None
    away: DatabaseAway | None = None


class Grouped(Generic[_Item, _Result]):
    """Items of any number of threads, written or read by groups; thread-safe.

    Args:
        run: does a whole group in one transaction: one result for each item, None for what must go alone.
    """

    def __init__(self, run: Callable[[Connection, Sequence[_Item]], Sequence[_Result | None]]) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._waiting: list[_Entry[_Item, _Result]] = []
        self._running = False

    def do(self, database: Database, item: _Item) -> _Result | None:
        """The result for `item` once its transaction is committed; None where the caller must do it alone.

        A group that fails as a whole, by a deadlock or by one of its items, leaves each to its caller.

        Raises:
            DatabaseAway: whether the group's commit took place is unknown.
        """
        mine = _Entry[_Item, _Result](item)
        with self._lock:
            self._waiting.append(mine)
            mine.leads = not self._running
            self._running = True
        if not mine.leads:
            mine.woken.wait()
        if mine.leads:
            self._lead(database)
        if mine.away is not None:
            raise DatabaseAway(str(mine.away)) from mine.away
        return mine.result

    def _lead(self, database: Database) -> None:
        """Run one group, whose first is the caller's own item; then one who waits runs the next."""
        with self._lock:
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        try:
            self._settle(database, group)
        finally:
            for entry in group:
                entry.woken.set()
            with self._lock:
                self._running = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].woken.set()

    def _settle(self, database: Database, group: Sequence[_Entry[_Item, _Result]]) -> None:
        try:
            # Somebody who holds the row of one member for long, such as a cancel of a large batch, must not hold up the
            # others: then the group is taken apart, and only that member waits.
            with database.transaction(impatient=True) as connection:
                results = list(self._run(connection, [entry.item for entry in group]))
        except DatabaseAway as away:
            for entry in group:
                entry.away = away
            return
        except Exception as failure:  # noqa: BLE001 -- one item must not fail its neighbours: each goes alone, and says why
            log.info("a group of %d is taken apart: %s", len(group), failure)
            return
        for entry, result in zip(group, results, strict=True):
            entry.result = result
