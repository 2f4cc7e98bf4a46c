"""Do more io workers carry more, and do io and gpu leave each other alone?

Hypothesis: against a provider that needs 300 ms for each answer and limits nothing, four io workers carry at least
three times what one does, until the cores are the limit; the gpu worker checks as fast whether one io worker stands
beside it or four; and io carries as much whether a gpu worker checks beside it or none. Control in the same run: one io
worker. Workers have two threads each, so that the wait, and not the processor, holds one back. Pictures are stored
while no gpu worker runs; then one starts and checks what waits. The share of busy cores says whether they are the
limit; what other programs of the machine take is in it too, so a busy machine shows less.
Command: `python -m benchmarks.bench_scale_out [--count N]`, under three minutes; appends to results/scale_out.jsonl.
"""

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.bench_whole_path import (
    ROOT,
    Installation,
    circumstances,
    cpu_s,
    running,
    scalar,
    servers_in,
    stand_in,
)
from runtime.embedded.stack import Servers
from runtime.signs_of_life import ages_s

RESULTS: Final = ROOT / "benchmarks" / "results" / "scale_out.jsonl"
LATENCY_S: Final = 0.3
_STORED: Final = "SELECT count(*) FROM attempts WHERE state IN ('validating', 'finished')"
_CHECKED: Final = "SELECT count(*) FROM attempts WHERE state = 'finished'"


class Machine:
    """What the cores have done since the beginning of time."""

    def __init__(self) -> None:
        first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
        user, nice, system, idle, waiting, *rest = (int(one) for one in first.split()[1:])
        self.busy = user + nice + system + sum(rest[:3])
        self.all = self.busy + idle + waiting

    def busy_since(self, before: "Machine") -> float:
        return round((self.busy - before.busy) / max(1, self.all - before.all), 2)


def timed(do: Callable[[], None], *, done: Callable[[], int], wanted: int, pids: list[int]) -> dict[str, float]:
    """What it took to carry out `wanted`, from `do` on."""
    machine, cpu, began = Machine(), sum(map(cpu_s, pids)), time.monotonic()
    do()
    limit = began + 600
    while done() < wanted:
        if time.monotonic() > limit:
            raise TimeoutError(f"{done()} of {wanted} are done")
        time.sleep(0.1)
    took_s = time.monotonic() - began
    return {
        "per_s": round(wanted / took_s, 2),
        "cpu_ms_each": round(1000 * (sum(map(cpu_s, pids)) - cpu) / wanted, 1),
        "cores_busy": Machine().busy_since(machine),
    }


@contextlib.contextmanager
def workers(kinds: dict[str, tuple[str, int]], *, env: dict[str, str], folder: Path) -> Iterator[dict[str, int]]:
    commands = {
        f"{kind}{number}": [sys.executable, "-m", module]
        for kind, (module, how_many) in kinds.items()
        for number in range(how_many)
    }
    with running(commands, env=env, cwd=folder, log=folder / "workers.log") as pids:
        _until_all_listen(folder, kinds)
        yield pids


def _until_all_listen(folder: Path, kinds: dict[str, tuple[str, int]]) -> None:
    """A worker gives a sign of life when it takes tasks."""
    limit = time.monotonic() + 120
    while any(len(list(ages_s(folder, kind))) < how_many for kind, (_, how_many) in kinds.items()):
        if time.monotonic() > limit:
            raise TimeoutError(f"not all of {kinds} listen")
        time.sleep(0.1)


def arm(url: str, folder: Path, *, io: int, count: int, beside: bool) -> dict[str, Any]:
    """So many io workers; a gpu worker beside them, or after them."""
    with servers_in(folder) as servers:
        more = {"LIKENESS_IO_THREADS": "2", "REPLICATE_CONCURRENCY": "256", "LIKENESS_POLL_INTERVAL_S": "0.5"}
        installation = Installation(tree=ROOT, folder=folder, servers=servers, stand_in=url, settings=more)
        env = installation.env
        producers = {"beat": ("worker.beat", 1), "io": ("worker.main", io)}
        gpu = {"gpu": ("worker.gpu", 1)}
        with workers({**producers, **(gpu if beside else {})}, env=env, folder=folder) as pids:
            installation.add_character()
            done = _counter(servers, _STORED)
            ours = [pid for name, pid in pids.items() if name.startswith("io")]
            found = {"io": timed(lambda: installation.enqueue("batch", count), done=done, wanted=count, pids=ours)}
            if beside:
                return found
            with running(_commands_of(gpu), env=env, cwd=folder, log=folder / "workers.log") as checkers:
                first, checked = count // 10, _counter(servers, _CHECKED)
                timed(lambda: None, done=checked, wanted=first, pids=[])  # the model is loaded
                rest = timed(lambda: None, done=checked, wanted=count, pids=list(checkers.values()))
            # It began with the first tenth done.
            return {**found, "gpu": {**rest, "per_s": round(rest["per_s"] * (count - first) / count, 2)}}


def _commands_of(kinds: dict[str, tuple[str, int]]) -> dict[str, list[str]]:
    return {kind: [sys.executable, "-m", module] for kind, (module, _) in kinds.items()}


def _counter(servers: Servers, statement: str) -> Callable[[], int]:
    return lambda: scalar(servers, statement)


def main() -> None:
    parser = argparse.ArgumentParser(description="Throughput of one io worker and of four.")
    parser.add_argument("--count", type=int, default=80)
    asked = parser.parse_args()
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    with tempfile.TemporaryDirectory() as scratch, stand_in(LATENCY_S) as url:
        folder = Path(scratch)
        folder.chmod(0o711)
        arms = {}
        for name, io, beside in (("1 io", 1, False), ("4 io", 4, False), ("1 io, gpu beside", 1, True)):
            arms[name] = arm(url, folder / name.replace(" ", "-"), io=io, count=asked.count, beside=beside)
            print(name, json.dumps(arms[name]), flush=True)
    one, four, beside = arms["1 io"], arms["4 io"], arms["1 io, gpu beside"]
    record = {
        **circumstances(),
        "load_after": os.getloadavg()[0],
        "count": asked.count,
        "latency_s": LATENCY_S,
        "arms": arms,
        "io_4_over_1": round(four["io"]["per_s"] / one["io"]["per_s"], 2),
        "gpu_with_4_io_over_1": round(four["gpu"]["per_s"] / one["gpu"]["per_s"], 2),
        "io_with_gpu_over_without": round(beside["io"]["per_s"] / one["io"]["per_s"], 2),
        "cores_are_the_limit": four["io"]["cores_busy"] > 0.9,
    }
    print(json.dumps(record, indent=1))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
