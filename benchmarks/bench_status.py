"""How soon does a person see something: the status of 200,000 generations, and the demo's first accepted picture?

Hypothesis: what `status` reads grows with the number of states and not with that of generations, as far as Postgres can
answer from an index, and stays under 0.3 s after the start of the command. Control in the same run: the same command
and the same reads over a batch of 28.
The generations are copies of one that was enqueued, spread over the states as a batch in the middle of its way; nothing
runs beside them. A read is what the command does once it is loaded: find the batch, count its states, list
overdue jobs and what people did. Seconds of the demo are counted from the start of the command, on an empty home.
Command: `python -m benchmarks.bench_status [GENERATIONS]`; appends to results/status.jsonl.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import likeness
from benchmarks.bench_admission import Queue, queue_in
from benchmarks.bench_whole_path import ROOT, circumstances
from pipeline.views import acts, status
from runtime.settings import Settings

RESULTS: Final = ROOT / "benchmarks" / "results" / "status.jsonl"
ROUNDS: Final = 11
#: Whose batches those of `bench_enqueue.order` are.
USER: Final = "bench"
#: Of a hundred generations, how many are where.
_STATES: Final = {"completed": 60, "rejected": 10}
_COMMAND: Final = [sys.executable, "-m", "cli.main"]


def spread(queue: Queue) -> None:
    """Give the copies states; the rest stays queued."""
    below = 0
    for state, share in _STATES.items():
        queue.sql(
            f"UPDATE generations SET state = '{state}', completed_at = now()"
            f" WHERE position % 100 >= {below} AND position % 100 < {below + share}"
        )
        below += share
    queue.sql("VACUUM ANALYZE generations")


def looked_at(queue: Queue) -> None:
    """What the command `status` reads of one batch, in a batch where something is under way."""
    found = status.find(queue.resources, "waiting", user_id=USER)
    status.overdue_jobs(queue.resources, found.batch.id)
    acts.of_batch(queue.resources, found.batch.id)


def command(queue: Queue, folder: Path) -> dict[str, float]:
    """Seconds of the whole command, by the clock and of CPU."""
    settings = {"DATABASE_URL": queue.servers.libpq_url, "REDIS_URL": queue.servers.redis_url}
    env = {**os.environ, **settings, "PYTHONPATH": str(ROOT), "LIKENESS_HOME": str(folder), "LIKENESS_USER": USER}
    began, before = time.monotonic(), os.times()
    subprocess.run([*_COMMAND, "status", "waiting"], env=env, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"s": round(time.monotonic() - began, 2), "cpu_s": round(spent, 2)}


def reads(count: int, folder: Path) -> dict[str, Any]:
    """The reads and the command over one batch of `count`."""
    with queue_in(folder) as queue:
        queue.fill(count)
        spread(queue)
        looked_at(queue)
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            looked_at(queue)
            took.append(1000 * (time.perf_counter() - began))
        command(queue, folder)
        return {
            "generations": count,
            "read_ms": {"p50": round(statistics.median(took), 1), "slowest": round(max(took), 1)},
            "command": command(queue, folder),
        }


def demo(folder: Path) -> dict[str, float]:
    """Seconds from the start of `likeness demo` to its first accepted picture and to its end."""
    folder.mkdir(mode=0o711)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LIKENESS_HOME": str(folder)}
    began = datetime.now(UTC)
    subprocess.run([*_COMMAND, "demo"], env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    ended = datetime.now(UTC)
    with likeness.connect(Settings(LIKENESS_HOME=folder)) as connection:
        page = connection.generations(limit=100)
        first = min(one.completed_at for one in page.generations if one.state == "completed" and one.completed_at)
    return {
        "first_accepted_s": round((first - began).total_seconds(), 1),
        "ended_s": round((ended - began).total_seconds(), 1),
    }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)
        found = [reads(number, folder / str(number)) for number in (28, count)]
        line = {**circumstances(), "batches": found, "demo": demo(folder / "demo")}
    print(json.dumps(line, indent=1))
    with RESULTS.open("a", encoding="utf-8") as results:
        results.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
