"""One worker with a Replicate account of its own: steps called by hand, the real sandbox, its bill.

A `ReplicateRunner` belongs to one test: its key is its own, so that what the bill says of that key is the test's alone.
"""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2

from db.session import Database
from domain.ids import AttemptId
from pipeline.attempts import collect, poll, submit
from pipeline.doubts import by_person
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, Plan, prepare
from pipeline.intake.prompt_rows import PromptRow
from pipeline.process.leases import Leases
from pipeline.resources import Resources, Timing
from providers.registry import open_lane
from sandbox.bill import digest_of
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.support.books import USER, Books
from tests.support.sandbox_client import until
from validation.preprocessing import CLIP_DEFAULT

NANO = "google/nano-banana-pro"
FLUX = "black-forest-labs/flux-2-pro"
AT_ONCE = Timing(
    sweep=timedelta(0), unclaimed=timedelta(0), in_the_air=timedelta(0), listings_apart=timedelta(0), collect_tries=3
)


@dataclass(slots=True)
class ReplicateRunner:
    """The steps of one worker with a Replicate account of its own."""

    resources: Resources
    books: Books
    sent: Sent
    url: str
    key: str

    def planned(
        self, *prompts: str, model: str = NANO, order: Mapping[str, Any] | None = None, **settings: Any
    ) -> Plan:
        rows = [
            PromptRow(position=at, line=at + 1, prompt=prompt, settings=settings, extra={})
            for at, prompt in enumerate(prompts)
        ]
        name = f"batch {uuid.uuid4()}"
        wanted = Order(name=name, user_id=USER, provider="replicate", prompts=rows, model=model, **(order or {}))
        return prepare(self.resources, wanted)

    def attempts(self, *prompts: str, model: str = NANO, **settings: Any) -> list[AttemptId]:
        """Of a new batch, admitted and published."""
        commit(self.resources, self.planned(*prompts, model=model, **settings))
        return self.sent.take("submit")

    def submitted(self, *prompts: str, model: str = NANO, **settings: Any) -> list[AttemptId]:
        attempts = self.attempts(*prompts, model=model, **settings)
        for attempt_id in attempts:
            assert submit.submit(self.resources, attempt_id) is None
        return attempts

    def states(self, attempts: list[AttemptId]) -> list[str]:
        return [self.books.attempt(attempt_id).state for attempt_id in attempts]

    def settle(self) -> int:
        return by_person.settle_by_listing(self.resources, "replicate")

    def last_word(self, attempt_id: AttemptId) -> Any:
        """The attempt's row once the sweep has heard how the job ended."""

        def look() -> bool:
            self.books.sql("UPDATE attempts SET due_at = now() WHERE due_at IS NOT NULL")
            poll.sweep(self.resources, "replicate")
            return bool(self.books.attempt(attempt_id).state != "generating")

        until(look, what=f"the last word about {attempt_id}")
        return self.books.attempt(attempt_id)

    def collected(self, attempt_id: AttemptId) -> Any:
        while collect.collect(self.resources, attempt_id, preprocessing=CLIP_DEFAULT) is not None:
            self.books.sql("UPDATE attempts SET published_at = now() - interval '1 second'")
        return self.books.attempt(attempt_id)

    def arm(self, where: str, what: str, **more: object) -> None:
        fault = {"where": where, "what": what, "count": 1, "provider": "replicate"} | more
        httpx2.post(f"{self.url}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()

    def clear(self) -> None:
        httpx2.delete(f"{self.url}/_sandbox/faults", trust_env=False)

    def bill(self) -> list[Decimal]:
        """What this account is charged, job by job."""
        jobs = httpx2.get(f"{self.url}/_sandbox/bill", trust_env=False).json()["jobs"]
        return [Decimal(job["charged_usd"]) for job in jobs if job["key_digest"] == digest_of(self.key)]


@contextmanager
def runner_of(database: Database, *, url: str, sent: Sent, home: Path) -> Iterator[ReplicateRunner]:
    """The steps of a worker; the books are right at its end."""
    key = f"r8_{uuid.uuid4().hex}"
    books = Books(database)
    books.lane("replicate", provider="replicate", concurrency=50)
    leases = Leases(database, seconds=30)
    lane = open_lane("replicate", "replicate", base_url=f"{url}/replicate", key=key, stand_in=url)
    resources = Resources(
        database=database,
        lanes={"replicate": lane},
        store=FolderStore(home / "pictures"),
        dispatch=sent,
        leases=leases,
        jitter=lambda: 0.0,
        timing=AT_ONCE,
    )
    opened = ReplicateRunner(resources=resources, books=books, sent=sent, url=url, key=key)
    opened.clear()
    try:
        yield opened
        books.check()
    finally:
        opened.clear()
        leases.close()
        lane.close()
