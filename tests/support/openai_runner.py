"""Steps of one worker with an OpenAI account of its own: real Postgres, a real store, the real sandbox."""

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from db.session import Database
from domain.ids import AttemptId
from pipeline.attempts import collect, submit
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import PromptRow
from pipeline.process.leases import Leases
from pipeline.resources import Resources, Timing
from providers.registry import open_lane
from sandbox.bill import digest_of
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.support.books import USER, Books
from tests.support.steps import PREPROCESSING

FLARE = "gpt-image-2.5-flare"
#: 196 tokens of picture and 3 of words, at the model's rates.
LOW = Decimal("0.005895")


class Died(BaseException):
    """Stands for a death of the process: nothing of ours catches it."""


@dataclass(frozen=True)
class DieAt:
    """A fault point that ends the step instead of the process."""

    point: str

    def reach(self, name: str) -> None:
        if name == self.point:
            raise Died


@dataclass(slots=True)
class OpenAiRunner:
    """The steps of one worker with an OpenAI account of its own."""

    resources: Resources
    books: Books
    sent: Sent
    url: str
    key: str

    def attempts(
        self,
        *prompts: str,
        settings: Mapping[str, Any] | None = None,
        character: str | None = None,
        limit: Decimal | None = None,
    ) -> list[AttemptId]:
        """Of a new batch, admitted and published."""
        rows = [
            PromptRow(position=at, line=at + 1, prompt=prompt, settings={}, extra={})
            for at, prompt in enumerate(prompts)
        ]
        order = Order(
            name=f"batch {uuid.uuid4()}",
            user_id=USER,
            provider="openai",
            prompts=rows,
            model=FLARE,
            settings={"quality": "low"} if settings is None else settings,
            character=character,
            limit_usd=limit,
        )
        commit(self.resources, prepare(self.resources, order))
        return self.sent.take("submit")

    def attempt(self, prompt: str = "a pink pig", **order: Any) -> AttemptId:
        (attempt_id,) = self.attempts(prompt, **order)
        return attempt_id

    def submit(self, attempt_id: AttemptId, *, dying_at: str | None = None) -> None:
        if dying_at is None:
            assert submit.submit(self.resources, attempt_id) is None
            return
        with pytest.raises(Died):
            submit.submit(replace(self.resources, fault_points=DieAt(dying_at)), attempt_id)
        self.books.lapse(seconds=3600)

    def doubted(self, what: str = "drop_after", **order: Any) -> AttemptId:
        attempt_id = self.attempt(**order)
        self.arm(what)
        self.submit(attempt_id)
        assert self.books.attempt(attempt_id).state == "in_doubt"
        return attempt_id

    def collected(self, attempt_id: AttemptId) -> Any:
        while collect.collect(self.resources, attempt_id, preprocessing=PREPROCESSING) is not None:
            self.books.sql("UPDATE attempts SET published_at = now() - interval '1 second'")
        return self.books.generation_of(attempt_id)

    def arm(self, what: str, *, where: str = "submit") -> None:
        fault = {"where": where, "what": what, "count": 1, "provider": "openai"}
        httpx2.post(f"{self.url}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()

    def clear(self) -> None:
        httpx2.delete(f"{self.url}/_sandbox/faults", trust_env=False)

    def bill(self) -> list[Decimal]:
        """What this account is charged, call by call."""
        return [Decimal(job["charged_usd"]) for job in self.jobs()]

    def jobs(self) -> list[dict[str, Any]]:
        jobs = httpx2.get(f"{self.url}/_sandbox/bill", trust_env=False).json()["jobs"]
        return [job for job in jobs if job["key_digest"] == digest_of(self.key)]

    def money(self, attempt_id: AttemptId) -> tuple[Decimal, Decimal, Decimal]:
        """Held, in doubt and charged of its batch."""
        row = self.books.row(self.books.attempt(attempt_id).batch_id)
        return row.held_usd, row.in_doubt_usd, row.charged_usd


@contextmanager
def runner_of(database: Database, *, url: str, sent: Sent, home: Path) -> Iterator[OpenAiRunner]:
    """The steps of a worker; the books are right at its end."""
    key = f"sk-{uuid.uuid4()}"
    books = Books(database)
    books.lane("openai", provider="openai", concurrency=4)
    leases = Leases(database, seconds=30)
    lane = open_lane("openai", "openai", base_url=f"{url}/openai", key=key, submit_total_s=120)
    resources = Resources(
        database=database,
        lanes={"openai": lane},
        store=FolderStore(home / "pictures"),
        dispatch=sent,
        leases=leases,
        jitter=lambda: 0.0,
        timing=Timing(collect_tries=3, call_totals={"openai": timedelta(seconds=125)}),
    )
    opened = OpenAiRunner(resources=resources, books=books, sent=sent, url=url, key=key)
    opened.clear()
    try:
        yield opened
        books.check()
    finally:
        opened.clear()
        leases.close()
        lane.close()
