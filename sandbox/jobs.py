"""The job store of all wires: every job and its charge, on disk before the reply is sent.

SQLite with a write-ahead log and a full sync at each commit, so that jobs and charges survive a crash of the process or
the machine. Independent of providers and pictures; times are seconds since 1970.
"""

import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

State = Literal["accepted", "succeeded", "failed"]
Phase = Literal["waiting", "running", "succeeded", "failed"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT PRIMARY KEY,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    prompt TEXT NOT NULL,
    key_digest TEXT NOT NULL,
    mode TEXT NOT NULL,
    plan TEXT NOT NULL,
    parent_id TEXT,
    fault TEXT,
    hook_url TEXT,
    hook_due INTEGER NOT NULL,
    received_at_s REAL NOT NULL,
    accepted_at_s REAL NOT NULL,
    starts_at_s REAL NOT NULL,
    due_at_s REAL NOT NULL,
    finished_at_s REAL,
    state TEXT NOT NULL CHECK (state IN ('accepted', 'succeeded', 'failed')),
    message TEXT NOT NULL,
    illegal INTEGER NOT NULL,
    stuck INTEGER NOT NULL,
    price_micros INTEGER NOT NULL,
    charged_micros INTEGER NOT NULL,
    CHECK ((state = 'accepted') = (finished_at_s IS NULL))
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_live ON jobs (provider, key_digest) WHERE finished_at_s IS NULL;
CREATE INDEX IF NOT EXISTS jobs_illegal ON jobs (provider, key_digest, finished_at_s) WHERE illegal = 1;
CREATE INDEX IF NOT EXISTS jobs_by_time ON jobs (provider, key_digest, accepted_at_s);
CREATE TABLE IF NOT EXISTS refusals (
    received_at_s REAL NOT NULL,
    provider TEXT NOT NULL,
    path TEXT NOT NULL,
    key_digest TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
"""

PHASE_CONDITIONS: Mapping[Phase, str] = {
    "waiting": "state = 'accepted' AND starts_at_s > :now_s",
    "running": "state = 'accepted' AND starts_at_s <= :now_s",
    "succeeded": "state = 'succeeded'",
    "failed": "state = 'failed'",
}
DAY_S = 86_400.0


class Refused(Exception):
    """A job that was not accepted; the wire words the reply."""


class QueueFull(Refused): ...


class TooManySubmits(Refused): ...


class WalletEmpty(Refused): ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One accepted job.

    Attributes:
        kind: what the wire calls it: `imagine`, `upsample1`, ...
        plan: what to draw, for `sandbox.studio`.
        fault: the fault that hit its submission.
        hook_due: a callback is pending.
        starts_at_s: when it leaves the queue.
        due_at_s: the earliest end.
        message: why it failed, or will fail.
        illegal: it failed because of the prompt, which the provider counts.
        charged_micros: millionths of a dollar on the bill: the price from acceptance on, 0 after a refund.
    """

    job_id: str
    provider: str
    kind: str
    prompt: str
    key_digest: str
    mode: str
    plan: Mapping[str, Any]
    parent_id: str | None = None
    fault: str | None = None
    hook_url: str | None = None
    hook_due: bool = False
    received_at_s: float
    accepted_at_s: float
    starts_at_s: float
    due_at_s: float
    finished_at_s: float | None = None
    state: State = "accepted"
    message: str = ""
    illegal: bool = False
    stuck: bool = False
    price_micros: int
    charged_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The limits of one key at one provider; see `sandbox.settings`.

    Attributes:
        unreadable: message of a job whose reference could not be read.
        reads: file name endings of the picture types that are read as references.
        broken: message of a job that failed because of the sandbox itself.
    """

    concurrency: int
    wallet_usd: Decimal
    submits_per_minute: int
    illegal_limit: int
    unreadable: str = "a reference could not be read"
    reads: frozenset[str] = frozenset({"png", "jpg", "webp", "gif"})
    broken: str = "internal error"


COLUMNS = tuple(column.name for column in fields(Job))
INSERT = f"INSERT INTO jobs ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"  # noqa: S608 - names of our own columns


def micros(usd: Decimal) -> int:
    return int(usd.scaleb(6))


def usd(amount_micros: int) -> Decimal:
    return Decimal(amount_micros).scaleb(-6)


class JobStore:
    """Jobs and refusals of one data folder. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._writer = _connect(path)
        self._writer.executescript(SCHEMA)
        self._reader = _connect(path)
        self._write_lock = threading.RLock()
        self._read_lock = threading.Lock()
        self._spent: defaultdict[tuple[str, str], int] = defaultdict(int)
        for provider, key, spent in self._read(
            "SELECT provider, key_digest, sum(charged_micros) FROM jobs GROUP BY 1, 2"
        ):
            self._spent[provider, key] = spent

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()

    def accept(self, job: Job, terms: Terms) -> None:
        """Write the job and its charge durably; raises a `Refused` when the terms do not allow it."""
        account = (job.provider, job.key_digest)
        with self._write() as cursor:
            live = _number(
                cursor,
                "SELECT count(*) FROM jobs WHERE provider = ? AND key_digest = ? AND finished_at_s IS NULL",
                account,
            )
            if live >= terms.concurrency:
                raise QueueFull(f"{live} jobs are waiting or running, {terms.concurrency} are allowed")
            if self._spent[account] + job.price_micros > micros(terms.wallet_usd):
                raise WalletEmpty(f"{usd(self._spent[account])} of {terms.wallet_usd} USD are spent")
            if terms.submits_per_minute:
                recent = _number(
                    cursor,
                    "SELECT count(*) FROM jobs WHERE provider = ? AND key_digest = ? AND accepted_at_s > ?",
                    (*account, job.accepted_at_s - 60),
                )
                if recent >= terms.submits_per_minute:
                    raise TooManySubmits(f"{recent} submissions in the last minute")
            cursor.execute(INSERT, _row(job))
            self._spent[account] += job.charged_micros

    def reprice(self, job_id: str, price_micros: int) -> None:
        """Change the price of a job, unless it was refunded."""
        with self._write() as cursor:
            job = self._one(cursor, job_id)
            if job is None or (job.finished_at_s is not None and job.charged_micros == 0):
                return
            cursor.execute(
                "UPDATE jobs SET price_micros = ?, charged_micros = ? WHERE job_id = ?",
                (price_micros, price_micros, job_id),
            )
            self._spent[job.provider, job.key_digest] += price_micros - job.charged_micros

    def finish(self, job_id: str, *, at_s: float, message: str | None, illegal: bool, terms: Terms) -> Job | None:
        """End a job: failed with a message, succeeded without one; returns None if it had ended.

        A failed job is refunded, except an illegal prompt beyond the day's limit.
        """
        with self._write() as cursor:
            job = self._one(cursor, job_id)
            if job is None or job.finished_at_s is not None:
                return None
            charged = job.price_micros
            if message is not None:
                kept = illegal and self._illegal_today(cursor, job, at_s) >= terms.illegal_limit
                charged = job.price_micros if kept else 0
            cursor.execute(
                "UPDATE jobs SET state = ?, message = ?, illegal = ?, finished_at_s = ?, charged_micros = ?,"
                " hook_due = ? WHERE job_id = ?",
                (
                    "succeeded" if message is None else "failed",
                    message or "",
                    int(illegal),
                    at_s,
                    charged,
                    int(job.hook_url is not None),
                    job_id,
                ),
            )
            self._spent[job.provider, job.key_digest] += charged - job.charged_micros
            return self._one(cursor, job_id)

    def stop(self, job_id: str, *, at_s: float) -> Job | None:
        """Stop a job before its end; returns None if it had ended.

        A job that had begun is `canceled` and keeps its charge; one that had not is `aborted` and refunded. That word
        is its message.
        """
        with self._write() as cursor:
            job = self._one(cursor, job_id)
            if job is None or job.finished_at_s is not None:
                return None
            began = at_s >= job.starts_at_s
            charged = job.price_micros if began else 0
            cursor.execute(
                "UPDATE jobs SET state = 'failed', message = ?, finished_at_s = ?, charged_micros = ?, hook_due = ?"
                " WHERE job_id = ?",
                ("canceled" if began else "aborted", at_s, charged, int(job.hook_url is not None), job_id),
            )
            self._spent[job.provider, job.key_digest] += charged - job.charged_micros
            return self._one(cursor, job_id)

    def mark_called_back(self, job_id: str) -> None:
        with self._write() as cursor:
            cursor.execute("UPDATE jobs SET hook_due = 0 WHERE job_id = ?", (job_id,))

    def release_stuck(self) -> list[Job]:
        """Release stuck jobs; returns them."""
        with self._write() as cursor:
            cursor.execute("SELECT * FROM jobs WHERE stuck = 1 AND finished_at_s IS NULL")
            freed = [replace(_job(row), stuck=False) for row in cursor.fetchall()]
            cursor.execute("UPDATE jobs SET stuck = 0 WHERE stuck = 1")
        return freed

    def refuse(self, *, provider: str, path: str, key_digest: str, received_at_s: float, reason: str) -> None:
        """Record a submission that was not accepted."""
        with self._write() as cursor:
            cursor.execute(
                "INSERT INTO refusals VALUES (?, ?, ?, ?, ?)", (received_at_s, provider, path, key_digest, reason)
            )

    def get(self, job_id: str) -> Job | None:
        rows = self._read("SELECT * FROM jobs WHERE job_id = ?", (job_id,))
        return _job(rows[0]) if rows else None

    def unfinished(self) -> list[Job]:
        return [
            _job(row) for row in self._read("SELECT * FROM jobs WHERE finished_at_s IS NULL ORDER BY accepted_at_s")
        ]

    def owed_callbacks(self) -> list[Job]:
        return [_job(row) for row in self._read("SELECT * FROM jobs WHERE hook_due = 1 AND finished_at_s IS NOT NULL")]

    def page(
        self,
        provider: str,
        key_digest: str,
        *,
        phase: Phase,
        now_s: float,
        newest_first: bool,
        limit: int,
        offset: int,
    ) -> list[Job]:
        """A page of a key's jobs in one phase, by time of acceptance."""
        direction = "DESC" if newest_first else "ASC"
        rows = self._read(
            f"SELECT * FROM jobs WHERE provider = :provider AND key_digest = :key_digest AND {PHASE_CONDITIONS[phase]}"  # noqa: S608 - two texts of our own
            f" ORDER BY accepted_at_s {direction}, job_id {direction} LIMIT :limit OFFSET :offset",
            {"provider": provider, "key_digest": key_digest, "now_s": now_s, "limit": limit, "offset": offset},
        )
        return [_job(row) for row in rows]

    def before(
        self, provider: str, key_digest: str, *, newest: tuple[float, str], oldest_s: float, limit: int
    ) -> list[Job]:
        """A key's jobs in all phases, newest first: older than (time of acceptance, id), down to a time."""
        rows = self._read(
            "SELECT * FROM jobs WHERE provider = :provider AND key_digest = :key_digest"
            " AND (accepted_at_s, job_id) < (:newest_s, :newest_id) AND accepted_at_s >= :oldest_s"
            " ORDER BY accepted_at_s DESC, job_id DESC LIMIT :limit",
            {
                "provider": provider,
                "key_digest": key_digest,
                "newest_s": newest[0],
                "newest_id": newest[1],
                "oldest_s": oldest_s,
                "limit": limit,
            },
        )
        return [_job(row) for row in rows]

    def all(self) -> list[Job]:
        return [_job(row) for row in self._read("SELECT * FROM jobs ORDER BY accepted_at_s, job_id")]

    def refusals(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._read("SELECT * FROM refusals ORDER BY received_at_s")]

    def balance_micros(self, provider: str, key_digest: str) -> tuple[int, int]:
        """(charged for finished jobs, reserved for live ones)."""
        row = self._read(
            "SELECT coalesce(sum(charged_micros) FILTER (WHERE finished_at_s IS NOT NULL), 0),"
            " coalesce(sum(charged_micros) FILTER (WHERE finished_at_s IS NULL), 0)"
            " FROM jobs WHERE provider = ? AND key_digest = ?",
            (provider, key_digest),
        )[0]
        return int(row[0]), int(row[1])

    def _illegal_today(self, cursor: sqlite3.Cursor, job: Job, at_s: float) -> int:
        since = at_s - at_s % DAY_S
        return _number(
            cursor,
            "SELECT count(*) FROM jobs WHERE illegal = 1 AND provider = ? AND key_digest = ? AND finished_at_s >= ?",
            (job.provider, job.key_digest, since),
        )

    def _one(self, cursor: sqlite3.Cursor, job_id: str) -> Job | None:
        row = cursor.execute("SELECT * FROM jobs WHERE job_id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def _read(self, statement: str, values: tuple[object, ...] | dict[str, object] = ()) -> list[sqlite3.Row]:
        with self._read_lock:
            return self._reader.execute(statement, values).fetchall()

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Cursor]:
        with self._write_lock:
            cursor = self._writer.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _number(cursor: sqlite3.Cursor, statement: str, values: tuple[object, ...]) -> int:
    return int(cursor.execute(statement, values).fetchone()[0])


def _row(job: Job) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(job, name) for name in COLUMNS}
    return row | {
        "plan": json.dumps(job.plan),
        "hook_due": int(job.hook_due),
        "illegal": int(job.illegal),
        "stuck": int(job.stuck),
    }


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    flags = {name: bool(values[name]) for name in ("hook_due", "illegal", "stuck")}
    return Job(**values | flags | {"plan": json.loads(values["plan"])})
