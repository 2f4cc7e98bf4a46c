"""Does admission slow down with the length of the queue, and what does it cost beside `delay()` in a loop?

Hypotheses: the head of a batch is one step of an index, so giving out 64 places takes no longer with a million rows
waiting than with a thousand; and admitting and publishing a prompt costs a fifth of the CPU that `task.delay()` does.
Controls in the same run: the same admission before a thousand rows; the same number of `delay()` to the same Redis.
Each queue has servers of its own, durable as an installation's are. One prompt is enqueued by the product's own COPY,
and `generate_series` makes the others of it, column by column, into the same table with its indexes and triggers.
After each admission the lane gets 64 places more; the first two are thrown away. One lane, no rate limit.
Command: `python -m benchmarks.bench_admission [ROWS] [PUBLISHED]`; appends to results/admission.jsonl.
"""

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import celery
import psycopg
from pydantic import SecretStr

from benchmarks.bench_enqueue import order
from benchmarks.bench_whole_path import ROOT, circumstances, cpu_s, servers_in
from pipeline.attempts.admit import admit
from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare
from pipeline.resources import Resources
from runtime.embedded.stack import Servers
from runtime.resources import open_producer
from runtime.settings import Settings

RESULTS: Final = ROOT / "benchmarks" / "results" / "admission.jsonl"
PLACES: Final = 64
ROUNDS: Final = 13
_THROWN_AWAY: Final = 2
_SIZES: Final = """
    SELECT json_build_object('table_mb', round(pg_relation_size('generations') / 1048576.0, 1),
        'indexes_mb', (SELECT json_object_agg(indexrelid::regclass, round(pg_relation_size(indexrelid) / 1048576.0, 1))
                       FROM pg_index WHERE indrelid = 'generations'::regclass))
"""


def numbered_id(kind: int) -> str:
    """SQL for an id that grows with n, as those of the product do."""
    return f"CAST('01900000-0000-7000-800{kind}-' || lpad(to_hex(n), 12, '0') AS uuid)"


def copies(sql: Callable[[str], Any], table: str, rows: int, own: Mapping[str, str]) -> str:
    """The statement that makes `rows` more of the one row in `table`; `own` has what differs, as SQL over n."""
    columns = f"column_name FROM information_schema.columns WHERE table_name = '{table}' AND is_generated = 'NEVER'"
    names = sql(f"SELECT string_agg(column_name, ',') FROM (SELECT {columns}) AS c")
    values = ", ".join(own.get(name, name) for name in names.split(","))
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}, generate_series(1, {rows}) AS n"


class Rows:
    """Statements by hand."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers

    def sql(self, statement: str) -> Any:
        """Run it; the first value of its first row, where there is one."""
        with psycopg.connect(self.servers.libpq_url, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            row = found.fetchone() if found.description else None
            return row[0] if row else None


class Queue(Rows):
    """An installation of which nothing runs but a producer, with a closed lane and rows that wait for it."""

    def __init__(self, servers: Servers, resources: Resources) -> None:
        super().__init__(servers)
        self.resources = resources
        self.sql("UPDATE lanes SET rate_limit = NULL, closed_until = now() + interval '1 day', reason = 'not yet'")
        commit(resources, prepare(resources, order("waiting", 1)))

    def fill(self, rows: int) -> None:
        """Make `rows` waiting generations of the one that is there."""
        own = {"position": "n", "identity": "sha256(CAST(n AS text)::bytea)", "prompt": "prompt || ' ' || n"}
        self.sql(copies(self.sql, "generations", rows - 1, {"id": numbered_id(0), **own}))
        self.sql("VACUUM ANALYZE generations")  # as autovacuum does after so many rows

    def give(self, places: int) -> None:
        self.sql(
            f"UPDATE lanes SET closed_until = NULL, reason = NULL, concurrency = {places} + (SELECT count(*)"
            " FROM attempts WHERE state = 'admitted')"
        )

    def cpu(self) -> tuple[float, float, float]:
        return time.process_time(), cpu_s(self.servers.postgres_pid), cpu_s(self.servers.redis_pid)


@contextlib.contextmanager
def queue_in(folder: Path) -> Iterator[Queue]:
    with servers_in(folder) as servers:
        settings = Settings(
            home=folder,
            database_url=SecretStr(servers.libpq_url),
            redis_url=SecretStr(servers.redis_url),
            sandbox_base_url="http://127.0.0.1:9",
            ttapi_illegal_limit=1_000_000,  # the stand-in counts strikes as TTAPI does, and would be given 29 places
        )
        with open_producer(settings, application="bench admission") as resources:
            yield Queue(servers, resources)


def latency(queue: Queue, rows: int) -> dict[str, Any]:
    """How long it takes to admit and publish 64 of `rows`."""
    began = time.perf_counter()
    queue.fill(rows)
    found: dict[str, Any] = {"waiting": rows, "filled_in_s": round(time.perf_counter() - began, 1)}
    found |= queue.sql(_SIZES)
    took: list[float] = []
    before = queue.cpu()
    for number in range(ROUNDS):
        queue.give(PLACES)
        if number == _THROWN_AWAY:
            before = queue.cpu()
        began = time.perf_counter()
        admitted = admit(queue.resources, "sandbox")
        took.append(1000 * (time.perf_counter() - began))
        assert admitted == PLACES
    ours, postgres, _ = (1000 * (now - then) for now, then in zip(queue.cpu(), before, strict=True))
    kept, rounds = took[_THROWN_AWAY:], ROUNDS - _THROWN_AWAY
    return {
        **found,
        "ms_p50": round(statistics.median(kept), 1),
        "ms_fastest": round(min(kept), 1),
        "ms_slowest": round(max(kept), 1),
        "cpu_ms": {"producer": round(ours / rounds, 1), "postgres": round(postgres / rounds, 1)},
    }


def published(queue: Queue, count: int) -> dict[str, Any]:
    """CPU of admitting and publishing `count`, 64 places at a time and all at once, and of as many `delay()`."""
    found: dict[str, Any] = {"published": count}
    for name, places in (("by_64", PLACES), ("at_once", count)):
        before, done = queue.cpu(), 0
        while done < count:
            queue.give(min(places, count - done))
            done += admit(queue.resources, "sandbox")
        found[name] = _each(before, queue.cpu(), count)
    app: celery.Celery = celery.Celery("bench", broker=queue.servers.redis_url, set_as_current=False)
    # Flower hears of every task that we publish, so it does of these.
    app.conf.update(task_ignore_result=True, task_send_sent_event=True)

    @app.task(name="bench.generate", shared=False)
    def generate(prompt: str) -> None:
        """Never run: only publishing is measured."""

    generate.delay("the first one opens the connection")
    before = queue.cpu()
    for number in range(count):
        generate.delay(f"Lulu Pig number {number}")
    found["delay"] = _each(before, queue.cpu(), count)
    app.close()
    for kind in ("producer", "all"):
        found[f"times_delay_{kind}"] = round(found["delay"][kind] / found["at_once"][kind], 1)
    return found


def _each(before: tuple[float, ...], after: tuple[float, ...], count: int) -> dict[str, float]:
    """Microseconds of CPU for each."""
    spent = [1e6 * (now - then) / count for now, then in zip(after, before, strict=True)]
    names = ("producer", "postgres", "redis")
    return {**{name: round(one, 1) for name, one in zip(names, spent, strict=True)}, "all": round(sum(spent), 1)}


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3_000
    with tempfile.TemporaryDirectory(prefix="bench-admission-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)
        with queue_in(folder / "short") as queue:
            short = latency(queue, 1_000)
        with queue_in(folder / "long") as queue:
            long = latency(queue, rows)
            publishing = published(queue, count)
    record = {
        **circumstances(),
        "load_after": os.getloadavg()[0],
        "places": PLACES,
        "queues": [short, long],
        "long_over_short": round(long["ms_p50"] / short["ms_p50"], 2),
        "publishing_us_of_cpu": publishing,
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
