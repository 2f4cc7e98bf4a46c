"""A person gives up what Replicate is at work on: it is asked to stop, and its word says what that cost.

TTAPI and OpenAI have no such call; there a job runs to its end (`test_steps_rescue.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from db.moves import by_person, polling
from db.schema import generation_assets
from db.session import Database
from domain.ids import AttemptId, BatchId
from pipeline.attempts import poll, rescue
from pipeline.operator import batch_control
from providers.contract import Call
from providers.replicate.adapter import Replicate
from sandbox.process import running
from tests.conftest import Sent
from tests.support.replicate_desk import Desk, desk_of
from tests.support.sandbox_client import until


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("quick"), latency_s=0.02, size_px=64) as url:
        yield url


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Leaves a job waiting for longer than any test lasts."""
    with running(tmp_path_factory.mktemp("slow"), latency_s=3600, size_px=64) as url:
        yield url


@pytest.fixture
def desk(database: Database, quick: str, sent: Sent, home: Path) -> Iterator[Desk]:
    with desk_of(database, url=quick, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def idle_desk(database: Database, slow: str, sent: Sent, home: Path) -> Iterator[Desk]:
    with desk_of(database, url=slow, sent=sent, home=home) as opened:
        yield opened


class DeathError(Exception):
    """Stands for a process that ends."""


@dataclass(slots=True)
class DiesOnce:
    """Ends the step at a named moment, once."""

    at: str
    dead: bool = False

    def reach(self, name: str) -> None:
        if name == self.at and not self.dead:
            self.dead = True
            raise DeathError(name)


def _cancel(desk: Desk, attempt_id: AttemptId) -> None:
    batch_control.cancel(desk.resources, BatchId(desk.books.attempt(attempt_id).batch_id))


def _at_work(desk: Desk) -> AttemptId:
    """A prediction that has begun, and ends only when it is stopped."""
    desk.arm("submit", "stuck")
    (attempt_id,) = desk.submitted("a pig that takes for ever")
    until(lambda: _status(desk, attempt_id) == "processing", what="the prediction to begin")
    return attempt_id


def _status(desk: Desk, attempt_id: AttemptId) -> Any:
    address = f"{desk.url}/replicate/v1/predictions/{desk.books.attempt(attempt_id).job_id}"
    got = httpx2.get(address, headers={"Authorization": f"Bearer {desk.key}"}, trust_env=False)
    return got.json()["status"]


def test_a_prediction_that_has_begun_is_stopped_and_charged(desk: Desk) -> None:
    attempt_id = _at_work(desk)
    desk.books.sql("UPDATE attempts SET due_at = now() + interval '1 hour'")
    _cancel(desk, attempt_id)
    poll.sweep(desk.resources, "replicate")
    assert _status(desk, attempt_id) == "canceled", "the next look stood an hour away, and came at once"
    assert desk.last_word(attempt_id).state == "collecting"
    done = desk.collected(attempt_id)
    assert (done.outcome, done.charged_usd) == ("canceled", Decimal("0.15"))
    assert desk.books.generation_of(attempt_id).state == "canceled"
    assert desk.bill() == [Decimal("0.15")]


def test_a_prediction_that_has_not_begun_is_stopped_and_free(idle_desk: Desk) -> None:
    (attempt_id,) = idle_desk.submitted("a pig in the queue")
    _cancel(idle_desk, attempt_id)
    ended = idle_desk.last_word(attempt_id)
    assert (ended.state, ended.outcome, ended.hold_state) == ("finished", "canceled", "released")
    assert idle_desk.books.generation_of(attempt_id).state == "canceled"
    assert idle_desk.bill() == [Decimal(0)]


@pytest.mark.parametrize("what", ["drop_after", "truncated", "status:500_after"])
def test_a_job_that_stopped_though_the_answer_to_the_wish_was_lost_is_canceled_and_not_failed(
    desk: Desk, what: str
) -> None:
    attempt_id = _at_work(desk)
    desk.arm("cancel", what)
    _cancel(desk, attempt_id)
    assert desk.last_word(attempt_id).state == "collecting"
    assert desk.collected(attempt_id).charged_usd == Decimal("0.15")
    assert desk.books.generation_of(attempt_id).state == "canceled"
    assert desk.bill() == [Decimal("0.15")]


def test_a_wish_that_comes_too_late_keeps_the_picture_and_its_charge(desk: Desk) -> None:
    (attempt_id,) = desk.submitted("a pig that was quicker")
    until(lambda: _status(desk, attempt_id) == "succeeded", what="the prediction to end")
    _cancel(desk, attempt_id)
    assert desk.last_word(attempt_id).state == "collecting"
    assert desk.collected(attempt_id).charged_usd == Decimal("0.15")
    assert desk.books.generation_of(attempt_id).state == "canceled"
    assert len(desk.books.rows(generation_assets)) == 1


def test_who_dies_after_asking_is_followed_by_one_who_asks_again(desk: Desk) -> None:
    attempt_id = _at_work(desk)
    _cancel(desk, attempt_id)
    with pytest.raises(DeathError):
        poll.sweep(replace(desk.resources, fault_points=DiesOnce(at="poll.stop_asked")), "replicate")
    left = desk.books.attempt(attempt_id)
    assert (left.stop_asked_at, left.state) == (None, "generating")
    desk.books.sql("UPDATE attempts SET lease_until = now() - interval '1 second'")
    rescue.take_over(desk.resources)
    assert desk.last_word(attempt_id).state == "collecting"
    assert desk.books.attempt(attempt_id).stop_asked_at is not None
    assert desk.collected(attempt_id).charged_usd == Decimal("0.15")
    assert desk.bill() == [Decimal("0.15")]


def test_the_provider_is_asked_once_and_then_only_looked_at(desk: Desk) -> None:
    attempt_id = _at_work(desk)
    desk.books.sql("UPDATE attempts SET stop_asked_at = now()")  # as if it had been asked, and had not obeyed yet
    _cancel(desk, attempt_id)
    desk.books.sql("UPDATE attempts SET due_at = now()")
    poll.sweep(desk.resources, "replicate")
    assert _status(desk, attempt_id) == "processing"
    looked = desk.books.attempt(attempt_id)
    assert looked.due_at - looked.stop_asked_at < timedelta(minutes=2), "what was asked to stop is looked at soon"
    desk.books.sql("UPDATE attempts SET stop_asked_at = NULL")
    assert desk.last_word(attempt_id).state == "collecting"
    desk.collected(attempt_id)


def test_a_wish_during_a_look_is_carried_out_by_the_next(desk: Desk) -> None:
    attempt_id = _at_work(desk)

    class DuringTheLook:
        def reach(self, name: str) -> None:
            if name == "poll.answered" and desk.books.generation_of(attempt_id).cancel_requested_at is None:
                with desk.resources.database.transaction() as connection:
                    by_person.request_cancel(connection, BatchId(desk.books.attempt(attempt_id).batch_id))

    desk.books.sql("UPDATE attempts SET due_at = now()")
    poll.sweep(replace(desk.resources, fault_points=DuringTheLook()), "replicate")
    poll.sweep(desk.resources, "replicate")
    assert _status(desk, attempt_id) == "canceled"
    desk.last_word(attempt_id)
    desk.collected(attempt_id)


def test_a_provider_that_refuses_the_wish_is_not_pressed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt_id = _at_work(desk)
    elsewhere = Call(method="POST", path="/v1/nowhere")
    monkeypatch.setattr(Replicate, "build_cancel", lambda *_: elsewhere)
    _cancel(desk, attempt_id)
    poll.sweep(desk.resources, "replicate")
    left = desk.books.attempt(attempt_id)
    assert (left.state, left.stop_asked_at) == ("generating", None)
    with desk.resources.database.transaction() as connection:
        pause = polling.seconds_to_next(connection, "replicate")
    assert pause is not None
    assert pause > 0
    monkeypatch.undo()
    assert desk.last_word(attempt_id).state == "collecting", "the next look asks again"
    desk.collected(attempt_id)
