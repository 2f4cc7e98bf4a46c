"""Count what a batch asks of Postgres and sends through Redis: statements, commits, messages, beat's ticks, events.

Statements and commits are read from Postgres' log rather than from its statistics, which also count what autovacuum
commits, what it takes to open a connection, and the questions of the benchmark itself.
"""

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import psycopg
import redis

from runtime.embedded.stack import Servers
from tasks import names

#: What a benchmark says before its own statements, outside of transactions, so that they are not counted.
NOT_COUNTED: Final = "/* benchmark */ "
_LINE: Final = re.compile(rb"\[(\d+)\] LOG:  (?:statement|execute [^:]*):\s*(\w+)")
_ENDS: Final = frozenset({b"commit", b"rollback"})
_NOISE: Final = frozenset({b"begin", b"discard", *_ENDS})
_TICKS: Final = frozenset({names.QUEUE_TICK, names.QUEUE_POLL})
_LAST: Final = "the benchmark has counted"


class StatementLog:
    """Counts what Postgres writes to its log while the block lasts: statements, and transactions that were committed.

    A statement outside a transaction is one of its own.
    """

    def __init__(self, path: Path) -> None:
        self.statements = 0
        self.commits = 0
        self._path = path
        self._inside: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        at = self._path.stat().st_size
        while not self._ended.wait(0.05):
            at = min(at, self._path.stat().st_size)  # the keeper empties a log that has grown
            with self._path.open("rb") as file:
                file.seek(at)
                read = file.read()
            # A statement may begin on the line after that which names it, so the last two lines wait.
            whole = read[: read.rfind(b"\n", 0, max(0, read.rfind(b"\n"))) + 1]
            at += len(whole)
            for server, word in _LINE.findall(whole):
                self._count(server, word.lower())

    def _count(self, server: bytes, word: bytes) -> None:
        if word == b"begin":
            self._inside.add(server)
        if word == b"commit" or (word not in _NOISE and server not in self._inside):
            self.commits += 1
        if word in _ENDS:
            self._inside.discard(server)
        self.statements += word not in _NOISE


class MessageLog:
    """Counts by queue the messages that Redis is given while the block lasts."""

    def __init__(self, url: str) -> None:
        self.by_queue = Counter[str]()
        self._client = redis.Redis.from_url(url)
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.echo(_LAST)
        self._thread.join()
        self._client.close()

    def _listen(self) -> None:
        with self._client.monitor() as monitor:
            self._listens.set()
            for said in monitor.listen():
                command, _, rest = str(said["command"]).partition(" ")
                if command.upper() == "LPUSH":
                    self.by_queue[rest.partition(" ")[0]] += 1
                elif _LAST in rest:
                    return

    @property
    def ticks(self) -> int:
        return sum(number for queue, number in self.by_queue.items() if queue in _TICKS)


class Counters:
    """What Postgres and Redis have counted."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def _database(self, statement: str) -> Any:
        with psycopg.connect(self._servers.libpq_url, autocommit=True) as connection:
            found = connection.execute(f"{NOT_COUNTED}{statement}".encode())
            row = found.fetchone() if found.description else None
            return row[0] if row else None

    @contextlib.contextmanager
    def counting(self) -> Iterator[tuple[StatementLog, MessageLog]]:
        """Have Postgres log every statement, and Redis tell every command, inside the block."""
        self._database("ALTER SYSTEM SET log_statement = 'all'")
        self._database("SELECT pg_reload_conf()")
        time.sleep(1.0)
        log = self._servers.home / "logs" / "postgres.log"
        with StatementLog(log) as statements, MessageLog(self._servers.redis_url) as messages:
            yield statements, messages
        self._database("ALTER SYSTEM RESET log_statement")
        self._database("SELECT pg_reload_conf()")

    def kept_bytes(self) -> int:
        """What all tables and their indexes take, once what was deleted is free again."""
        self._database("VACUUM")
        tables = "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        return int(self._database(f"SELECT sum(pg_total_relation_size(oid)) {tables}"))

    def read(self, statements: StatementLog, messages: MessageLog) -> dict[str, int]:
        """What was counted so far. Ticks are messages too, but as many a second whatever the load: they stand apart."""
        time.sleep(0.3)  # the followers lag a little
        with redis.Redis.from_url(self._servers.redis_url) as client:
            calls = client.info("commandstats")
        return {
            "statements": statements.statements,
            "commits": statements.commits,
            "messages": messages.by_queue.total() - messages.ticks,
            "ticks": messages.ticks,
            "published_events": int(calls.get("cmdstat_publish", {}).get("calls", 0)),
        }
