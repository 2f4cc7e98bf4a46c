"""Attempts at Replicate, step by step: real Postgres, the real sandbox, and its bill to compare with.

There is no idempotency key, so a lost reply is settled by Replicate's own list.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from db.session import Database
from domain.errors import BadInput
from domain.ids import AttemptId
from pipeline import collect, doubts, poll, submit
from pipeline.admit import admit
from pipeline.enqueue import Order, Plan, enqueue, plan
from pipeline.leases import Leases
from pipeline.prompt_file import PromptRow
from pipeline.resources import Resources, Timing
from providers.catalogue import load
from providers.registry import open_lane
from sandbox.bill import digest_of
from sandbox.process import running
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.integration.books import USER, Books
from tests.integration.sandbox_client import until
from validation.preprocessing import CLIP_DEFAULT

NANO = "google/nano-banana-pro"
FLUX = "black-forest-labs/flux-2-pro"
AT_ONCE = Timing(
    sweep=timedelta(0), unclaimed=timedelta(0), in_the_air=timedelta(0), listings_apart=timedelta(0), collect_tries=3
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, list_page=2) as url:
        yield url


@dataclass(slots=True)
class Desk:
    """The steps of one worker with a Replicate account of its own."""

    resources: Resources
    books: Books
    sent: Sent
    url: str
    key: str

    def planned(self, *prompts: str, model: str = NANO, **settings: Any) -> tuple[Order, Plan]:
        rows = [
            PromptRow(position=at, line=at + 1, prompt=prompt, settings=settings, extra={})
            for at, prompt in enumerate(prompts)
        ]
        order = Order(name=f"batch {uuid.uuid4()}", user_id=USER, provider="replicate", model=model)
        return order, plan(self.resources, load(), order, rows, today=datetime.now(UTC).date())

    def attempts(self, *prompts: str, model: str = NANO) -> list[AttemptId]:
        """Of a new batch, admitted and published."""
        enqueue(self.resources, *self.planned(*prompts, model=model))
        return self.sent.take("submit")

    def submitted(self, *prompts: str, model: str = NANO) -> list[AttemptId]:
        attempts = self.attempts(*prompts, model=model)
        for attempt_id in attempts:
            assert submit.submit(self.resources, attempt_id) is None
        return attempts

    def states(self, attempts: list[AttemptId]) -> list[str]:
        return [self.books.attempt(attempt_id).state for attempt_id in attempts]

    def settle(self) -> int:
        return doubts.settle_by_listing(self.resources, "replicate")

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


@pytest.fixture
def desk(database: Database, sandbox: str, sent: Sent, home: Path) -> Iterator[Desk]:
    key = f"r8_{uuid.uuid4().hex}"
    books = Books(database)
    books.lane("replicate", provider="replicate", concurrency=50)
    leases = Leases(database, seconds=30)
    lane = open_lane("replicate", "replicate", base_url=f"{sandbox}/replicate", key=key, stand_in=sandbox)
    resources = Resources(
        database=database,
        lanes={"replicate": lane},
        store=FolderStore(home / "pictures"),
        dispatch=sent,
        leases=leases,
        luck=lambda: 0.0,
        timing=AT_ONCE,
    )
    opened = Desk(resources=resources, books=books, sent=sent, url=sandbox, key=key)
    opened.clear()
    try:
        yield opened
        books.check()
    finally:
        opened.clear()
        leases.close()
        lane.close()


def test_a_prompt_becomes_a_picture_at_the_price_of_the_catalogue(desk: Desk) -> None:
    (attempt_id,) = desk.submitted("a pink pig")
    assert desk.last_word(attempt_id).state == "collecting"
    done = desk.collected(attempt_id)
    assert (done.outcome, done.charged_usd) == ("completed", Decimal("0.15"))
    assert desk.books.generation_of(attempt_id).state == "completed"
    assert desk.bill() == [Decimal("0.15")]


def test_what_a_model_cannot_be_told_is_said_before_anything_is_enqueued(desk: Desk) -> None:
    _, planned = desk.planned("a pig", mode="relax", cref_weight=80)
    assert [warning for warning in planned.warnings if "has no cref_weight, mode;" in warning]
    with pytest.raises(BadInput, match="takes no negative prompt"):
        desk.planned("a pig", negative_prompt="mud")


@pytest.mark.parametrize("fault", ["drop_after", "truncated", "status:500_after", "html_after"])
def test_a_lost_reply_is_found_in_the_list_and_not_sent_again(desk: Desk, fault: str) -> None:
    desk.submitted("an older pig", "another older pig")
    desk.arm("submit", fault)
    (attempt_id,) = desk.submitted("a lost pig", model=FLUX)
    desk.submitted("a newer pig", "another newer pig", "and another")
    assert desk.states([attempt_id]) == ["in_doubt"]
    assert desk.settle() == 1
    adopted = desk.last_word(attempt_id)
    assert adopted.state == "collecting"
    assert desk.collected(attempt_id).charged_usd == Decimal("0.03")
    assert len(desk.bill()) == 6


@pytest.mark.parametrize("fault", ["drop_before", "status:500", "status:409"])
def test_a_create_that_never_arrived_is_proven_so_by_two_listings(desk: Desk, fault: str) -> None:
    desk.arm("submit", fault)
    (attempt_id,) = desk.submitted("a pig nobody heard of")
    assert desk.states([attempt_id]) == ["in_doubt"]
    assert desk.settle() == 0
    assert desk.settle() == 1
    released = desk.books.attempt(attempt_id)
    assert (released.state, released.hold_state) == ("finished", "released")
    (again,) = desk.sent.take("submit")
    assert submit.submit(desk.resources, again) is None
    assert desk.last_word(again).state == "collecting"
    assert desk.bill() == [Decimal("0.15")]


def test_identical_lost_requests_take_one_job_each(desk: Desk) -> None:
    desk.arm("submit", "drop_after", count=2)
    attempts = desk.submitted("the same pig", "the same pig", "the same pig")
    assert sorted(desk.states(attempts)) == ["generating", "in_doubt", "in_doubt"]
    assert desk.settle() == 2
    jobs = [desk.books.attempt(attempt_id).job_id for attempt_id in attempts]
    assert None not in jobs
    assert len(set(jobs)) == 3
    assert len(desk.bill()) == 3


def test_a_list_that_has_forgotten_proves_nothing(desk: Desk) -> None:
    desk.arm("submit", "drop_after")
    (attempt_id,) = desk.submitted("a forgotten pig")
    desk.arm("list", "data_removed", count=None)
    for _ in range(3):
        assert desk.settle() == 0
    assert desk.states([attempt_id]) == ["in_doubt"]
    desk.clear()
    assert desk.settle() == 1
    assert desk.last_word(attempt_id).state == "collecting"


def test_what_other_models_were_asked_is_not_taken_for_ours(desk: Desk) -> None:
    desk.arm("submit", "drop_after")
    (lost,) = desk.submitted("the same pig", model="black-forest-labs/flux-kontext-pro")
    desk.books.sql("UPDATE attempts SET sent_prompt = replace(sent_prompt, 'kontext-pro', 'kontext-max')")
    assert (desk.settle(), desk.settle()) == (0, 1)
    assert desk.books.attempt(lost).hold_state == "released"


def test_a_listing_that_breaks_off_settles_nothing(desk: Desk) -> None:
    desk.arm("submit", "drop_before")
    (attempt_id,) = desk.submitted("a pig")
    for fault in ("status:503", "html", "truncated", "drop_before"):
        desk.arm("list", fault)
        assert desk.settle() == 0
    assert desk.books.attempt(attempt_id).absent_since is None
    assert desk.states([attempt_id]) == ["in_doubt"]


@pytest.mark.parametrize("fault", ["data_removed", "no_images"])
def test_a_success_without_a_picture_ends_lost_and_charged(desk: Desk, fault: str) -> None:
    (attempt_id,) = desk.submitted("a pig whose hour is over")
    desk.arm("fetch", fault, count=None)
    assert desk.last_word(attempt_id).state == "collecting"
    lost = desk.collected(attempt_id)
    assert (lost.outcome, lost.error_code, lost.charged_usd) == ("failed", "picture_lost", Decimal("0.15"))
    assert desk.books.generation_of(attempt_id).state == "failed"
    assert desk.bill() == [Decimal("0.15")]


def test_a_cancelled_prediction_is_charged_and_not_tried_again(desk: Desk) -> None:
    desk.arm("submit", "canceled")
    (attempt_id,) = desk.submitted("a stopped pig")
    assert desk.last_word(attempt_id).state == "collecting"
    lost = desk.collected(attempt_id)
    assert (lost.error_code, lost.charged_usd) == ("picture_lost", Decimal("0.15"))
    assert "does not say how much" in lost.error_message
    assert desk.bill() == [Decimal("0.15")]


def test_a_prediction_that_never_began_is_free_and_tried_again(desk: Desk) -> None:
    desk.arm("submit", "aborted")
    (attempt_id,) = desk.submitted("a pig that never began")
    free = desk.last_word(attempt_id)
    assert (free.state, free.hold_state, free.error_code) == ("finished", "released", "job_timed_out")
    desk.books.sql("UPDATE generations SET not_before = NULL")
    admit(desk.resources, "replicate")
    (again,) = desk.sent.take("submit")
    assert submit.submit(desk.resources, again) is None
    assert desk.last_word(again).state == "collecting"
    assert sorted(desk.bill()) == [Decimal(0), Decimal("0.15")]


def test_a_sensitive_prompt_fails_free_and_for_good(desk: Desk) -> None:
    (attempt_id,) = desk.submitted("a naked pig")
    refused = desk.last_word(attempt_id)
    assert (refused.error_code, refused.hold_state) == ("content_refused", "released")
    assert desk.books.generation_of(attempt_id).state == "failed"
    assert desk.bill() == [Decimal(0)]


def test_an_account_that_is_slowed_down_closes_its_lane_for_as_long_as_it_says(desk: Desk) -> None:
    desk.arm("submit", "throttled:low_credit")
    (attempt_id,) = desk.submitted("a patient pig")
    assert desk.books.attempt(attempt_id).hold_state == "released"
    assert desk.books.generation_of(attempt_id).state == "queued"
    assert desk.bill() == []
