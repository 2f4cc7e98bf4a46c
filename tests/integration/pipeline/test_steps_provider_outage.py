"""A provider that fails everybody delays a batch; a prompt that fails alone ends. Real Postgres, the real sandbox."""

from collections import Counter
from datetime import timedelta

import pytest

from db.schema import attempts, generations
from domain.ids import AttemptId
from tests.support.steps import HOLD, PRICE, QUICK, Bench


def _states(bench: Bench) -> Counter[str]:
    return Counter(row.state for row in bench.books.rows(generations))


def _closed_for(bench: Bench, *, seconds: int) -> bool:
    """Whether the lane is closed for so long, counted from the fault that closed it."""
    ended = [row.finished_at for row in bench.books.rows(attempts) if row.finished_at is not None]
    return bench.lane().closed_until - timedelta(seconds=seconds) in ended


def _carry(bench: Bench, attempt_id: AttemptId) -> None:
    """To the provider's last word, with the tries of the submission that a refusal takes."""
    while bench.submit(attempt_id) is not None:
        bench.books.sql("UPDATE attempts SET published_at = now() - interval '1 second' WHERE state = 'admitted'")
    if bench.books.attempt(attempt_id).state == "generating":
        bench.until_made(attempt_id)


def _round(bench: Bench) -> int:
    """Everything that is admitted now is carried to its end, and what fails waits no longer; how many that were."""
    bench.due()
    under_way = [*bench.sent.take("submit"), *bench.admit()]
    for attempt_id in under_way:
        _carry(bench, attempt_id)
    return len(under_way)


@pytest.mark.parametrize("what", ["failed_body:[Internal error] busy", "refused:[Internal error] busy"])
def test_an_outage_delays_a_batch_and_fails_none_of_it(bench: Bench, what: str) -> None:
    bench.caller.arm({"where": "submit", "what": what})
    bench.enqueue(*[f"pig {number}" for number in range(12)])
    for pause in (30, 60, 120, 240, 480, 600, 600):
        while _round(bench):
            pass
        assert _states(bench) == {"queued": 12}
        assert bench.lane().reason.startswith("repeated_faults: ")
        assert "busy" in bench.lane().reason
        assert _closed_for(bench, seconds=pause)
        bench.open_lanes()
    assert sum(row.tries for row in bench.books.rows(generations)) == 4, "those before the run was one"
    bench.caller.clear()
    while _round(bench):
        pass
    assert _states(bench) == {"collecting": 12}
    assert sum(bench.charged()) == 12 * PRICE


def test_the_fifth_fault_in_a_row_closes_the_lane_and_what_is_under_way_is_given_back(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy"})
    batch = bench.enqueue(*[f"pig {number}" for number in range(7)]).batch_id
    under_way = bench.sent.take("submit")
    for attempt_id in under_way:
        bench.submit(attempt_id)
    for attempt_id in under_way:
        bench.until_made(attempt_id)
    ended = [row for row in bench.books.rows(attempts) if row.state == "finished"]
    assert Counter(row.outcome for row in ended) == {"failed": 4, "given_back": 3}
    assert _closed_for(bench, seconds=30)
    assert bench.admit() == []
    assert {row.error_code for row in ended} == {"job_failed"}
    assert bench.books.row(batch).held_usd == HOLD * len(bench.books.live())


def test_a_bad_prompt_among_good_ones_ends_after_its_tries(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy", "match": "poison"})
    bench.enqueue("poison", *[f"pig {number}" for number in range(11)])
    bench.books.sql("UPDATE lanes SET concurrency = 2")
    while _round(bench):
        assert bench.lane().reason is None
    assert _states(bench) == {"collecting": 11, "failed": 1}
    (failed,) = (row for row in bench.books.rows(generations) if row.state == "failed")
    assert (failed.prompt, failed.tries, failed.error_code) == ("poison", QUICK.generation_tries, "job_failed")


def test_a_picture_in_between_ends_the_run(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "failed_body:[Internal error] busy", "match": "poison"})
    bench.enqueue(*[f"poison {number}" for number in range(4)], "a pig", "poison 4")
    for attempt_id in bench.sent.take("submit"):
        _carry(bench, attempt_id)
    assert bench.lane().reason is None
    ended = Counter(row.outcome for row in bench.books.rows(attempts) if row.state == "finished")
    assert ended == {"failed": 5}


def test_a_batch_of_bad_prompts_cannot_shut_a_neighbour_out(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "refused:The prompt is too long", "match": "poison"})
    bench.enqueue(*[f"poison {number}" for number in range(10)], name="bad")
    _round(bench)
    assert bench.lane().reason.startswith("repeated_faults: 5 attempts")
    bench.open_lanes()
    bench.enqueue("a pig", name="good")
    _round(bench)
    states = _states(bench)
    assert (states["collecting"], states["failed"]) == (1, 0)
