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
from tests.support.replicate_runner import ReplicateRunner, runner_of
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
def runner(database: Database, quick: str, sent: Sent, home: Path) -> Iterator[ReplicateRunner]:
    with runner_of(database, url=quick, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def idle_runner(database: Database, slow: str, sent: Sent, home: Path) -> Iterator[ReplicateRunner]:
    with runner_of(database, url=slow, sent=sent, home=home) as opened:
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


def _cancel(runner: ReplicateRunner, attempt_id: AttemptId) -> None:
    batch_control.cancel(runner.resources, BatchId(runner.books.attempt(attempt_id).batch_id))


def _at_work(runner: ReplicateRunner) -> AttemptId:
    """A prediction that has begun, and ends only when it is stopped."""
    runner.arm("submit", "stuck")
    (attempt_id,) = runner.submitted("a pig that takes for ever")
    until(lambda: _status(runner, attempt_id) == "processing", what="the prediction to begin")
    return attempt_id


def _status(runner: ReplicateRunner, attempt_id: AttemptId) -> Any:
    address = f"{runner.url}/replicate/v1/predictions/{runner.books.attempt(attempt_id).job_id}"
    got = httpx2.get(address, headers={"Authorization": f"Bearer {runner.key}"}, trust_env=False)
    return got.json()["status"]


def test_a_prediction_that_has_begun_is_stopped_and_charged(runner: ReplicateRunner) -> None:
    attempt_id = _at_work(runner)
    runner.books.sql("UPDATE attempts SET due_at = now() + interval '1 hour'")
    _cancel(runner, attempt_id)
    poll.sweep(runner.resources, "replicate")
    assert _status(runner, attempt_id) == "canceled", "the next look stood an hour away, and came at once"
    assert runner.last_word(attempt_id).state == "collecting"
    done = runner.collected(attempt_id)
    assert (done.outcome, done.charged_usd) == ("canceled", Decimal("0.15"))
    assert runner.books.generation_of(attempt_id).state == "canceled"
    assert runner.bill() == [Decimal("0.15")]


def test_a_prediction_that_has_not_begun_is_stopped_and_free(idle_runner: ReplicateRunner) -> None:
    (attempt_id,) = idle_runner.submitted("a pig in the queue")
    _cancel(idle_runner, attempt_id)
    ended = idle_runner.last_word(attempt_id)
    assert (ended.state, ended.outcome, ended.hold_state) == ("finished", "canceled", "released")
    assert idle_runner.books.generation_of(attempt_id).state == "canceled"
    assert idle_runner.bill() == [Decimal(0)]


@pytest.mark.parametrize("what", ["drop_after", "truncated", "status:500_after"])
def test_a_job_that_stopped_though_the_answer_to_the_wish_was_lost_is_canceled_and_not_failed(
    runner: ReplicateRunner, what: str
) -> None:
    attempt_id = _at_work(runner)
    runner.arm("cancel", what)
    _cancel(runner, attempt_id)
    assert runner.last_word(attempt_id).state == "collecting"
    assert runner.collected(attempt_id).charged_usd == Decimal("0.15")
    assert runner.books.generation_of(attempt_id).state == "canceled"
    assert runner.bill() == [Decimal("0.15")]


def test_a_wish_that_comes_too_late_keeps_the_picture_and_its_charge(runner: ReplicateRunner) -> None:
    (attempt_id,) = runner.submitted("a pig that was quicker")
    until(lambda: _status(runner, attempt_id) == "succeeded", what="the prediction to end")
    _cancel(runner, attempt_id)
    assert runner.last_word(attempt_id).state == "collecting"
    assert runner.collected(attempt_id).charged_usd == Decimal("0.15")
    assert runner.books.generation_of(attempt_id).state == "canceled"
    assert len(runner.books.rows(generation_assets)) == 1


def test_who_dies_after_asking_is_followed_by_one_who_asks_again(runner: ReplicateRunner) -> None:
    attempt_id = _at_work(runner)
    _cancel(runner, attempt_id)
    with pytest.raises(DeathError):
        poll.sweep(replace(runner.resources, fault_points=DiesOnce(at="poll.stop_asked")), "replicate")
    left = runner.books.attempt(attempt_id)
    assert (left.stop_asked_at, left.state) == (None, "generating")
    runner.books.sql("UPDATE attempts SET lease_until = now() - interval '1 second'")
    rescue.take_over(runner.resources)
    assert runner.last_word(attempt_id).state == "collecting"
    assert runner.books.attempt(attempt_id).stop_asked_at is not None
    assert runner.collected(attempt_id).charged_usd == Decimal("0.15")
    assert runner.bill() == [Decimal("0.15")]


def test_the_provider_is_asked_once_and_then_only_looked_at(runner: ReplicateRunner) -> None:
    attempt_id = _at_work(runner)
    runner.books.sql("UPDATE attempts SET stop_asked_at = now()")  # as if it had been asked, and had not obeyed yet
    _cancel(runner, attempt_id)
    runner.books.sql("UPDATE attempts SET due_at = now()")
    poll.sweep(runner.resources, "replicate")
    assert _status(runner, attempt_id) == "processing"
    looked = runner.books.attempt(attempt_id)
    assert looked.due_at - looked.stop_asked_at < timedelta(minutes=2), "what was asked to stop is looked at soon"
    runner.books.sql("UPDATE attempts SET stop_asked_at = NULL")
    assert runner.last_word(attempt_id).state == "collecting"
    runner.collected(attempt_id)


def test_a_wish_during_a_look_is_carried_out_by_the_next(runner: ReplicateRunner) -> None:
    attempt_id = _at_work(runner)

    class DuringTheLook:
        def reach(self, name: str) -> None:
            if name == "poll.answered" and runner.books.generation_of(attempt_id).cancel_requested_at is None:
                with runner.resources.database.transaction() as connection:
                    by_person.request_cancel(connection, BatchId(runner.books.attempt(attempt_id).batch_id))

    runner.books.sql("UPDATE attempts SET due_at = now()")
    poll.sweep(replace(runner.resources, fault_points=DuringTheLook()), "replicate")
    poll.sweep(runner.resources, "replicate")
    assert _status(runner, attempt_id) == "canceled"
    runner.last_word(attempt_id)
    runner.collected(attempt_id)


def test_a_provider_that_refuses_the_wish_is_not_pressed(
    runner: ReplicateRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_id = _at_work(runner)
    elsewhere = Call(method="POST", path="/v1/nowhere")
    monkeypatch.setattr(Replicate, "build_cancel", lambda *_: elsewhere)
    _cancel(runner, attempt_id)
    poll.sweep(runner.resources, "replicate")
    left = runner.books.attempt(attempt_id)
    assert (left.state, left.stop_asked_at) == ("generating", None)
    with runner.resources.database.transaction() as connection:
        pause = polling.seconds_to_next(connection, "replicate")
    assert pause is not None
    assert pause > 0
    monkeypatch.undo()
    assert runner.last_word(attempt_id).state == "collecting", "the next look asks again"
    runner.collected(attempt_id)
