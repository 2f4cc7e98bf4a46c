"""What becomes of an attempt when its one paid call goes wrong, at each point at which it can."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.errors import NotSent, ProviderDown
from pipeline.attempts.outcome import Again
from pipeline.attempts.submit import submit
from pipeline.process.measures import Unmeasured
from tests.support.steps import HOLD, PRICE, QUICK, StepRunner, with_events


def _closed_for(runner: StepRunner) -> float:
    closed_until = runner.lane().closed_until
    return 0.0 if closed_until is None else float((closed_until - datetime.now(UTC)).total_seconds())


@pytest.mark.parametrize(
    "what",
    ["drop_before", "drop_after", "truncated", "html", "html_after", "status:500", "status:500_after", "status:408"],
)
def test_a_reply_that_proves_nothing_puts_the_attempt_in_doubt(runner: StepRunner, what: str) -> None:
    runner.caller.arm({"where": "submit", "what": what, "count": 1, "match": "pig"})
    attempt_id = runner.admitted("a pig")
    assert runner.submit(attempt_id) is None
    row = runner.books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.error_code) == ("in_doubt", "in_doubt", "maybe_sent")
    assert runner.books.row(row.batch_id).in_doubt_usd == HOLD
    assert runner.submit(attempt_id) is None, "nobody submits it again"
    assert len(runner.charged()) == int(what in {"drop_after", "truncated", "html_after", "status:500_after"})
    assert runner.lane().last_error is not None


class _Noting(Unmeasured):
    """Keeps which calls were measured, and how they ended."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def called(self, lane: str, call: str, *, seconds: float, outcome: str) -> None:
        assert seconds >= 0
        self.calls.append((lane, call, outcome))


def test_calls_are_measured_by_their_outcome(runner: StepRunner) -> None:
    noting = _Noting()
    measured = replace(runner, resources=replace(runner.resources, measures=noting))
    measured.caller.arm({"where": "submit", "what": "drop_after", "count": 1, "match": "pig"})
    measured.submit(measured.admitted("a pig"))
    measured.submit(measured.admitted("a cow"))
    assert noting.calls == [("sandbox", "submit", "MaybeSent"), ("sandbox", "submit", "ok")]


def test_a_doubt_is_never_admitted_published_or_submitted_again(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "drop_after", "count": 1, "match": "pig"})
    attempt_id = runner.admitted("a pig")
    runner.submit(attempt_id)
    runner.due()
    runner.books.lapse()
    runner.rescue()
    assert runner.admit() == []
    assert runner.sent.tasks == []
    assert runner.books.attempt(attempt_id).state == "in_doubt"
    assert len(runner.charged()) == 1


def test_a_refused_connection_is_tried_again_with_the_same_attempt(runner: StepRunner) -> None:
    def refuse() -> None:
        raise NotSent("connection refused")

    attempt_id = runner.admitted("a pig")
    down = with_events(runner, before=refuse)
    for tries in (1, 2):
        again = down.submit(attempt_id)
        assert again == Again(timedelta(seconds=0.5 * 2 ** (tries - 1)))
        row = runner.books.attempt(attempt_id)
        assert (row.state, row.hold_state, row.step_tries, row.intent_at) == ("admitted", "held", tries, None)
        runner.due()
    assert runner.submit(attempt_id) is None
    assert runner.books.attempt(attempt_id).state == "generating"
    assert len(runner.charged()) == 1


def test_a_provider_that_cannot_be_reached_closes_its_lane_and_costs_no_try(runner: StepRunner) -> None:
    def refuse() -> None:
        raise NotSent("connection refused")

    attempt_id = runner.admitted("a pig")
    down = with_events(runner, before=refuse)
    while down.submit(attempt_id) is not None:
        runner.due()
    row, generation = runner.books.attempt(attempt_id), runner.books.generation_of(attempt_id)
    assert (row.outcome, row.hold_state) == ("given_back", "released")
    assert (generation.state, generation.tries, generation.error_code) == ("queued", 0, "not_sent")
    assert 20 < _closed_for(runner) <= 30
    assert runner.admit() == []
    runner.open_lanes()
    (again,) = runner.admit()
    runner.submit(again)
    assert runner.books.attempt(again).state == "generating"


@pytest.mark.parametrize(
    ("what", "code", "seconds"),
    [("status:429", "rate_limited", 5), ("status:499", "queue_full", 5), ("status:402", "out_of_money", 300)],
)
def test_a_refusal_of_the_account_closes_the_lane_and_gives_the_place_back(
    runner: StepRunner, what: str, code: str, seconds: int
) -> None:
    runner.caller.arm({"where": "submit", "what": what, "count": 1})
    attempt_id = runner.admitted("a pig")
    assert runner.submit(attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.tries, generation.error_code) == ("queued", 0, code)
    assert runner.books.attempt(attempt_id).outcome == "given_back"
    assert runner.lane().reason.startswith(code)
    assert seconds - 5 < _closed_for(runner) <= seconds
    runner.open_lanes()
    (again,) = runner.admit()
    runner.submit(again)
    assert runner.books.attempt(again).state == "generating"
    assert runner.charged() == [PRICE]


def test_a_wrong_key_closes_the_lane(runner: StepRunner) -> None:
    runner.caller.arm({"where": "submit", "what": "status:401", "count": 1})
    attempt_id = runner.admitted("a pig")
    runner.submit(attempt_id)
    assert runner.books.generation_of(attempt_id).error_code == "key_refused"
    assert _closed_for(runner) > 60


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("status:400", "request_refused"),
        ("refused:[Banned prompt detected] naked", "content_refused"),
        ("refused:[Invalid parameter] --foo", "request_refused"),
    ],
)
def test_a_refusal_of_the_request_ends_the_generation_and_costs_nothing(
    runner: StepRunner, what: str, code: str
) -> None:
    runner.caller.arm({"where": "submit", "what": what, "count": 1})
    attempt_id = runner.admitted("a pig")
    assert runner.submit(attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", code, 0)
    assert _closed_for(runner) <= 0
    assert runner.charged() == []


def test_a_prompt_that_is_refused_in_unknown_words_ends_after_its_tries_and_stops_nobody_else(
    runner: StepRunner,
) -> None:
    runner.caller.arm({"where": "submit", "what": "refused:The prompt is too long", "match": "poison"})
    poison = runner.admitted("poison")
    for tries in range(1, QUICK.generation_tries + 1):
        while runner.submit(poison) is not None:
            runner.due()
        row, generation = runner.books.attempt(poison), runner.books.generation_of(poison)
        assert (row.outcome, row.hold_state, generation.tries) == ("failed", "released", tries)
        assert runner.lane().closed_until is None
        if tries < QUICK.generation_tries:
            assert (generation.state, generation.error_code) == ("queued", "job_failed")
            assert generation.not_before is not None
            runner.due()
            (poison,) = runner.admit()
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "job_failed", 0)
    assert "The prompt is too long" in generation.error_message
    runner.submit(runner.admitted("a pig", name="another batch"))
    assert runner.charged() == [PRICE]


def test_a_banned_prompt_is_refused_for_its_content(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a naked pig")
    runner.submit(attempt_id)
    if runner.books.attempt(attempt_id).state == "generating":
        runner.until_made(attempt_id)
    assert runner.books.generation_of(attempt_id).error_code == "content_refused"
    assert runner.books.generation_of(attempt_id).state == "failed"
    assert sum(runner.charged()) == 0


def test_a_closed_lane_gives_the_attempt_back_unsent(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")
    runner.books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'a person'")
    assert runner.submit(attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.tries) == ("queued", 0)
    assert runner.charged() == []
    assert runner.submit(attempt_id) is None


def test_a_worker_without_the_lanes_key_gives_the_attempt_back(runner: StepRunner) -> None:
    attempt_id = runner.admitted("a pig")
    submit(replace(runner.resources, lanes={}), attempt_id)
    assert runner.books.generation_of(attempt_id).state == "queued"
    assert runner.lane().reason.startswith("service_missing")


def test_a_reference_that_is_gone_keeps_the_generation_waiting(runner: StepRunner, home: Path) -> None:
    runner.character()
    attempt_id = runner.admitted("a pig", character="lulu")
    for file in (home / "pictures" / "references").rglob("*.png"):
        file.unlink()
    assert runner.submit(attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.tries) == ("queued", "service_missing", 0)
    assert generation.not_before is not None
    assert runner.charged() == []


def test_a_failed_upload_of_the_reference_is_tried_again_later(runner: StepRunner) -> None:
    def fail() -> None:
        raise ProviderDown("503")

    runner.character()
    attempt_id = runner.admitted("a pig", character="lulu")
    with_events(runner, upload=fail).submit(attempt_id)
    assert runner.books.generation_of(attempt_id).state == "queued"
    runner.due()
    (again,) = runner.admit()
    runner.submit(again)
    assert runner.books.attempt(again).state == "generating"
