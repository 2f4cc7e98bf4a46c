"""Rows by COPY: the fastest way into a table."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.copy import LibpqWriter
from sqlalchemy import Connection

from db.ids import new_id_text
from db.incoming.copy_lines import COLUMNS, escaped
from db.incoming.repeats import Repeats
from domain.ids import BatchId

_LINES_AT_ONCE: Final = 512


class RowCopy:
    """A COPY under way.

    Args:
        total: rows that were written.
    """

    def __init__(self, write: Callable[[str], None], front: str) -> None:
        self._write = write
        self._front = front
        self._block: list[str] = []
        self.total = 0

    def add(self, occurrence: int, line: str) -> None:
        """Write a row as `copy_lines.line_of` made it.

        Args:
            occurrence: its number among rows that ask for the same picture, from 0.
        """
        self._block.append(f"{self._front}{new_id_text()}\t{occurrence}\t{line}")
        if len(self._block) == _LINES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        self._write("".join(self._block))
        self.total += len(self._block)
        self._block.clear()


class _Writer(LibpqWriter):
    """psycopg's own, which says nothing more of a COPY that a failure has ended already.

    Where the connection is gone, the end of the COPY cannot be sent either; psycopg logs that as a warning, which a
    person at a command would read beside the failure that is told.
    """

    def finish(self, exc: BaseException | None = None) -> None:
        try:
            super().finish(exc)
        except psycopg.Error:
            if exc is None:
                raise


@contextmanager
def copying(connection: Connection, table: str, batch_id: BatchId, *, user_id: str) -> Iterator[RowCopy]:
    """Rows that are written until the block ends; none of them, where it raises."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection was closed under a running transaction")
    statement = f"COPY {table} ({COLUMNS}) FROM STDIN"
    with driver.cursor() as cursor, cursor.copy(statement, writer=_Writer(cursor)) as copy:
        rows = RowCopy(copy.write, f"{batch_id}\t{escaped(user_id)}\t")
        yield rows
        rows.flush()


def copy_rows(
    connection: Connection, table: str, batch_id: BatchId, *, user_id: str, numbered: Iterable[tuple[int, str]]
) -> int:
    """Write lines, each behind its number among its equals; returns how many there were."""
    with copying(connection, table, batch_id, user_id=user_id) as rows:
        for occurrence, line in numbered:
            rows.add(occurrence, line)
    return rows.total


def copy_new(connection: Connection, batch_id: BatchId, *, user_id: str, lines: Iterable[str], repeats: Repeats) -> int:
    """Write the rows of a batch that has none yet; returns how many there were."""
    return copy_rows(connection, "generations", batch_id, user_id=user_id, numbered=repeats.numbered(lines))
