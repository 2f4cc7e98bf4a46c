"""A provider that fails everybody delays a batch; a prompt that fails alone ends. Real Postgres, the real sandbox."""

from collections import Counter
from datetime import timedelta

import pytest

from db.schema import attempts, generations
from domain.ids import AttemptId
from tests.support.steps import HOLD, PRICE, QUICK, StepRunner


def _states(runner: StepRunner) -> Counter[str]:
    return Counter(row.state for row in runner.books.rows(generations))


def _closed_for(runner: StepRunner, *, seconds: int) -> bool:
    """Whether the lane is closed for so long, counted from the fault that closed it."""
    ended = [row.finished_at for row in runner.books.rows(attempts) if row.finished_at is not None]
    return runner.lane().closed_until - timedelta(seconds=seconds) in ended


def _carry(runner: StepRunner, attempt_id: AttemptId) -> None:
    """To the provider's last word, with the tries of the submission that a refusal takes."""
    while runner.submit(attempt_id) is not None:
        runner.books.sql("UPDATE attempts SET published_at = now() - interval '1 second' WHERE state = 'admitted'")
    if runner.books.attempt(attempt_id).state == "generating":
        runner.until_made(attempt_id)


def _round(runner: StepRunner) -> int:
    """Everything that is admitted now is carried to its end, and what fails waits no longer; how many that were."""
    runner.due()
    under_way = [*runner.sent.take("submit"), *runner.admit()]
    for attempt_id in under_way:
        _carry(runner, attempt_id)
    return len(under_way)


@pytest.mark.parametrize("what", ["failed_body:[Internal error] busy", "refused:[Internal error] busy"])
def test_an_outage_delays_a_batch_and_fails_none_of_it(runner: StepRunner, what: str) -> None:
    runner.caller.arm({"where": "submit", "what": what})
    runner.enqueue(*[f"pig {number}" for number in range(12)])
    for pause in (30, 60, 120, 240, 480, 600, 600):
        while _round(runner):
            pass
        assert _states(runner) == {"queued": 12}
        assert runner.lane().reason.startswith("repeated_faults: ")
        assert "busy" in runner.lane().reason
        assert _closed_for(runner, seconds=pause)
        runner.open_lanes()
    assert sum(row.tries for row in runner.books.rows(generations)) == 4, "those before the run was one"
    runner.caller.clear()
    while _round(runner):
        pass
    assert _states(runner) == {"collecting": 12}
    assert sum(runner.charged()) == 12 * PRICE


def test_the_fifth_fault_in_a_row_closes_the_lane_and_what_is_under_way_is_given_back(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy"})
    batch = runner.enqueue(*[f"pig {number}" for number in range(7)]).batch_id
    under_way = runner.sent.take("submit")
    for attempt_id in under_way:
        runner.submit(attempt_id)
    for attempt_id in under_way:
        runner.until_made(attempt_id)
    ended = [row for row in runner.books.rows(attempts) if row.state == "finished"]
    assert Counter(row.outcome for row in ended) == {"failed": 4, "given_back": 3}
    assert _closed_for(runner, seconds=30)
    assert runner.admit() == []
    assert {row.error_code for row in ended} == {"job_failed"}
    assert runner.books.row(batch).held_usd == HOLD * len(runner.books.live())


def test_a_bad_prompt_among_good_ones_ends_after_its_tries(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy", "match": "poison"})
    runner.enqueue("poison", *[f"pig {number}" for number in range(11)])
    runner.books.sql("UPDATE lanes SET concurrency = 2")
    while _round(runner):
        assert runner.lane().reason is None
    assert _states(runner) == {"collecting": 11, "failed": 1}
    (failed,) = (row for row in runner.books.rows(generations) if row.state == "failed")
    assert (failed.prompt, failed.tries, failed.error_code) == ("poison", QUICK.generation_tries, "job_failed")


def test_a_picture_in_between_ends_the_run(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy", "match": "poison"})
    runner.enqueue(*[f"poison {number}" for number in range(4)], "a pig", "poison 4")
    for attempt_id in runner.sent.take("submit"):
        _carry(runner, attempt_id)
    assert runner.lane().reason is None
    ended = Counter(row.outcome for row in runner.books.rows(attempts) if row.state == "finished")
    assert ended == {"failed": 5}


def test_a_batch_of_bad_prompts_cannot_shut_a_neighbour_out(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "refused:The prompt is too long", "match": "poison"})
    runner.enqueue(*[f"poison {number}" for number in range(10)], name="bad")
    _round(runner)
    assert runner.lane().reason.startswith("repeated_faults: 5 attempts")
    runner.open_lanes()
    runner.enqueue("a pig", name="good")
    _round(runner)
    states = _states(runner)
    assert (states["collecting"], states["failed"]) == (1, 0)
