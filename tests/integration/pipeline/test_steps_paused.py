"""What becomes of attempts that were admitted before their batch was paused."""

from pipeline.operator import batch_control
from tests.support.steps import Bench


def test_an_admitted_attempt_of_a_paused_batch_goes_back_to_the_queue_unsent(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    batch_id = bench.batch_of(attempt_id)
    batch_control.pause(bench.resources, batch_id, reason="a person paused it")
    assert bench.submit(attempt_id) is None
    row, generation = bench.books.attempt(attempt_id), bench.books.generation_of(attempt_id)
    assert (row.state, row.error_message) == ("finished", "its batch is paused")
    assert (generation.state, generation.tries) == ("queued", 0)
    assert (bench.books.row(batch_id).held_usd, bench.charged(), bench.admit()) == (0, [], [])


def test_a_resumed_batch_sends_what_its_pause_gave_back(bench: Bench) -> None:
    first = bench.admitted("a pig")
    batch_id = bench.batch_of(first)
    batch_control.pause(bench.resources, batch_id, reason="a person paused it")
    bench.submit(first)
    batch_control.resume(bench.resources, batch_id)
    (second,) = bench.sent.take("submit")
    assert second != first
    assert bench.submit(second) is None
    assert bench.books.attempt(second).state == "generating"
    assert len(bench.charged()) == 1


def test_a_pause_leaves_what_is_at_a_provider_alone(bench: Bench) -> None:
    attempt_id = bench.generating("a pig")
    batch_control.pause(bench.resources, bench.batch_of(attempt_id), reason="a person paused it")
    bench.until_made(attempt_id)
    assert bench.collect(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "completed"
