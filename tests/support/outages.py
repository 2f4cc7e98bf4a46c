"""A Postgres that goes away at a chosen transaction, before it begins or once it is committed."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from sqlalchemy import Connection

from db.session import Database, DatabaseAway


class Loses(StrEnum):
    """What is lost of a transaction."""

    ALL = "all of it: nobody answers"
    THE_ANSWER = "the answer to its commit"


class Flaky(Database):
    """A database on the connections of another one, with transactions that fail; counted from 1."""

    def __init__(self, database: Database, *, at: int, loses: Loses = Loses.ALL, times: int = 1) -> None:
        self.__dict__.update(database.__dict__)
        self.begun = 0
        self._failing = range(at, at + times)
        self._loses = loses

    @contextmanager
    def transaction(self, *, impatient: bool = False) -> Iterator[Connection]:
        self.begun += 1
        fails = self.begun in self._failing
        if fails and self._loses is Loses.ALL:
            raise DatabaseAway("Postgres went away (restarting)")
        with super().transaction(impatient=impatient) as connection:
            yield connection
        if fails:
            raise DatabaseAway("Postgres went away (the answer to the commit was lost)")
