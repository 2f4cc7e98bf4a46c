"""Run what the threads of a process ask of Postgres at the same time as one statement in one transaction.

A caller returns only after the commit that holds its own item: grouping moves no write behind anything that depends on
it. `domain.combining` says how groups form.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

from db.session import Database, DatabaseAway
from domain.combining import Combiner

log = logging.getLogger(__name__)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Above this a statement's parameters grow faster than what is saved.
_MOST: Final = 64
#: Threads that got their work from one sweep come within milliseconds of each other. A generation takes ten such steps,
#: so that under load it is finished half a second later at most.
_APART_S: Final = 0.05


class Grouped(Generic[_Item, _Result]):
    """Items of any number of threads, written or read by groups; thread-safe.

    Args:
        run: does a whole group in one transaction: one result for each item, None for what must go alone.
        apart_s: groups begin so far apart at least, as in `domain.combining`; 0 for what may not wait.
    """

    def __init__(
        self,
        run: Callable[[Connection, Sequence[_Item]], Sequence[_Result | None]],
        *,
        apart_s: float = _APART_S,
    ) -> None:
        self._run = run
        self._combiner = Combiner[tuple[Database, _Item], _Result | DatabaseAway | None](
            self._settle, most=_MOST, apart_s=apart_s
        )

    def do(self, database: Database, item: _Item) -> _Result | None:
        """The result for `item` once its transaction is committed; None where the caller must do it alone.

        A group that fails as a whole, by a deadlock or by one of its items, leaves each to its caller.

        Raises:
            DatabaseAway: whether the group's commit took place is unknown.
        """
        result = self._combiner.do((database, item))
        if isinstance(result, DatabaseAway):
            raise DatabaseAway(str(result)) from result
        return result

    def _settle(self, group: Sequence[tuple[Database, _Item]]) -> Sequence[_Result | DatabaseAway | None]:
        database = group[0][0]
        try:
            # Somebody who holds the row of one member for long, such as a cancel of a large batch, must not hold up the
            # others: then the group is taken apart, and only that member waits.
            with database.transaction(impatient=True) as connection:
                return list(self._run(connection, [item for _, item in group]))
        except DatabaseAway as away:
            return [away] * len(group)
        except Exception as failure:  # noqa: BLE001 -- one item must not fail its neighbours: each goes alone, and says why
            log.info("a group of %d is taken apart: %s", len(group), failure)
            return [None] * len(group)
