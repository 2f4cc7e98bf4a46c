"""People who cancel, and workers who die, come back late, or take their leases with them, at every step."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from db.moves import by_person, rescue
from db.schema import generation_assets
from domain.ids import AttemptId
from pipeline.attempts import collect
from pipeline.process.leases import Leases
from pipeline.process.poison_gate import PoisonGate
from storage.base import Stored
from tests.support.sandbox_client import until
from tests.support.steps import PREPROCESSING, PRICE, StepRunner


def _cancel(runner: StepRunner, attempt_id: AttemptId) -> None:
    with runner.books.database.transaction() as connection:
        by_person.request_cancel(connection, runner.batch_of(attempt_id))


@pytest.mark.parametrize("state", ["queued", "admitted", "generating", "collecting", "validating"])
def test_a_cancel_at_any_state_ends_canceled_with_what_was_paid_in_the_books(runner: StepRunner, state: str) -> None:
    if state == "validating":
        attempt_id = runner.validating()
    else:
        attempt_id = {
            "queued": runner.admitted,
            "admitted": runner.admitted,
            "generating": runner.generating,
            "collecting": runner.collecting,
        }[state]("a pig")
    if state == "queued":
        runner.books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'x'")
        runner.submit(attempt_id)
    assert runner.books.generation_of(attempt_id).state == state
    _cancel(runner, attempt_id)
    runner.rescue()
    if state == "generating":
        runner.until_made(attempt_id)
    runner.collect(attempt_id)
    runner.validate(attempt_id)
    paid = state in {"generating", "collecting", "validating"}
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("canceled", PRICE if paid else 0)
    assert len(runner.books.rows(generation_assets)) == (4 if paid else 0)
    assert sum(runner.charged()) == generation.cost
    assert runner.books.live() == []


def test_a_worker_that_dies_while_fetching_is_taken_over(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    runner.sent.tasks.clear()
    runner.books.claim_collection(attempt_id)
    assert runner.collect(attempt_id) is None, "somebody is at it"
    runner.books.lapse()
    runner.rescue()
    assert runner.sent.take("collect") == [attempt_id]
    assert runner.collect(attempt_id) is None
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.outcome) == ("finished", "completed")


def test_a_worker_that_dies_while_checking_is_taken_over(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    runner.sent.tasks.clear()
    runner.books.claim_validation(attempt_id)
    runner.books.lapse()
    runner.rescue()
    assert runner.sent.take("validate") == [attempt_id]
    runner.validate(attempt_id)
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_worker_that_dies_while_looking_is_taken_over(runner: StepRunner) -> None:
    attempt_id = runner.generating("a pig")
    runner.due()
    runner.books.polled(attempt_id)
    assert runner.sweep() == 0
    runner.books.lapse()
    runner.rescue()
    runner.until_made(attempt_id)
    assert runner.books.attempt(attempt_id).deaths == 0, "the next step starts with none"


def test_a_step_that_kills_every_worker_is_poison_after_the_third_death(runner: StepRunner) -> None:
    attempt_id = runner.collecting("a pig")
    for _ in range(3):
        assert runner.books.attempt(attempt_id).state == "collecting"
        runner.due()
        runner.books.claim_collection(attempt_id)
        runner.books.lapse()
        runner.rescue()
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "poison", PRICE)
    assert "3 workers died" in generation.error_message


def test_deaths_of_a_sweep_never_poison_a_paid_job(runner: StepRunner) -> None:
    attempt_id = runner.generating("a pig")
    for _ in range(5):
        runner.due()
        runner.books.polled(attempt_id)
        runner.books.lapse()
        runner.rescue()
    assert runner.books.attempt(attempt_id).state == "generating"
    runner.until_made(attempt_id)


def test_a_worker_that_comes_back_after_its_lease_writes_nothing_twice(runner: StepRunner) -> None:
    """It was stopped while it fetched; meanwhile another one has finished the attempt."""
    attempt_id = runner.collecting("a pig")
    store = runner.resources.store

    class Slow:
        def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
            with lock:
                if runner.books.attempt(attempt_id).state == "collecting":
                    runner.books.lapse()
                    with runner.books.database.transaction() as connection:
                        rescue.bury(connection)
                    assert runner.collect(attempt_id) is None
            stored: Stored = store.put(content, ending=ending, prefix=prefix)
            return stored

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

    lock = threading.Lock()
    slow = replace(runner.resources, store=Slow(), poison_gate=PoisonGate())  # a process of its own
    assert collect.collect(slow, attempt_id, preprocessing=PREPROCESSING) is None
    assert len(runner.books.rows(generation_assets)) == 4
    assert runner.books.generation_of(attempt_id).state == "completed"


def _buried(runner: StepRunner) -> int:
    with runner.books.database.transaction() as connection:
        return len(rescue.bury(connection))


def test_a_lease_in_use_is_renewed_and_a_dropped_one_is_not(runner: StepRunner) -> None:
    leases = Leases(runner.books.database, seconds=0.6)
    attempt_id = runner.collecting("a pig")
    held = leases.new()
    try:
        runner.books.claim_collection(attempt_id, held)
        first = runner.books.attempt(attempt_id).lease_until
        with leases.held(held):
            until(lambda: runner.books.attempt(attempt_id).lease_until > first + timedelta(seconds=1), what="renewals")
        until(lambda: _buried(runner), what="the end of a lease that nobody renews")
    finally:
        leases.close()
    assert runner.books.attempt(attempt_id).deaths == 1
