"""What becomes of attempts that were admitted before their batch was paused."""

from pipeline.operator import batch_control
from tests.support.steps import StepRunner


def test_an_admitted_attempt_of_a_paused_batch_goes_back_to_the_queue_unsent(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")
    batch_id = runner.batch_of(attempt_id)
    batch_control.pause(runner.resources, batch_id, reason="a person paused it")
    assert runner.submit(attempt_id) is None
    row, generation = runner.books.attempt(attempt_id), runner.books.generation_of(attempt_id)
    assert (row.state, row.error_message) == ("finished", "its batch is paused")
    assert (generation.state, generation.tries) == ("queued", 0)
    assert (runner.books.row(batch_id).held_usd, runner.charged(), runner.admit()) == (0, [], [])


def test_a_resumed_batch_sends_what_its_pause_gave_back(runner: StepRunner) -> None:
    first = runner.admitted("a pig")
    batch_id = runner.batch_of(first)
    batch_control.pause(runner.resources, batch_id, reason="a person paused it")
    runner.submit(first)
    batch_control.resume(runner.resources, batch_id)
    (second,) = runner.sent.take("submit")
    assert second != first
    assert runner.submit(second) is None
    assert runner.books.attempt(second).state == "generating"
    assert len(runner.charged()) == 1


def test_a_pause_leaves_what_is_at_a_provider_alone(runner: StepRunner) -> None:
    attempt_id = runner.generating("a pig")
    batch_control.pause(runner.resources, runner.batch_of(attempt_id), reason="a person paused it")
    runner.until_made(attempt_id)
    assert runner.collect(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "completed"
