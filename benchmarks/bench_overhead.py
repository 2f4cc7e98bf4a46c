"""What do metrics, logs and traces cost of a generation's CPU time?

Hypothesis: metrics and logs together cost less than 5 % of the CPU time that a generation takes in all its processes,
and so do traces on top of them. Control in the same run: the same workers with logging disabled and nothing measured.
The three sides take turns, round after round, and the first round is thrown away; each side is the whole product with
fresh servers (`bench_whole_path`). Workers are scraped every second, fifteen times as often as in `deploy/prometheus`;
what the receiver of traces costs is nobody's figure.
Command: `python -m benchmarks.bench_overhead [--count N] [--rounds N]`; appends to results/overhead.jsonl.
"""

import argparse
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.bench_whole_path import (
    ROLES,
    ROOT,
    Installation,
    circumstances,
    cpu_s,
    running,
    scalar,
    servers_in,
    stand_in,
)
from runtime.embedded.ports import choose

RESULTS: Final = ROOT / "benchmarks" / "results" / "overhead.jsonl"
_PORTS: Final = 4
_FINAL: Final = "SELECT count(*) FROM generations WHERE completed_at IS NOT NULL"
#: A worker whose loggers are all asked and say nothing.
_SILENT: Final = "import logging, runpy; logging.disable(); runpy.run_module('{module}', run_name='__main__')"


@contextlib.contextmanager
def scraping(first_port: int) -> Iterator[None]:
    """Every worker is asked for its metrics each second, as Prometheus would."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(1.0):
            for port in range(first_port, first_port + _PORTS):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def cost(folder: Path, url: str, *, count: int, logs: bool, more: Mapping[str, str]) -> dict[str, float]:
    """Milliseconds of CPU per generation by kind of process."""
    with servers_in(folder) as servers:
        installation = Installation(tree=ROOT, folder=folder, servers=servers, stand_in=url, settings=more)
        roles = {
            name: [sys.executable, *(("-m", module) if logs else ("-c", _SILENT.format(module=module)))]
            for name, module in ROLES.items()
        }
        with running(roles, env=installation.env, cwd=folder, log=folder / "workers.log") as pids:
            installation.add_character()
            watched = {**pids, "postgres": servers.postgres_pid, "redis": servers.redis_pid}

            def carry_out(wanted: int, *, until: int) -> None:
                installation.enqueue(str(until), wanted)
                limit = time.monotonic() + 600
                while scalar(servers, _FINAL) < until:
                    if time.monotonic() > limit:
                        raise TimeoutError(f"{scalar(servers, _FINAL)} of {until} are done")
                    time.sleep(0.3)

            carry_out(20, until=20)  # warm: connections, statements, the model
            before = {name: cpu_s(pid) for name, pid in watched.items()}
            carry_out(count, until=20 + count)
            return {name: 1000 * (cpu_s(pid) - before[name]) / count for name, pid in watched.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of metrics, logs and traces per generation.")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3, help="the first is thrown away, unless it is the only one")
    asked = parser.parse_args()
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    port = choose()
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch, stand_in() as url, scraping(port):
        metrics = {"LIKENESS_WORKER_METRICS": f"127.0.0.1:{port}"}
        sides: dict[str, dict[str, Any]] = {
            "nothing": {"logs": False, "more": {}},
            "metrics and logs": {"logs": True, "more": metrics},
            "metrics, logs and traces": {"logs": True, "more": {**metrics, "LIKENESS_TRACES": url}},
        }
        Path(scratch).chmod(0o711)
        for round_ in range(asked.rounds):
            for number, (name, options) in enumerate(sides.items()):
                each = cost(Path(scratch) / f"{round_}-{number}", url, count=asked.count, **options)
                print(round_, name, round(sum(each.values()), 1), flush=True)
                if round_ or asked.rounds == 1:
                    found.setdefault(name, []).append(each)
    all_of = {name: statistics.median(sum(each.values()) for each in rounds) for name, rounds in found.items()}
    record = {
        **circumstances(),
        "count": asked.count,
        "rounds": asked.rounds,
        "cpu_ms_per_generation": {name: round(value, 2) for name, value in all_of.items()},
        "rounds_ms": {name: [round(sum(each.values()), 2) for each in rounds] for name, rounds in found.items()},
        "overhead": {
            name: round(value / all_of["nothing"] - 1, 4) for name, value in all_of.items() if name != "nothing"
        },
    }
    print(json.dumps(record, indent=1))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
