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
from tests.support.steps import PREPROCESSING, PRICE, Bench


def _cancel(bench: Bench, attempt_id: AttemptId) -> None:
    with bench.books.database.transaction() as connection:
        by_person.request_cancel(connection, bench.batch_of(attempt_id))


@pytest.mark.parametrize("state", ["queued", "admitted", "generating", "collecting", "validating"])
def test_a_cancel_at_any_state_ends_canceled_with_what_was_paid_in_the_books(bench: Bench, state: str) -> None:
    if state == "validating":
        attempt_id = bench.validating()
    else:
        attempt_id = {
            "queued": bench.admitted,
            "admitted": bench.admitted,
            "generating": bench.generating,
            "collecting": bench.collecting,
        }[state]("a pig")
    if state == "queued":
        bench.books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'x'")
        bench.submit(attempt_id)
    assert bench.books.generation_of(attempt_id).state == state
    _cancel(bench, attempt_id)
    bench.rescue()
    if state == "generating":
        bench.until_made(attempt_id)
    bench.collect(attempt_id)
    bench.validate(attempt_id)
    paid = state in {"generating", "collecting", "validating"}
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("canceled", PRICE if paid else 0)
    assert len(bench.books.rows(generation_assets)) == (4 if paid else 0)
    assert sum(bench.charged()) == generation.cost
    assert bench.books.live() == []


def test_a_worker_that_dies_while_fetching_is_taken_over(bench: Bench) -> None:
    attempt_id = bench.collecting("a pig")
    bench.sent.tasks.clear()
    bench.books.claim_collection(attempt_id)
    assert bench.collect(attempt_id) is None, "somebody is at it"
    bench.books.lapse()
    bench.rescue()
    assert bench.sent.take("collect") == [attempt_id]
    assert bench.collect(attempt_id) is None
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.outcome) == ("finished", "completed")


def test_a_worker_that_dies_while_checking_is_taken_over(bench: Bench) -> None:
    attempt_id = bench.validating()
    bench.sent.tasks.clear()
    bench.books.claim_validation(attempt_id)
    bench.books.lapse()
    bench.rescue()
    assert bench.sent.take("validate") == [attempt_id]
    bench.validate(attempt_id)
    assert bench.books.generation_of(attempt_id).state == "completed"


def test_a_worker_that_dies_while_looking_is_taken_over(bench: Bench) -> None:
    attempt_id = bench.generating("a pig")
    bench.due()
    bench.books.polled(attempt_id)
    assert bench.sweep() == 0
    bench.books.lapse()
    bench.rescue()
    bench.until_made(attempt_id)
    assert bench.books.attempt(attempt_id).deaths == 0, "the next step starts with none"


def test_a_step_that_kills_every_worker_is_poison_after_the_third_death(bench: Bench) -> None:
    attempt_id = bench.collecting("a pig")
    for _ in range(3):
        assert bench.books.attempt(attempt_id).state == "collecting"
        bench.due()
        bench.books.claim_collection(attempt_id)
        bench.books.lapse()
        bench.rescue()
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "poison", PRICE)
    assert "3 workers died" in generation.error_message


def test_deaths_of_a_sweep_never_poison_a_paid_job(bench: Bench) -> None:
    attempt_id = bench.generating("a pig")
    for _ in range(5):
        bench.due()
        bench.books.polled(attempt_id)
        bench.books.lapse()
        bench.rescue()
    assert bench.books.attempt(attempt_id).state == "generating"
    bench.until_made(attempt_id)


def test_a_worker_that_comes_back_after_its_lease_writes_nothing_twice(bench: Bench) -> None:
    """It was stopped while it fetched; meanwhile another one has finished the attempt."""
    attempt_id = bench.collecting("a pig")
    store = bench.resources.store

    class Slow:
        def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
            with lock:
                if bench.books.attempt(attempt_id).state == "collecting":
                    bench.books.lapse()
                    with bench.books.database.transaction() as connection:
                        rescue.bury(connection)
                    assert bench.collect(attempt_id) is None
            stored: Stored = store.put(content, ending=ending, prefix=prefix)
            return stored

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

    lock = threading.Lock()
    slow = replace(bench.resources, store=Slow(), poison_gate=PoisonGate())  # a process of its own
    assert collect.collect(slow, attempt_id, preprocessing=PREPROCESSING) is None
    assert len(bench.books.rows(generation_assets)) == 4
    assert bench.books.generation_of(attempt_id).state == "completed"


def _buried(bench: Bench) -> int:
    with bench.books.database.transaction() as connection:
        return len(rescue.bury(connection))


def test_a_lease_in_use_is_renewed_and_a_dropped_one_is_not(bench: Bench) -> None:
    leases = Leases(bench.books.database, seconds=0.6)
    attempt_id = bench.collecting("a pig")
    held = leases.new()
    try:
        bench.books.claim_collection(attempt_id, held)
        first = bench.books.attempt(attempt_id).lease_until
        with leases.held(held):
            until(lambda: bench.books.attempt(attempt_id).lease_until > first + timedelta(seconds=1), what="renewals")
        until(lambda: _buried(bench), what="the end of a lease that nobody renews")
    finally:
        leases.close()
    assert bench.books.attempt(attempt_id).deaths == 1
