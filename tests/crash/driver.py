"""Run batches through the whole system while processes die and stand still, then compare the books with the bill.

    make crash SEED=7 MINUTES=30

Workers, Redis and PostgreSQL are killed (SIGKILL) or stopped for longer than a lease (SIGSTOP); submissions lose their
connection before and after acceptance. At the end every invariant of `tests.crash.invariants` must hold, and no sample
taken on the way may show a batch above its limit. The record is appended to `benchmarks/results/crash.jsonl`.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import text

from domain.errors import ServiceMissing
from pipeline import characters, status
from pipeline.characters import NewCharacter
from pipeline.enqueue import Order, enqueue, plan
from pipeline.prompt_file import read_prompts
from pipeline.resources import Resources
from providers.catalogue import load
from runtime.children import Children
from runtime.crew import role
from runtime.embedded.stack import revive, shared
from runtime.resources import open_resources
from runtime.settings import Settings
from sandbox.process import running
from tests.acceptance.commands import ROOT, bill, write_prompts
from tests.crash.invariants import breaches

_LEASE_S = 3.0
_STOP_S = 5.0
_ROLES = ("io", "io", "gpu", "beat")
_RESULTS = ROOT / "benchmarks" / "results" / "crash.jsonl"


@dataclasses.dataclass(slots=True)
class Record:
    """What a run did and found.

    Args:
        kills, stops: by kind of process.
        breaches: sentences; empty when the promise was kept.
    """

    seed: int
    minutes: float
    kills: dict[str, int] = dataclasses.field(default_factory=dict)
    stops: dict[str, int] = dataclasses.field(default_factory=dict)
    batches: int = 0
    generations: int = 0
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    in_doubt: int = 0
    billed_usd: str = "0"
    charged_usd: str = "0"
    samples: int = 0
    breaches: list[str] = dataclasses.field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        said = dataclasses.asdict(self)
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return {
            "question": "is anything lost, paid twice or overspent while processes die?",
            "command": f"make crash SEED={self.seed} MINUTES={self.minutes:g}",
            "commit": commit.stdout.strip(),
            "machine": f"{os.cpu_count()} cores",
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            **said,
            "total_kills": sum(self.kills.values()),
            "total_stops": sum(self.stops.values()),
        }


class Driver:
    """One run: a system, its enemies, and a referee."""

    def __init__(self, record: Record, folder: Path) -> None:
        self._record = record
        self._random = random.Random(record.seed)
        self._folder = folder
        self._done = threading.Event()

    def run(self) -> Record:
        with ExitStack() as stack:
            url = stack.enter_context(
                running(self._folder / "sandbox", latency_s=0.3, size_px=64, illegal_limit=100000)
            )
            self._arm(url)
            servers = stack.enter_context(shared(self._folder / "home", durable=True))
            settings = Settings().model_copy(
                update={
                    "home": self._folder / "home",
                    "database_url": SecretStr(servers.libpq_url),
                    "redis_url": SecretStr(servers.redis_url),
                    "sandbox_base_url": url,
                    "clip_model": str(ROOT / "sandbox" / "clip"),
                    "lease_s": _LEASE_S,
                    "unclaimed_s": 4.0,
                    "listings_apart_s": 6.0,
                }
            )
            resources, _ = stack.enter_context(open_resources(settings, application="likeness crash driver"))
            crew = stack.enter_context(self._crew(settings))
            self._character(resources)
            watch = threading.Thread(target=self._sample, args=(resources,), daemon=True)
            watch.start()
            self._under_fire(resources, crew, lambda: revive(servers))
            self._calm(url)
            self._settle(resources, url, lambda: revive(servers))
            self._done.set()
            watch.join(timeout=10)
            self._judge(resources, url)
        return self._record

    def _arm(self, url: str) -> None:
        faults = [
            {"where": "submit", "what": "drop_before", "rate": 0.06},
            {"where": "submit", "what": "drop_after", "rate": 0.06},
            {"where": "submit", "what": "status:500_after", "rate": 0.03},
            {"where": "fetch", "what": "drop_before", "rate": 0.05},
            {"where": "picture", "what": "truncated", "rate": 0.03},
        ]
        self._post(url, {"faults": faults, "seed": self._record.seed})

    def _calm(self, url: str) -> None:
        request = urllib.request.Request(f"{url}/_sandbox/faults", method="DELETE")
        urllib.request.urlopen(request, timeout=10).close()

    def _post(self, url: str, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{url}/_sandbox/faults", data=body, headers=headers, method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    @contextmanager
    def _crew(self, settings: Settings) -> Iterator[Children]:
        log = (self._folder / "workers.log").open("a", encoding="utf-8")
        with (
            log,
            Children(
                lambda name, line: print(f"{name} | {line}", file=log, flush=True),
                lambda report: print(f"{report.name}: {report.happening} {report.status}", file=log, flush=True),
                first_pause_s=0.1,
                longest_pause_s=1.0,
                gives_up_after=100_000,
            ) as crew,
        ):
            for number, name in enumerate(_ROLES):
                crew.start(dataclasses.replace(role(name, settings), name=f"{name}-{number}"))
            yield crew

    def _character(self, resources: Resources) -> None:
        reference = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
        characters.add(
            resources,
            NewCharacter(
                name="lulu", description="", references=[reference], core=0.5, style=-1.0, origin="chosen for this test"
            ),
        )

    def _under_fire(self, resources: Resources, crew: Children, revived: Any) -> None:
        until = time.monotonic() + self._record.minutes * 60
        enough_waiting = 60
        while time.monotonic() < until:
            try:
                if self._waiting(resources) < enough_waiting:
                    self._enqueue(resources)
                self._strike(crew, revived())
            except ServiceMissing as failure:
                print(f"(away: {failure})", file=sys.stderr)
            time.sleep(self._random.uniform(1.0, 5.0))

    def _waiting(self, resources: Resources) -> int:
        batches = status.latest(resources, user_id="local", limit=1000)
        return sum(one.standing.unfinished for one in batches if not one.over)

    def _enqueue(self, resources: Resources) -> None:
        number = self._record.batches + 1
        same = self._random.random() < 0.3
        prompts = [f"Lulu Pig on hill {'the same' if same else i}" for i in range(self._random.randint(8, 30))]
        rows = read_prompts(write_prompts(self._folder / f"{number}.csv", prompts))
        order = Order(
            name=f"batch-{number}",
            user_id="local",
            provider="sandbox",
            character="lulu" if self._random.random() < 0.5 else None,
            settings={"mode": "fast", **({"seed": 7} if same else {})},
            limit_usd=Decimal(100) if self._random.random() < 0.7 else Decimal(2),
        )
        enqueue(resources, order, plan(resources, load(), order, rows, today=datetime.now(UTC).date()))
        self._record.batches = number
        self._record.generations += len(prompts)

    def _strike(self, crew: Children, servers: Any) -> None:
        targets = {name: pid for name, pid in crew.pids().items() if pid}
        targets |= {"redis": servers.redis_pid, "postgres": servers.postgres_pid}
        # Workers are the many and die often; servers are the few.
        weights = [1 if name in {"redis", "postgres"} else 3 for name in targets]
        name = self._random.choices(list(targets), weights)[0]
        kind = name.partition("-")[0]
        try:
            if self._random.random() < 0.15 and kind not in {"redis", "postgres"}:
                os.kill(targets[name], signal.SIGSTOP)
                self._record.stops[kind] = self._record.stops.get(kind, 0) + 1
                time.sleep(_STOP_S)
                os.kill(targets[name], signal.SIGCONT)
            else:
                os.kill(targets[name], signal.SIGKILL)
                self._record.kills[kind] = self._record.kills.get(kind, 0) + 1
        except ProcessLookupError:
            pass

    def _sample(self, resources: Resources) -> None:
        statement = text(
            "SELECT name FROM batches WHERE limit_usd < charged_usd + held_usd + in_doubt_usd AND limit_usd IS NOT NULL"
        )
        while not self._done.wait(0.3):
            try:
                with resources.database.transaction() as connection:
                    over = connection.execute(statement).scalars().all()
            except ServiceMissing:
                continue
            self._record.samples += 1
            self._record.breaches += [f"batch {name!r} was above its limit" for name in over]

    def _settle(self, resources: Resources, url: str, revived: Any) -> None:
        """Let everything come to its end; what does not within five minutes is a breach of its own."""
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            try:
                revived()
                if self._waiting(resources) == 0 and not self._breaches(resources, url):
                    return
            except (ServiceMissing, OSError) as failure:
                print(f"(away: {failure})", file=sys.stderr)
            time.sleep(1.0)

    def _breaches(self, resources: Resources, url: str) -> list[str]:
        stopped = {str(one.batch.id) for one in status.latest(resources, user_id="local", limit=10_000) if one.over}
        return [one for one in breaches(resources, bill(url), queued_in=stopped) if one]

    def _judge(self, resources: Resources, url: str) -> None:
        self._record.breaches += self._breaches(resources, url)
        total: Counter[str] = Counter()
        charged = Decimal(0)
        for one in status.latest(resources, user_id="local", limit=10_000):
            total.update(one.standing.counts)
            charged += one.batch.charged_usd
        self._record.counts = {state: number for state, number in total.items() if number}
        self._record.in_doubt = total["in_doubt"]
        self._record.charged_usd = str(charged)
        self._record.billed_usd = str(bill(url)["total_usd"])


def drive(*, seed: int, minutes: float, folder: Path) -> Record:
    """One run below `folder`; everything it starts has ended when it returns."""
    return Driver(Record(seed=seed, minutes=minutes), folder).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="likeness-crash-") as name:
        Path(name).chmod(0o711)
        record = drive(seed=given.seed, minutes=given.minutes, folder=Path(name))
        if record.breaches:
            kept = Path(tempfile.gettempdir()) / "likeness-crash-workers.log"
            kept.write_bytes((Path(name) / "workers.log").read_bytes())
            print(f"the workers' log is kept in {kept}", file=sys.stderr)
    line = json.dumps(record.as_json())
    with _RESULTS.open("a", encoding="utf-8") as results:
        results.write(line + "\n")
    print(line)
    sys.exit(1 if record.breaches else 0)


if __name__ == "__main__":
    main()
