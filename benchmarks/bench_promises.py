"""What do books and events take of the CPU, and how soon after a provider is done is its picture judged?

Hypotheses: the ledger and the events take less than a quarter of a generation's CPU; at half of the rate that the
machine carries, a verdict is stored 300 ms after the provider's end in the median, and 1.5 s after it in 99 %.
Control in the same run: the same build, servers and provider without them. They are switched off in this benchmark's
own database alone: triggers that write events are dropped, and one of ours drops each line of the ledger. Leases and
holds are columns of the statements that move a row anyway: they have no switch, and stay. Each side has two turns, and
who begins also ends.
Half load: the lane is given half of the rate measured before, and the rows say when the provider was done by our own
word (`made_at`), when the picture was stored and when judged. The model's time is in it.
Command: `python -m benchmarks.bench_promises [--count N]`, about three minutes; appends to results/promises.jsonl.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import psycopg

from benchmarks.bench_whole_path import ROOT, Installation, circumstances, cpu_s, scalar, servers_in, stand_in
from runtime.embedded.stack import Servers

RESULTS: Final = ROOT / "benchmarks" / "results" / "promises.jsonl"
ROLES: Final = ("io", "gpu", "beat")
WARM: Final = 20
_DONE: Final = "SELECT count(*) FROM generations WHERE completed_at IS NOT NULL"
_OFF: Final = """
    DROP TRIGGER generations_events ON generations;
    DROP TRIGGER batches_created ON batches;
    DROP TRIGGER batches_changed ON batches;
    CREATE FUNCTION forgotten() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER forgotten BEFORE INSERT ON ledger_entries FOR EACH ROW EXECUTE FUNCTION forgotten();
"""
_LATENCIES: Final = """
    WITH times AS (
        SELECT t.name, 1000 * extract(epoch FROM took) AS ms
        FROM attempts a JOIN batches b ON b.id = a.batch_id AND b.name = 'half',
             LATERAL (VALUES ('accepted to made', a.made_at - a.accepted_at),
                             ('made to stored', a.stored_at - a.made_at),
                             ('stored to judged', a.finished_at - a.stored_at),
                             ('made to judged', a.finished_at - a.made_at)) AS t(name, took)
    ), summed AS (
        SELECT name, json_build_object('p50', round(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric),
            'p99', round(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)::numeric), 'max', round(max(ms))) AS found
        FROM times GROUP BY name
    )
    SELECT json_object_agg(name, found) FROM summed
"""


class Side:
    """One installation at work."""

    def __init__(self, installation: Installation, servers: Servers, pids: dict[str, int]) -> None:
        self._installation, self._servers = installation, servers
        self._pids = {**pids, "postgres": servers.postgres_pid, "redis": servers.redis_pid}
        self._done = 0

    def carry(self, name: str, count: int) -> float:
        """Enqueue `count` and wait until all are judged; returns how many a second."""
        began = time.monotonic()
        self._installation.enqueue(name, count)
        self._done += count
        limit = began + 300
        while (done := scalar(self._servers, _DONE)) < self._done:
            if time.monotonic() > limit:
                raise TimeoutError(f"{done} of {self._done} are done")
            time.sleep(0.2)
        return count / (time.monotonic() - began)

    def measured(self, count: int) -> dict[str, Any]:
        before = {name: cpu_s(pid) for name, pid in self._pids.items()}
        rate = self.carry("full", count)
        each = {name: round(1000 * (cpu_s(pid) - before[name]) / count, 1) for name, pid in self._pids.items()}
        return {"generations_per_s": round(rate, 2), "cpu_ms": {**each, "all": round(sum(each.values()), 1)}}


def side(folder: Path, url: str, count: int, *, promises: bool) -> dict[str, Any]:
    with servers_in(folder) as servers:
        installation = Installation(tree=ROOT, folder=folder, servers=servers, stand_in=url)
        installation.add_character()
        if not promises:
            with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
                connection.execute(_OFF)
        with installation.running(*ROLES) as pids:
            at_work = Side(installation, servers, pids)
            at_work.carry("warm", WARM)
            found = at_work.measured(count)
            if promises:
                rate = max(0.5, round(found["generations_per_s"] / 2, 1))
                installation.command("lanes", "set", "replicate", "--rate", f"{rate}/s")
                found["half_load"] = {"rate_limit_per_s": rate, "per_s": round(at_work.carry("half", count), 2)}
                with psycopg.connect(servers.libpq_url) as connection:
                    found["half_load"]["ms"] = (connection.execute(_LATENCIES).fetchone() or [None])[0]
            return found


def main() -> None:
    parser = argparse.ArgumentParser(description="The price of the books and events, and the time to a verdict.")
    parser.add_argument("--count", type=int, default=100)
    asked = parser.parse_args()
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, stand_in() as url:
        folder = Path(scratch)
        folder.chmod(0o711)
        for number, promises in enumerate((True, False, False, True)):
            found = side(folder / str(number), url, asked.count, promises=promises)
            rounds.append({"promises": promises, **found})
            print(json.dumps(rounds[-1]), flush=True)
    cpu = {kept: sum(one["cpu_ms"]["all"] for one in rounds if one["promises"] is kept) / 2 for kept in (True, False)}
    record = {
        **circumstances(),
        "load_after": os.getloadavg()[0],
        "count": asked.count,
        "rounds": rounds,
        "share_of_cpu": round(1 - cpu[False] / cpu[True], 3),
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
