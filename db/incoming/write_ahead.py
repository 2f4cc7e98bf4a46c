"""Write the rows of a new batch while later ones are still checked.

Checking keeps one core busy and Postgres another, so that the two together take little longer than the slower one. All
is one transaction: nobody sees a row before it is committed, and nothing stays of one that is not.
"""

import threading
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg
from sqlalchemy import Connection

from db.incoming.bulk_copy import RowCopy, copying
from db.incoming.repeats import Repeats
from db.records.batches import NewBatch, open_batch
from db.session import Database, DatabaseAway, is_lent
from domain.ids import BatchId

#: Fewer rows are written as fast afterwards.
_ROWS_BEFORE: Final = 2_000
_ROWS_AT_ONCE: Final = 512
#: An older transaction is in the way: nobody else can enqueue under the name of its batch, and Postgres keeps what has
#: been deleted meanwhile, everywhere. Rows may come from a script that takes hours for the next one.
_LONGEST_S: Final = 60.0
#: The transaction is gone: with its connection, or because the server allows none that is so long.
_LOST: Final = (DatabaseAway, psycopg.OperationalError, psycopg.InternalError)


class _GivenUp(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenAhead:
    """All rows of a new batch in a transaction that is still open.

    Args:
        total: how many rows there are.
        transaction: goes on with it, and commits it at the end of the block.
    """

    batch_id: BatchId
    total: int
    transaction: Callable[[], AbstractContextManager[Connection]]


class WriteAhead:
    """The rows of one order, taken as they are checked.

    It gives up where the batch exists already, where Postgres is lost, and where the rows take too long to come. They
    are then written when the plan is committed, as those of a small batch always are. It does not begin behind a
    pooler, whose few connections others wait for, nor while another of the process is at work: each holds a connection
    while its thread needs a second one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batch: NewBatch | None = None
        self._pending: list[str] = []
        self._write_at = _ROWS_BEFORE
        #: Places of rows of which one like them may have come before: only all rows together tell their numbers.
        self._held_back = array("Q")
        self._noted = 0
        self._over = False
        self._transaction, self._copying = ExitStack(), ExitStack()
        self._begun: tuple[Connection, BatchId, RowCopy] | None = None
        #: Held by whoever uses the connection: the thread of the rows, or that of the timer.
        self._lock = threading.RLock()
        self._timer = threading.Timer(_LONGEST_S, self.give_up)
        self._timer.daemon = True

    def open(self, batch: NewBatch) -> None:
        """Say whose rows are coming."""
        self._batch = batch

    def add(self, line: str, *, may_repeat: bool) -> None:
        """Take the next line of the order.

        Args:
            may_repeat: as `Repeats.note` says.
        """
        if self._over:
            return
        if may_repeat:
            self._held_back.append(self._noted)
        else:
            self._pending.append(line)
            if len(self._pending) >= self._write_at:
                self._write()
        self._noted += 1

    def finish(self, lines: Iterable[str], repeats: Repeats) -> WrittenAhead | None:
        """Write what was held back; None where nothing was written ahead.

        Args:
            lines: all that were added, in their order.
        """
        with self._lock:
            if self._begun is None:
                self.give_up()
                return None
            # From here on it is a matter of moments.
            self._timer.cancel()
            begun, self._begun = self._begun, None
            return self._finish(*begun, lines, repeats)

    def _finish(
        self, connection: Connection, batch_id: BatchId, rows: RowCopy, lines: Iterable[str], repeats: Repeats
    ) -> WrittenAhead | None:
        try:
            self._flush(rows)
            places = iter(self._held_back)
            held_back = next(places, None)
            for place, (occurrence, line) in enumerate(repeats.numbered(lines) if self._held_back else ()):
                if place == held_back:
                    rows.add(occurrence, line)
                    held_back = next(places, None)
            self._copying.close()
        except _LOST:
            self.give_up()
            return None
        return WrittenAhead(
            batch_id=batch_id, total=rows.total, transaction=partial(self._rest_of_transaction, connection)
        )

    def give_up(self) -> None:
        """Undo what was written and not committed."""
        self._timer.cancel()
        with self._lock:
            self._over, self._begun = True, None
            self._pending.clear()
            try:
                _end(self._copying)
            finally:
                _end(self._transaction)

    @contextmanager
    def _rest_of_transaction(self, connection: Connection) -> Iterator[Connection]:
        with self._transaction.pop_all():
            self._over = True
            yield connection

    def _write(self) -> None:
        with self._lock:
            try:
                rows = self._begun[2] if self._begun else self._begin()
                if rows is None:
                    self.give_up()
                else:
                    self._flush(rows)
            except _LOST:
                self.give_up()

    def _flush(self, rows: RowCopy) -> None:
        for line in self._pending:
            rows.add(0, line)
        self._pending.clear()

    def _begin(self) -> RowCopy | None:
        """Open the transaction; None where it is not to be."""
        if self._over or self._batch is None or not self._database.long_transaction.acquire(blocking=False):
            return None
        self._transaction.callback(self._database.long_transaction.release)
        self._write_at = _ROWS_AT_ONCE
        self._timer.start()
        connection = self._transaction.enter_context(self._database.transaction())
        if is_lent(connection):
            return None
        batch_id, made = open_batch(connection, self._batch)
        if not made:
            return None
        rows = self._copying.enter_context(copying(connection, "generations", batch_id, user_id=self._batch.user_id))
        self._begun = (connection, batch_id, rows)
        return rows


def _end(stack: ExitStack) -> None:
    try:
        stack.pop_all().__exit__(_GivenUp, _GivenUp(), None)
    except _LOST:
        # With the connection goes its transaction.
        return
