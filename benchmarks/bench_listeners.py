"""What do 1,000 listeners to events and 200 reads a second beside a running batch cost, and is any event lost?

Hypothesis: no listener misses an event, p99 of `GET /api/generate/{id}` stays below 100 ms, and the batch, which has
the pace of its account as batches have, slows down by less than 15 %.
Control: the same batch before and after, over the same processes, with nobody listening. The API, the workers and the
servers are real and share the machine with the clients (`benchmarks.listener_clients`, whose CPU time is told apart)
and with the stand-in for the provider, which answers at once and is asked at most `--pace` times a second. A listener
hangs up every half second and comes back with `Last-Event-ID`. Delays are from an event's commit to its arrival.
Command: `python -m benchmarks.bench_listeners [--listeners N] [--reads N] [--count N] [--pace N] [--try]`; appends to
results/listeners.jsonl, with `--try` nothing.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from benchmarks.bench_whole_path import ROOT, Installation, circumstances, cpu_s, servers_in, stand_in
from benchmarks.listener_clients import TOKEN

RESULTS = ROOT / "benchmarks" / "results" / "listeners.jsonl"
_LONGEST_S = 300.0
_OF_BATCH = "FROM generations g JOIN batches b ON b.id = g.batch_id AND b.name = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """A process of clients, told by a line to come to its end."""

    process: subprocess.Popen[str]

    def ready(self) -> None:
        assert self.process.stdout is not None
        if (line := self.process.stdout.readline()) != "ready\n":
            raise RuntimeError(f"the clients did not start: {line!r}")

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def saw(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The product at work, and where its API listens."""

    installation: Installation
    pids: Mapping[str, int]
    port: int
    token: str

    @contextlib.contextmanager
    def clients(self, *argv: str) -> Iterator[Clients]:
        command = [sys.executable, "-m", "benchmarks.listener_clients", str(self.port), *argv]
        env = {**os.environ, TOKEN: self.token}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield Clients(process=process)
        finally:
            process.kill()
            process.wait()

    def ask(self, statement: str, *values: object) -> Any:
        """The first column of the only row."""
        with psycopg.connect(self.installation.servers.libpq_url, autocommit=True) as connection:
            row = connection.execute(statement.encode(), values).fetchone()
        assert row is not None
        return row[0]

    def run_batch(self, name: str, count: int, *, beside: Mapping[str, int]) -> dict[str, Any]:
        """Enqueue a batch and see it to its end: how fast it was, and who used how much of the machine meanwhile."""
        servers = self.installation.servers
        pids = {**self.pids, "postgres": servers.postgres_pid, "redis": servers.redis_pid, **beside}
        before, began = {who: cpu_s(pid) for who, pid in pids.items()}, time.monotonic()
        self.installation.enqueue(name, count)
        while (done := self.ask(f"SELECT count(g.completed_at) {_OF_BATCH}", name)) < count:
            if time.monotonic() - began > _LONGEST_S:
                raise TimeoutError(f"batch {name}: {done} of {count} are done")
            time.sleep(0.5)
        wall_s = time.monotonic() - began
        took_s = self.ask(f"SELECT extract(epoch FROM max(g.completed_at) - min(g.created_at)) {_OF_BATCH}", name)
        print(f"{name}: {count} in {wall_s:.0f} s", file=sys.stderr, flush=True)
        return {
            "generations_per_s": round(count / float(took_s), 3),
            "cores": {who: round((cpu_s(pid) - before[who]) / wall_s, 3) for who, pid in pids.items()},
        }

    def api_keeps(self) -> dict[str, int]:
        """What the API process has taken of what may run out."""
        status = Path(f"/proc/{self.pids['api']}/status").read_text()
        mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        return {
            "threads": int(status.partition("Threads:")[2].split()[0]),
            "resident_mb": int(status.partition("VmRSS:")[2].split()[0]) // 1024,
            "connections_to_postgres": self.ask(mine, "likeness api"),
        }


def under_load(site: Site, asked: argparse.Namespace) -> dict[str, Any]:
    """The batch with everybody listening and reading."""
    with site.clients(f"--listeners={asked.listeners}") as listeners, site.clients(f"--reads={asked.reads}") as readers:
        listeners.ready()
        readers.tell(site.ask(f"SELECT string_agg(g.id::text, ' ') {_OF_BATCH}", "before"))
        readers.ready()
        beside = {"listeners": listeners.process.pid, "readers": readers.process.pid}
        figures = site.run_batch("beside", asked.count, beside=beside)
        readers.tell("enough")
        reads = readers.saw()
        deadline = time.monotonic() + 20
        while site.ask("SELECT count(*) FROM event_outbox") and time.monotonic() < deadline:
            time.sleep(0.1)
        listeners.tell(str(site.ask("SELECT max(last) FROM event_counters")))
        return {**figures, "reads": reads, "events": listeners.saw(), "api": site.api_keeps()}


@contextlib.contextmanager
def site_in(folder: Path, stand_in_url: str, *, pace: float) -> Iterator[Site]:
    with servers_in(folder) as servers:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        settings = {"LIKENESS_API_PORT": str(port)} | ({"REPLICATE_RATE_LIMIT": f"{pace:g}/s"} if pace else {})
        installation = Installation(tree=ROOT, folder=folder, servers=servers, stand_in=stand_in_url, settings=settings)
        with installation.running("io", "gpu", "beat", "api") as pids:
            installation.add_character()
            made = json.loads(installation.command("keys", "create", "bench", "--scope", "admin", "--json"))
            _until_healthy(port)
            yield Site(installation=installation, pids=pids, port=port, token=made["key"])


def _until_healthy(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx2.HTTPError):
            if httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False, timeout=5).status_code == 200:
                return
        if time.monotonic() > deadline:
            raise TimeoutError("the API does not answer")
        time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Listeners and readers beside a running batch.")
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--reads", type=float, default=200.0, help="a second")
    parser.add_argument("--count", type=int, default=120, help="generations of each of the three batches")
    parser.add_argument("--pace", type=float, default=4.0, help="calls to the provider a second; 0: no limit")
    parser.add_argument("--try", dest="only_try", action="store_true", help="record nothing")
    asked = parser.parse_args()
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    with tempfile.TemporaryDirectory() as scratch, stand_in() as url:
        Path(scratch).chmod(0o711)
        with site_in(Path(scratch) / "home", url, pace=asked.pace) as site:
            site.run_batch("warm", 20, beside={})
            before = site.run_batch("before", asked.count, beside={})
            beside = under_load(site, asked)
            after = site.run_batch("after", asked.count, beside={})
    control = (before["generations_per_s"] + after["generations_per_s"]) / 2
    record = {
        **circumstances(),
        "command": f"python -m benchmarks.bench_listeners {' '.join(sys.argv[1:])}".strip(),
        "count": asked.count,
        "pace_per_s": asked.pace or None,
        "alone": {"before": before, "after": after},
        "beside": beside,
        "slower_by_percent": round(100 * (1 - beside["generations_per_s"] / control), 1),
    }
    print(json.dumps(record, indent=1))
    if not asked.only_try:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
