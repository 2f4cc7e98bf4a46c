"""Do twenty thousand jobs in flight wait for their look, and what does a worker need to keep them?

Hypothesis: the time of the next look is in the row, so an io worker needs no more memory for 20,000 jobs than for
none, under 250 MB, sends no message for a look, and each job is looked at within 5 s of its time (99 %).
Control in the same run: the plain app of `bench_whole_path`, which polls by `self.retry`: each job is a message that
its worker holds in memory until it is due.
Jobs of ten minutes of which one look comes due in ten minutes each: 33 looks a second, evenly spread; the run lasts a
twentieth of that, at the full rate. The provider answers at once that the job is still at work. A last part makes all
of them due at once and says how many looks a second one io worker carries, since a job that is late by its kind is
looked at every fifteen seconds. Jobs are copies of one that was enqueued and admitted (`bench_admission.copies`).
Command: `python -m benchmarks.bench_in_flight [--jobs N]`; appends to results/in_flight.jsonl.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import redis

from benchmarks.bench_admission import Rows, copies, numbered_id
from benchmarks.bench_scale_out import workers
from benchmarks.bench_whole_path import (
    ROOT,
    Installation,
    circumstances,
    cpu_s,
    plain_installation,
    running,
    servers_in,
    stand_in,
)
from benchmarks.whole_path_plain_app import app_of
from runtime.embedded.stack import Servers

RESULTS: Final = ROOT / "benchmarks" / "results" / "in_flight.jsonl"
JOB_S: Final = 600
RUN_S: Final = 30
_SETTLE_S: Final = 8
_BURST_S: Final = 15
_PUBLISHED_IN_S: Final = 25
_SPREAD: Final = f"make_interval(secs => {_SETTLE_S} + n * {JOB_S}.0 / {{jobs}})"
#: A look moves the next one to ten minutes later, so that the row says when it took place.
_LAGS: Final = f"""
    SELECT json_build_object('looks', count(*),
        'p50', round(percentile_cont(0.5) WITHIN GROUP (ORDER BY lag)::numeric, 2),
        'p99', round(percentile_cont(0.99) WITHIN GROUP (ORDER BY lag)::numeric, 2),
        'max', round(max(lag)::numeric, 2))
    FROM (SELECT extract(epoch FROM coalesce(nullif(a.due_at, d.due_at) - interval '{JOB_S} seconds', now()) - d.due_at)
              AS lag
          FROM attempts a JOIN due_before d USING (id) WHERE d.due_at < now() - interval '10 seconds') AS l
"""


def memory_mb(pid: int) -> dict[str, float]:
    """What a process and its children have of the memory now, and had at most."""
    found = {"now": 0.0, "most": 0.0}
    pids = [pid]
    while pids:
        one = pids.pop()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines())
        found["now"] += int(status["VmRSS"].split()[0]) / 1024
        found["most"] += int(status["VmHWM"].split()[0]) / 1024
        for thread in Path(f"/proc/{one}/task").iterdir():
            pids += map(int, (thread / "children").read_text().split())
    return {name: round(value, 1) for name, value in found.items()}


class Traffic:
    """What happens while a worker runs: CPU by process, messages to Redis."""

    def __init__(self, servers: Servers, worker: int) -> None:
        self._servers, self._worker = servers, worker
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        with redis.Redis.from_url(self._servers.redis_url) as client:
            calls = client.info("commandstats")
        return {
            "messages": float(calls.get("cmdstat_lpush", {}).get("calls", 0)),
            "io": cpu_s(self._worker),
            "postgres": cpu_s(self._servers.postgres_pid),
            "redis": cpu_s(self._servers.redis_pid),
        }

    def since(self) -> dict[str, float]:
        return {name: round(value - self._before[name], 2) for name, value in self._now().items()}


def until(holds: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + 120
    while not holds():
        if time.monotonic() > limit:
            raise TimeoutError(what)
        time.sleep(0.2)


def fill(rows: Rows, jobs: int) -> None:
    """So many jobs at the provider, none of which is due before the worker has settled."""
    generation = {
        "id": numbered_id(0),
        "position": "n",
        "identity": "sha256(CAST(n AS text)::bytea)",
        "state": "'generating'",
    }
    rows.sql(copies(rows.sql, "generations", jobs, generation))
    attempt = {
        "id": numbered_id(1),
        "generation_id": numbered_id(0),
        "token": "md5(CAST(n AS text))",
        "state": "'generating'",
        "job_id": "'slow' || n",
        "sent_prompt": "'a pig'",
        "intent_at": "now()",
        "accepted_at": "now()",
        "due_at": "now() + interval '1 hour'",
        "deadline_at": "now() + interval '1 hour'",
    }
    rows.sql(copies(rows.sql, "attempts", jobs, attempt))
    rows.sql(f"UPDATE lanes SET concurrency = {jobs + 1}")
    rows.sql("VACUUM ANALYZE generations, attempts")


def ours(folder: Path, url: str, jobs: int) -> dict[str, Any]:
    with servers_in(folder) as servers:
        settings = {"LIKENESS_POLL_INTERVAL_S": str(JOB_S)}
        installation = Installation(tree=ROOT, folder=folder, servers=servers, stand_in=url, settings=settings)
        rows = Rows(servers)
        installation.add_character()
        installation.enqueue("first", 1)
        found: dict[str, Any] = {}
        kinds = {"beat": ("worker.beat", 1), "io": ("worker.main", 1)}
        with workers(kinds, env=installation.env, folder=folder) as pids:
            found["memory_mb_without_jobs"] = memory_mb(pids["io0"])
            # The one that the copies are made of waits for the check, of which there is none here.
            until(lambda: bool(rows.sql("SELECT state = 'validating' FROM attempts")), "the first job")
            fill(rows, jobs)
            slow = "job_id LIKE 'slow%'"
            number = "CAST(substr(job_id, 5) AS int)"
            rows.sql(
                f"UPDATE attempts SET due_at = now() + {_SPREAD.format(jobs=jobs).replace('n *', number + ' *')}"
                f" WHERE {slow}"
            )
            rows.sql(f"CREATE TABLE due_before AS SELECT id, due_at FROM attempts WHERE {slow}")
            time.sleep(_SETTLE_S)
            traffic = Traffic(servers, pids["io0"])
            time.sleep(RUN_S)
            found["spent"] = traffic.since()
            found["lag_s"] = rows.sql(_LAGS)
            found["memory_mb"] = memory_mb(pids["io0"])
            rows.sql(f"UPDATE attempts SET due_at = now() WHERE {slow}")
            time.sleep(_BURST_S)
            looked = rows.sql(f"SELECT count(*) FROM attempts WHERE {slow} AND due_at > now()")
            found["looks_per_s_at_most"] = round(looked / _BURST_S, 1)
    return found


def plain(folder: Path, url: str, jobs: int) -> dict[str, Any]:
    """The control: the same jobs as tasks that wait for their time."""
    with servers_in(folder) as servers:
        env = {**plain_installation(servers, folder, url), "PLAIN_POLL_S": str(JOB_S)}
        command = [sys.executable, "-m", "benchmarks.whole_path_plain_app", "io"]
        with (
            running({"io": command}, env=env, cwd=folder, log=folder / "workers.log") as pids,
            app_of(servers.redis_url) as app,
        ):
            until(lambda: bool(app.control.ping(timeout=0.5)), "the plain app's worker")
            found: dict[str, Any] = {"memory_mb_without_jobs": memory_mb(pids["io"])}
            begins = datetime.now(UTC) + timedelta(seconds=_PUBLISHED_IN_S)
            with app.producer_or_acquire() as producer, producer.batch(max_size=jobs):
                for number in range(jobs):
                    due = begins + timedelta(seconds=number * JOB_S / jobs)
                    app.send_task("plain.poll", (str(number), f"slow{number}"), eta=due, producer=producer)
            until(lambda: datetime.now(UTC) > begins, "the first job's time")
            traffic = Traffic(servers, pids["io"])
            time.sleep(RUN_S)
            found["spent"] = traffic.since()
            found["memory_mb"] = memory_mb(pids["io"])
            with redis.Redis.from_url(servers.redis_url) as client:
                found["messages_held"] = client.hlen("unacked")
                found["messages_waiting"] = client.llen("plain.io")
                found["redis_mb"] = round(client.info("memory")["used_memory"] / 2**20, 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Twenty thousand jobs at a provider.")
    parser.add_argument("--jobs", type=int, default=20_000)
    asked = parser.parse_args()
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    with tempfile.TemporaryDirectory() as scratch, stand_in() as url:
        folder = Path(scratch)
        folder.chmod(0o711)
        sides: dict[str, Any] = {}
        for name, side in (("Likeness", ours), ("plain", plain)):
            sides[name] = side(folder / name, url, asked.jobs)
            print(name, json.dumps(sides[name]), flush=True)
    record = {
        **circumstances(),
        "load_after": os.getloadavg()[0],
        "jobs": asked.jobs,
        "looks_due_per_s": round(asked.jobs / JOB_S, 1),
        "seconds": RUN_S,
        "sides": sides,
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
