"""Connections and transactions: one engine per process, and the only place that commits."""

import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from domain.errors import ServiceMissing

_Result = TypeVar("_Result")

#: How long a transaction that must not wait for others waits for a row.
_PATIENCE: Final = "500ms"
#: A connection that was used so recently is alive if its server has said nothing since: one that ends says so, but a
#: network that broke says nothing.
_QUIET_S = 30.0
#: A server that died without a word, as with its machine, is let go after 25 seconds. Linux would wait two hours for an
#: answer, and with the thread that writes for a group all others of its process that have something to write.
_LETS_GO: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
_USED_AT = "used at"
_LENT = "lent by a pooler"

#: SQLSTATEs of an unreachable server: no connection, shutting down, or starting up.
_AWAY = {None, "08000", "08001", "08003", "08006", "57P01", "57P02", "57P03"}
#: SQLSTATEs of a transaction that was rolled back and may be repeated: deadlock, serialization failure, out of disk,
#: memory or connections, and a statement that waited for a row or ran for longer than the server allows.
_UNDONE = ("40001", "40P01", "53", "55P03", "57014")


class DatabaseAway(ServiceMissing):
    """The database is not available now; rescue repeats a step, and a command waits."""

    retryable = True


class Database:
    """Short transactions on a pool of connections; safe to share between threads, not between processes.

    Args:
        url: a libpq or SQLAlchemy URL.
        pool_size: connections kept; as many again may be opened under load.
        application: shown in `pg_stat_activity`.
    """

    def __init__(self, url: str, *, pool_size: int = 8, application: str = "likeness") -> None:
        address = make_url(url).set(drivername="postgresql+psycopg")
        # What the address says itself stands.
        patience = {name: value for name, value in _LETS_GO.items() if name not in address.query}

        def engine(**options: Any) -> Engine:
            made = create_engine(
                address,
                **options,
                pool_size=pool_size,
                max_overflow=pool_size,
                # The connection that was used last goes first: it needs no ping, and what is not needed stays idle.
                pool_use_lifo=True,
                # What a statement was given (prompts, addresses, keys of jobs) has no place in the text of an error.
                hide_parameters=True,
                connect_args={"application_name": application, **patience},
            )
            event.listen(made, "connect", _look_for_a_pooler)
            event.listen(made, "checkin", _note_use)
            event.listen(made, "checkout", self._ping_if_idle)
            return made

        #: For whoever keeps a transaction open while the same thread needs another: two would wait for each other's
        #: connections. Never waited for.
        self.long_transaction = threading.Lock()
        self._engine = engine()
        #: Connections of their own, so that nobody has to say in each transaction how long it waits.
        self._impatient = engine()
        event.listen(self._impatient, "connect", _wait_half_a_second)
        #: Likewise for what is looked up by an index again and again.
        self._lookups = engine(isolation_level="AUTOCOMMIT")
        event.listen(self._lookups, "connect", _keep_plans)

    def _ping_if_idle(self, connection: Any, record: Any, _: Any) -> None:
        """A server that was restarted must cost a reconnect, not a failed step; a ping before each costs as much again.

        Whether something came is asked of the socket, in microseconds.

        Raises:
            InvalidatePoolError: the connection is dead; the pool drops all that are as old and opens another.
        """
        idle_s = time.monotonic() - record.info.get(_USED_AT, 0.0)
        try:
            if idle_s >= _QUIET_S or not _is_quiet(connection):
                self._engine.dialect.do_ping(connection)
        except self._engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error

    @property
    def engine(self) -> Engine:
        """For migrations alone."""
        return self._engine

    @contextmanager
    def transaction(self, *, impatient: bool = False) -> Iterator[Connection]:
        """One transaction: committed at the end of the block, rolled back when it raises.

        Args:
            impatient: a row that somebody else holds is waited for half a second at most.

        Raises:
            DatabaseAway: the server is unreachable, or went away meanwhile; whether a commit in progress took effect is
                unknown.
        """
        with _away_is_told(), (self._impatient if impatient else self._engine).begin() as connection:
            if impatient and connection.info[_LENT]:
                connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
            yield connection

    @contextmanager
    def lookup(self) -> Iterator[Connection]:
        """For a statement that reads some rows by an index: one way to the server and back, and a plan that is kept.

        There is no transaction: two statements may see different states.

        Raises:
            DatabaseAway: the server is unreachable.
        """
        with _away_is_told(), self._lookups.connect() as connection:
            yield connection

    def insist(self, write: Callable[[Connection], _Result], *, seconds: float) -> _Result:
        """Run `write` in its own transaction, retrying for `seconds` while the server is unavailable.

        For data that must not be lost, such as the id of a paid job. `write` must be idempotent, because an earlier run
        may have been committed although its answer was lost.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self.transaction() as connection:
                    return write(connection)
            except (DatabaseAway, DBAPIError, PoolTimeout) as error:
                if time.monotonic() > deadline or not _passes(error):
                    raise
                time.sleep(0.2)

    def check(self) -> None:
        """Check that the server answers.

        Raises:
            DatabaseAway: it does not.
        """
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except OperationalError as error:
            shown = self._engine.url.render_as_string(hide_password=True)
            reason = str(error.orig).strip().splitlines()[0] if error.orig else "no answer"
            raise DatabaseAway(f"Postgres at {shown} is not reachable ({reason})") from error

    def close(self) -> None:
        self._engine.dispose()
        self._impatient.dispose()
        self._lookups.dispose()


@contextmanager
def _away_is_told() -> Iterator[None]:
    """Raises `DatabaseAway` where the server is, instead of the library's error."""
    try:
        yield
    except DBAPIError as error:
        # A server that ends a transaction for its age ends the connection with it, and calls that no operational error.
        absent = isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) in _AWAY
        if error.connection_invalidated or absent:
            reason = str(error.orig).strip().partition("\n")[0]
            raise DatabaseAway(f"Postgres went away ({reason}); this is tried again") from error
        raise


def is_lent(connection: Connection) -> bool:
    """Whether a pooler lends the connection, for one transaction at a time."""
    lent: bool = connection.info[_LENT]
    return lent


def _is_quiet(connection: Any) -> bool:
    """Whether nothing came from the server: neither its last words nor the end of the connection."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return not waiting.poll(0)


def _look_for_a_pooler(connection: Any, record: Any) -> None:
    """Prepared statements stay with the server's connection, and a pooler lends that to somebody else after a commit.

    A statement of another client under the same name fails, or runs. PgBouncer and its like are recognised by the
    process id, which they make up for each client.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()", prepare=False)
        (server_pid,) = cursor.fetchone()
    connection.rollback()
    record.info[_LENT] = server_pid != connection.info.backend_pid
    if record.info[_LENT]:
        connection.prepare_threshold = None


def _wait_half_a_second(connection: Any, record: Any) -> None:
    """Say once how long this connection waits for a row, unless a pooler lends it: then each transaction says it."""
    if not record.info[_LENT]:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{_PATIENCE}'")
        connection.commit()


def _keep_plans(connection: Any, record: Any) -> None:
    """Plan a prepared statement once, for an index; behind a pooler nothing is prepared and every plan is new.

    Postgres takes an array that it does not know yet for ten ids, so that a plan for the one or two that come always
    looks cheaper, and is made for each: 2.6 ms beside 1 ms of reading, for the longest statement. A plan that is kept
    must also hold when small tables have grown.
    """
    if not record.info[_LENT]:
        with connection.cursor() as cursor:
            cursor.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")


def _note_use(_: Any, record: Any) -> None:
    record.info[_USED_AT] = time.monotonic()


def _passes(error: DatabaseAway | DBAPIError | PoolTimeout) -> bool:
    """Whether the same transaction may succeed later."""
    if isinstance(error, DBAPIError):
        return str(getattr(error.orig, "sqlstate", None)).startswith(_UNDONE)
    return True
