"""What do metrics, logs and traces cost of a generation's CPU time?

Hypothesis: metrics and logs together cost less than 5 % of the CPU time that a generation takes in all its processes,
and so do traces on top of them. Control in the same run: the same workers with logging disabled and nothing measured.
Each side is the whole product with servers of its own (`bench_whole_path`); all three stand beside each other and work
in turn, each as often the first as any other, so that a round says of all what it says of one at nearly the same
moment. Workers are scraped every second, fifteen times as often as in `deploy/prometheus`; what the receiver of traces
costs is nobody's figure.
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
#: Workers of every side start alike; those of the control have loggers that are all asked and say nothing.
_START: Final = "import logging, runpy; {first}; runpy.run_module('{module}', run_name='__main__')"


@contextlib.contextmanager
def scraping(first_port: int) -> Iterator[None]:
    """Every worker is asked for its metrics each second, as Prometheus would."""
    ended = threading.Event()

    def scrape() -> None:
        while not ended.wait(1.0):
            for port in range(first_port, first_port + 2 * _PORTS):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One installation at its post; it rests while another works.

    Args:
        carry_out: enqueues so many prompts and waits for their end.
        spent: milliseconds of CPU so far by kind of process.
    """

    carry_out: Callable[[int], None]
    spent: Callable[[], dict[str, float]]


@contextlib.contextmanager
def side(folder: Path, url: str, *, logs: bool, more: Mapping[str, str]) -> Iterator[Side]:
    """The whole product with servers of its own, warm."""
    with servers_in(folder) as servers:
        installation = Installation(tree=ROOT, folder=folder, servers=servers, stand_in=url, settings=more)
        first = "pass" if logs else "logging.disable()"
        roles = {
            name: [sys.executable, "-c", _START.format(first=first, module=module)] for name, module in ROLES.items()
        }
        with running(roles, env=installation.env, cwd=folder, log=folder / "workers.log") as pids:
            installation.add_character()
            watched = {**pids, "postgres": servers.postgres_pid, "redis": servers.redis_pid}
            done = 0

            def carry_out(wanted: int) -> None:
                nonlocal done
                done += wanted
                installation.enqueue(str(done), wanted)
                limit = time.monotonic() + 600
                while scalar(servers, _FINAL) < done:
                    if time.monotonic() > limit:
                        raise TimeoutError(f"{scalar(servers, _FINAL)} of {done} are done")
                    time.sleep(0.2)

            carry_out(20)  # warm: connections, statements, the model
            yield Side(
                carry_out=carry_out,
                spent=lambda: {name: 1000 * cpu_s(pid) for name, pid in watched.items()},
            )


def worked(at_work: Side, count: int) -> float:
    """Milliseconds of CPU per generation."""
    before = at_work.spent()
    at_work.carry_out(count)
    return sum(after - before[name] for name, after in at_work.spent().items()) / count


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of metrics, logs and traces per generation.")
    parser.add_argument("--count", type=int, default=40, help="generations of a side in a round")
    parser.add_argument("--rounds", type=int, default=12)
    asked = parser.parse_args()
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    port = choose()
    metrics = {"LIKENESS_WORKER_METRICS": f"127.0.0.1:{port}"}
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        Path(scratch).chmod(0o711)
        url = stack.enter_context(stand_in())
        stack.enter_context(scraping(port))
        wanted: dict[str, dict[str, Any]] = {
            "nothing": {"logs": False, "more": {}},
            "metrics and logs": {"logs": True, "more": metrics},
            "metrics, logs and traces": {
                "logs": True,
                "more": {"LIKENESS_WORKER_METRICS": f"127.0.0.1:{port + _PORTS}", "LIKENESS_TRACES": url},
            },
        }
        sides = {
            name: stack.enter_context(side(Path(scratch) / str(number), url, **options))
            for number, (name, options) in enumerate(wanted.items())
        }
        rounds: list[dict[str, float]] = []
        for number in range(asked.rounds):
            # Whoever begins a round may pay for the rest before it: each side begins as often as any other.
            names = list(sides)
            order = names[number % len(names) :] + names[: number % len(names)]
            rounds.append({name: round(worked(sides[name], asked.count), 2) for name in order})
            print(rounds[-1], flush=True)
    shares = {name: [each[name] / each["nothing"] - 1 for each in rounds] for name in sides if name != "nothing"}
    record = {
        **circumstances(),
        "count": asked.count,
        "rounds_ms": rounds,
        "cpu_ms_per_generation": {name: statistics.median(each[name] for each in rounds) for name in sides},
        "overhead": {
            name: {
                "median": round(statistics.median(values), 4),
                "quartiles": [round(one, 4) for one in statistics.quantiles(values, n=4)[::2]],
            }
            for name, values in shares.items()
        },
    }
    print(json.dumps(record, indent=1))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
