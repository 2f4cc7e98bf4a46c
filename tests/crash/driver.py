"""Run batches at three services through the whole system while processes die and stand still; then compare the bills.

    make crash SEED=7 MINUTES=30

Workers, Redis and PostgreSQL are killed (SIGKILL) or stopped for longer than a lease (SIGSTOP), fault points are armed,
submissions lose their connection before and after acceptance, messages come twice, the bucket hangs or refuses. At the
end every invariant of `tests.crash.invariants` must hold for each service; no sample taken on the way may show a batch,
the user's month or a lane's day above its limit, and no log, row or message a secret of the settings. The record is
appended to `benchmarks/results/crash.jsonl`.
"""

import argparse
import dataclasses
import json
import random
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis
from pydantic import SecretStr
from sqlalchemy import text

from domain.errors import ServiceMissing
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.process.fault_points import POINTS, SYNCHRONOUS_POINTS
from pipeline.resources import Resources
from runtime.crew import role
from runtime.embedded.stack import Servers, revive, shared
from runtime.resources import open_producer
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from sandbox.files import ROUTE as FILES_ROUTE
from sandbox.process import running
from tests.crash import wires
from tests.crash.chaos import Enemy, copy_messages
from tests.crash.invariants import above_the_limit, breaches, caps_passed, outcome_of, waiting
from tests.crash.person import cancel_one, limit_spending, raise_a_limit, settle_what_nobody_lists
from tests.crash.record import Record
from tests.crash.secrets_left import PLANTED, SIGNATURE, secrets_left
from tests.crash.wires import TTAPI, WIRES
from tests.support.bucket import BucketServer, bucket_server
from tests.support.commands import ROOT, bill

#: Every worker dies and stands still; beside them the two servers.
_ROLES = ("io", "io", "io-sync", "gpu", "beat", "api")
_POINTS = (*POINTS, *SYNCHRONOUS_POINTS)
_RESULTS = ROOT / "benchmarks" / "results" / "crash.jsonl"
_ENOUGH_WAITING = 60
#: Doubts that only a person can settle; more than these are settled by the bill.
_DOUBTS_LEFT = 3
_SETTLING_S = 300
#: The share of rounds in which the person gives a batch up.
_CANCELS = 0.04
#: How often somebody looks for messages to copy, and the share of those held that is copied.
_COPIES_APART_S = 0.2
_COPIED = 0.1
#: The share in which a limit of the user or of a lane is raised: the run goes on, and reaches it again.
_RAISES = 0.2
#: The share of rounds in which the bucket is away.
_BUCKET_AWAY = 0.2


class Driver:
    """One run: a system, its enemies, and a referee."""

    def __init__(self, record: Record, folder: Path) -> None:
        self._record = record
        self._luck = random.Random(record.seed)
        self._folder = folder
        self._calm = threading.Event()
        self._done = threading.Event()

    def run(self) -> Record:
        with ExitStack() as stack:
            url = stack.enter_context(
                running(self._folder / "sandbox", latency_s=0.3, size_px=64, illegal_limit=100_000)
            )
            servers = stack.enter_context(shared(self._folder / "home", durable=True))
            bucket = stack.enter_context(bucket_server())
            settings = self._settings(url, servers, bucket)
            resources = stack.enter_context(open_producer(settings, application="likeness crash driver"))
            enemy = Enemy(self._record, self._luck, points=_POINTS, folder=settings.home / "deaths")
            # The driver itself must not die at a point.
            crew = stack.enter_context(self._crew(settings.model_copy(update={"die_at": ",".join(_POINTS)})))
            self._character(resources)
            limit_spending(resources)
            self._arm(url)
            watch = threading.Thread(target=self._sample, args=(resources,), daemon=True)
            watch.start()
            copier = threading.Thread(target=self._copy, args=(servers.redis_url,), daemon=True)
            copier.start()
            link = _left_with(url)

            self._under_fire(
                resources,
                url,
                lambda: enemy.strike(_victims(crew, revive(servers))),
                lambda: self._away_or_back(bucket),
                link=link,
            )
            bucket.start_again()
            enemy.rest()
            self._calm.set()
            copier.join(timeout=10)
            wires.calm(url)
            self._settle(resources, url, lambda: revive(servers))
            self._done.set()
            watch.join(timeout=10)
            self._judge(resources, url)
            logs = [self._folder / "workers.log", *(settings.home / "logs").glob("*.log")]
            self._record.breaches += secrets_left(servers, resources.database, folder=self._folder, logs=logs)
        return self._record

    def _away_or_back(self, bucket: BucketServer) -> None:
        """Now and then, and the first time, the bucket hangs or refuses for a round."""
        bucket.start_again()
        if not self._record.bucket_away or self._luck.random() < _BUCKET_AWAY:
            self._record.bucket_away += 1
            self._luck.choice((bucket.hang, bucket.stop))()

    def _settings(self, url: str, servers: Servers, bucket: BucketServer) -> Settings:
        port = wires.free_port()
        return wires.settings_for(
            url,
            home=self._folder / "home",
            database_url=SecretStr(servers.libpq_url),
            redis_url=SecretStr(servers.redis_url),
            api_port=port,
            public_url=f"http://127.0.0.1:{port}",
            r2_endpoint_url=bucket.url,
            r2_bucket_name=bucket.name,
            **PLANTED,
        )

    def _arm(self, url: str) -> None:
        wires.arm(
            url,
            {"where": "submit", "what": "drop_before", "rate": 0.06},
            {"where": "submit", "what": "drop_after", "rate": 0.06},
            {"where": "submit", "what": "status:500_after", "rate": 0.03},
            {"where": "fetch", "what": "drop_before", "rate": 0.05},
            {"where": "picture", "what": "truncated", "rate": 0.03},
            {"where": "callback", "what": "duplicate_callback", "rate": 0.1},
            {"where": "callback", "what": "lost_callback", "rate": 0.1},
            seed=self._record.seed,
        )

    @contextmanager
    def _crew(self, settings: Settings) -> Iterator[Supervisor]:
        log = (self._folder / "workers.log").open("a", encoding="utf-8")
        with (
            log,
            Supervisor(
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
        definitions.add(
            resources,
            NewCharacter(
                name="lulu", description="", references=[reference], core=0.5, style=-1.0, origin="chosen for this test"
            ),
        )

    def _under_fire(
        self, resources: Resources, url: str, strike: Callable[[], None], other: Callable[[], None], *, link: str
    ) -> None:
        """Order, cancel and settle as a person does, and let what `strike` and `other` do happen in between."""
        until = time.monotonic() + self._record.minutes * 60
        while time.monotonic() < until:
            other()
            try:
                if waiting(resources.database) < _ENOUGH_WAITING:
                    self._enqueue(resources, link)
                if self._luck.random() < _CANCELS:
                    self._record.canceled += cancel_one(resources, self._luck)
                if self._luck.random() < _RAISES:
                    self._record.raised += raise_a_limit(resources, self._luck)
                self._record.settled_by_person += settle_what_nobody_lists(resources, bill(url), left=_DOUBTS_LEFT)
                strike()
            except (ServiceMissing, OSError) as failure:
                print(f"(away: {failure})", file=sys.stderr)
            time.sleep(self._luck.uniform(0.5, 4.0))

    def _enqueue(self, resources: Resources, link: str) -> None:
        self._record.batches += 1
        number = self._record.batches
        # The first one has the link, so that also a short run has it.
        wire = TTAPI if number == 1 else self._luck.choice(WIRES)
        same = wire.seeded and self._luck.random() < 0.4
        hills = ["the same" if same else f"{number} by {i}" for i in range(self._luck.randint(8, 20))]
        checked = number > 1 and self._luck.random() < 0.5
        references = {"cref_urls": [link]} if wire is TTAPI and not checked else {}
        self._record.linked += len(hills) * len(references)
        wires.ordered(
            resources,
            wire,
            self._folder / f"batch-{number}.csv",
            [f"Lulu Pig on hill {hill}" for hill in hills],
            character="lulu" if checked else None,
            max_tries=2 if checked and self._luck.random() < 0.5 else None,
            limit_usd=None if self._luck.random() < 0.6 else wire.tight_usd,
            **({"seed": 7} if same else {}),
            **references,
        )

    def _sample(self, resources: Resources) -> None:
        while not self._done.wait(0.3):
            try:
                over = above_the_limit(resources.database) + caps_passed(resources.database)
            except ServiceMissing:
                continue
            self._record.samples += 1
            self._record.breaches += [f"{one} at a sample" for one in over]

    def _copy(self, url: str) -> None:
        luck = random.Random(self._record.seed + 1)
        client = redis.Redis.from_url(url)
        copied: set[str] = set()
        while not self._calm.wait(_COPIES_APART_S):
            with suppress(redis.RedisError):
                self._record.copies += copy_messages(client, luck, copied, share=_COPIED)
        client.close()

    def _settle(self, resources: Resources, url: str, revived: Callable[[], object]) -> None:
        """Let everything come to its end; what does not within five minutes is a breach of its own."""
        deadline = time.monotonic() + _SETTLING_S
        while time.monotonic() < deadline:
            try:
                revived()
                self._record.settled_by_person += settle_what_nobody_lists(resources, bill(url), left=_DOUBTS_LEFT)
                if waiting(resources.database) == 0 and not breaches(resources, bill(url)):
                    return
            except (ServiceMissing, OSError) as failure:
                print(f"(away: {failure})", file=sys.stderr)
            time.sleep(1.0)

    def _judge(self, resources: Resources, url: str) -> None:
        billed = bill(url)
        self._record.breaches += breaches(resources, billed)
        for wire in WIRES:
            self._record.wires[wire.provider] = outcome_of(resources.database, wire, billed)
        self._record.generations = sum(sum(one["counts"].values()) for one in self._record.wires.values())
        with resources.database.transaction() as connection:
            late = text("SELECT count(*) FROM attempts WHERE found_late_at IS NOT NULL")
            self._record.found_late = connection.execute(late).scalar_one()


def _left_with(url: str) -> str:
    """The address of a reference that somebody else keeps and lends by a signature."""
    body = (ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png").read_bytes()
    request = urllib.request.Request(f"{url}{FILES_ROUTE}", data=body, method="POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return f"{json.load(answer)['url']}?X-Amz-Signature={SIGNATURE}"


def _victims(crew: Supervisor, servers: Servers) -> dict[str, int]:
    workers = {name: pid for name, pid in crew.pids().items() if pid}
    return {**workers, "redis": servers.redis_pid, "postgres": servers.postgres_pid}


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
