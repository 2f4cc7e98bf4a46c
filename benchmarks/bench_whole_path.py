"""What does a generation cost on the whole path with every promise on, and what would a plain Celery app cost?

Hypothesis: moves in groups and rows read once bring a generation to at most 12 statements, 5 commits and 3 messages,
and to half of the CPU time that it took before. Control in the same run: an honest plain Celery app
(`benchmarks.whole_path_plain_app`) with the same stand-in provider, pictures, model, servers and machine; and, with
`--also COMMIT`, an earlier build of the product.
A side is enqueued whole and runs to its end; CPU seconds are read from /proc per kind of process, over the same time.
A second, shorter batch counts statements, commits and messages (`benchmarks.whole_path_counters`). Wall time means
little on a machine that others use.
Command: `python -m benchmarks.bench_whole_path [--count N] [--also COMMIT]`; appends to results/whole_path.jsonl.
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.whole_path_counters import NOT_COUNTED, Counters
from runtime.embedded.stack import Servers, shared, wait_for_end

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "whole_path.jsonl"
REFERENCE = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
CLIP = ROOT / "sandbox" / "clip"
MODEL = "black-forest-labs/flux-2-pro"
ROLES = {
    "io": "worker.main",
    "gpu": "worker.gpu",
    "beat": "worker.beat",
    "flower": "worker.flower",
    "api": "api.main",
}
#: Whether the code is that of the commit; lines that other benchmarks have just appended are no code.
_STATUS = ("status", "--porcelain", "--", ".", ":!benchmarks/results")
_TICK = os.sysconf("SC_CLK_TCK")
_IDLE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One contestant: its processes, and how to give it work and see it done."""

    name: str
    processes: Mapping[str, int]
    enqueue: Callable[[int], None]
    finished: Callable[[], int]


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its children, the dead ones included."""
    seconds = 0.0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seconds = sum(int(one) for one in fields[11:15]) / _TICK
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                seconds += cpu_s(int(child))
    return seconds


def measured(side: Side, servers: Servers, count: int) -> dict[str, Any]:
    """The figures of one side."""
    pids = {**side.processes, "postgres": servers.postgres_pid, "redis": servers.redis_pid}
    counters = Counters(servers)

    def cpu() -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in pids.items()}

    def until(wanted: int) -> None:
        limit = time.monotonic() + 600
        while side.finished() < wanted:
            if time.monotonic() > limit:
                raise TimeoutError(f"{side.name}: {side.finished()} of {wanted} are done")
            time.sleep(0.3)

    side.enqueue(20)  # warm: connections, statements, the model
    until(20)
    before, began = cpu(), time.monotonic()
    time.sleep(_IDLE_S)
    idle = {name: round((after - before[name]) / (time.monotonic() - began), 4) for name, after in cpu().items()}
    kept = counters.kept_bytes()
    before, began = cpu(), time.monotonic()
    side.enqueue(count)
    until(20 + count)
    took_s = time.monotonic() - began
    each = {name: round(1000 * (after - before[name]) / count, 2) for name, after in cpu().items()}
    grown = counters.kept_bytes() - kept
    with counters.counting() as logs:
        counted = counters.read(*logs)
        time.sleep(_IDLE_S)
        read = counters.read(*logs)
        resting, counted = _less(read, counted), read
        began = time.monotonic()
        side.enqueue(count // 2)
        until(20 + count + count // 2)
        counted_s, work = time.monotonic() - began, _less(counters.read(*logs), counted)
    return {
        "generations_per_s": round(count / took_s, 2),
        "cpu_ms_per_generation": {**each, "all": round(sum(each.values()), 2)},
        "kept_kb_per_generation": round(grown / count / 1024, 2),
        "idle_cpu_share": {**idle, "all": round(sum(idle.values()), 4)},
        "per_generation": {name: round(value / (count // 2), 2) for name, value in work.items()},
        "per_idle_second": {name: round(value / _IDLE_S, 2) for name, value in resting.items()},
        "counted_over_s": round(counted_s, 1),
    }


def _less(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return {name: value - before[name] for name, value in after.items()}


@contextlib.contextmanager
def running(
    commands: Mapping[str, list[str]], *, env: Mapping[str, str], cwd: Path, log: Path
) -> Iterator[dict[str, int]]:
    """Processes by kind; each has a session of its own and is ended with it."""
    with log.open("ab") as out:
        children = {
            name: subprocess.Popen(argv, env=dict(env), cwd=cwd, stdout=out, stderr=out, start_new_session=True)
            for name, argv in commands.items()
        }
    try:
        yield {name: child.pid for name, child in children.items()}
    finally:
        for child in children.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for child in children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


@contextlib.contextmanager
def servers_in(folder: Path) -> Iterator[Servers]:
    folder.mkdir(mode=0o711)
    with shared(folder, durable=True, linger_s=0.0) as servers:
        yield servers
    wait_for_end(folder)


def scalar(servers: Servers, statement: str) -> int:
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        row = connection.execute(f"{NOT_COUNTED}{statement}".encode()).fetchone()
        return int(row[0]) if row else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A build of the product in a folder, over servers of its own and one account at the stand-in."""

    tree: Path
    folder: Path
    servers: Servers
    stand_in: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(self.tree),
            "LIKENESS_HOME": str(self.folder),
            "DATABASE_URL": self.servers.libpq_url,
            "REDIS_URL": self.servers.redis_url,
            "SANDBOX_BASE_URL": self.stand_in,
            "REPLICATE_BASE_URL": f"{self.stand_in}/replicate",
            "REPLICATE_API_TOKEN": "r8-bench",
            "REPLICATE_RATE_LIMIT": "0",
            "REPLICATE_CONCURRENCY": "64",
            "CLIP_MODEL": str(CLIP),
            "LIKENESS_DEVICE": "cpu",
            "FLOWER_PORT": "0",
            **self.settings,
        }

    def command(self, *argv: str) -> str:
        """Run a command of the product; returns what it prints."""
        command = [sys.executable, "-m", "cli.main", *argv]
        return subprocess.run(
            command, env=self.env, cwd=self.folder, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def running(self, *roles: str) -> contextlib.AbstractContextManager[dict[str, int]]:
        commands = {name: [sys.executable, "-m", ROLES[name]] for name in roles}
        return running(commands, env=self.env, cwd=self.folder, log=self.folder / "workers.log")

    def add_character(self) -> None:
        self.command("character", "add", "lulu", str(REFERENCE), "--core", "0.5", "--style", "-1")

    def enqueue(self, name: str, wanted: int) -> None:
        """A batch of that name with `wanted` prompts that no other batch has."""
        prompts = self.folder / f"{name}.jsonl"
        rows = [{"prompt": f"a small pig in field {name} {row}", "references": False} for row in range(wanted)]
        prompts.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        options = ("--provider", "replicate", "--model", MODEL, "--character", "lulu", "--max-image-cost", "1")
        self.command("enqueue", str(prompts), *options)


def product(tree: Path, folder: Path, stand_in: str, count: int) -> dict[str, Any]:
    """The build in `tree`: io, gpu, beat and Flower as `likeness up` runs them."""
    with servers_in(folder) as servers:
        installation = Installation(tree=tree, folder=folder, servers=servers, stand_in=stand_in)
        batches = itertools.count()
        with installation.running("io", "gpu", "beat", "flower") as pids:
            installation.add_character()
            final = "SELECT count(*) FROM generations WHERE completed_at IS NOT NULL"
            side = Side(
                name=str(tree),
                processes=pids,
                enqueue=lambda wanted: installation.enqueue(str(next(batches)), wanted),
                finished=lambda: scalar(servers, final),
            )
            figures = measured(side, servers, count)
            lost = scalar(servers, "SELECT count(*) FROM generations WHERE state NOT IN ('completed', 'rejected')")
            return {**figures, "neither_completed_nor_rejected": lost}


def plain_installation(servers: Servers, folder: Path, stand_in: str) -> dict[str, str]:
    """Make the plain application's table and its folder for pictures; returns the environment of its processes."""
    from benchmarks.whole_path_plain_app import TABLE

    (folder / "pictures").mkdir()
    with psycopg.connect(servers.libpq_url) as connection:
        connection.execute(TABLE)
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": servers.libpq_url,
        "REDIS_URL": servers.redis_url,
        "PLAIN_PROVIDER_URL": f"{stand_in}/replicate",
        "PLAIN_PICTURES": str(folder / "pictures"),
        "PLAIN_REFERENCE": str(REFERENCE),
        "CLIP_MODEL": str(CLIP),
    }


def plain(folder: Path, stand_in: str, count: int) -> dict[str, Any]:
    """The control."""
    with servers_in(folder) as servers:
        env = plain_installation(servers, folder, stand_in)
        module = [sys.executable, "-m", "benchmarks.whole_path_plain_app"]

        def enqueue(wanted: int) -> None:
            subprocess.Popen([*module, "enqueue", str(wanted)], env=env, cwd=folder)

        roles = {name: [*module, name] for name in ("io", "gpu", "flower")}
        with running(roles, env=env, cwd=folder, log=folder / "workers.log") as pids:
            done = "SELECT count(*) FROM plain_generations WHERE state = 'completed'"
            side = Side(name="plain", processes=pids, enqueue=enqueue, finished=lambda: scalar(servers, done))
            return measured(side, servers, count)


@contextlib.contextmanager
def stand_in(latency_s: float = 0.0) -> Iterator[str]:
    """The address of a provider that needs so long for each answer, and for nothing else."""
    command = [sys.executable, "-m", "benchmarks.whole_path_stand_in", str(latency_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def build_of(commit: str, folder: Path) -> Path:
    """The files of an earlier commit, beside the present ones."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    return folder


def git(*argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def circumstances() -> dict[str, Any]:
    """When, of which commit and on what something is measured."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git("rev-parse", "--short", "HEAD") + ("-dirty" if git(*_STATUS) else ""),
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of a generation on the whole path.")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--also", metavar="COMMIT", help="an earlier build to run beside this one")
    parser.add_argument("--only", choices=("plain", "product"), help="leave the others out; nothing is recorded")
    asked = parser.parse_args()
    # Told to stop, it still ends what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as stack:
        folder = Path(scratch)
        folder.chmod(0o711)
        url = stack.enter_context(stand_in())
        sides: dict[str, Any] = {}
        if asked.only != "product":
            sides["plain"] = plain(folder / "plain", url, asked.count)
            print(json.dumps(sides), flush=True)
        if asked.also:
            named = f"product at {git('rev-parse', '--short', asked.also)}"
            sides[named] = product(build_of(asked.also, folder / "earlier"), folder / "before", url, asked.count)
            print(json.dumps(sides), flush=True)
        if asked.only != "plain":
            sides["product"] = product(ROOT, folder / "now", url, asked.count)
    record = {**circumstances(), "count": asked.count, "sides": sides}
    print(json.dumps(record, indent=1))
    if asked.only is None:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
