"""What becomes of an attempt when its one paid call goes wrong, at each point at which it can."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.errors import NotSent, ProviderDown
from pipeline.attempts.outcome import Again
from pipeline.attempts.submit import submit
from pipeline.process.measures import Unmeasured
from tests.support.steps import HOLD, PRICE, QUICK, Bench, with_events


def _closed_for(bench: Bench) -> float:
    closed_until = bench.lane().closed_until
    return 0.0 if closed_until is None else float((closed_until - datetime.now(UTC)).total_seconds())


@pytest.mark.parametrize(
    "what",
    ["drop_before", "drop_after", "truncated", "html", "html_after", "status:500", "status:500_after", "status:408"],
)
def test_a_reply_that_proves_nothing_puts_the_attempt_in_doubt(bench: Bench, what: str) -> None:
    bench.caller.arm({"where": "submit", "what": what, "count": 1, "match": "pig"})
    attempt_id = bench.admitted("a pig")
    assert bench.submit(attempt_id) is None
    row = bench.books.attempt(attempt_id)
    assert (row.state, row.hold_state, row.error_code) == ("in_doubt", "in_doubt", "maybe_sent")
    assert bench.books.row(row.batch_id).in_doubt_usd == HOLD
    assert bench.submit(attempt_id) is None, "nobody submits it again"
    assert len(bench.charged()) == int(what in {"drop_after", "truncated", "html_after", "status:500_after"})
    assert bench.lane().last_error is not None


class _Noting(Unmeasured):
    """Keeps which calls were measured, and how they ended."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, str]] = []

    def called(self, lane: str, call: str, *, seconds: float, outcome: str) -> None:
        assert seconds >= 0
        self.calls.append((lane, call, outcome))


def test_calls_are_measured_by_their_outcome(bench: Bench) -> None:
    noting = _Noting()
    measured = replace(bench, resources=replace(bench.resources, measures=noting))
    measured.caller.arm({"where": "submit", "what": "drop_after", "count": 1, "match": "pig"})
    measured.submit(measured.admitted("a pig"))
    measured.submit(measured.admitted("a cow"))
    assert noting.calls == [("sandbox", "submit", "MaybeSent"), ("sandbox", "submit", "ok")]


def test_a_doubt_is_never_admitted_published_or_submitted_again(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "drop_after", "count": 1, "match": "pig"})
    attempt_id = bench.admitted("a pig")
    bench.submit(attempt_id)
    bench.due()
    bench.books.lapse()
    bench.rescue()
    assert bench.admit() == []
    assert bench.sent.tasks == []
    assert bench.books.attempt(attempt_id).state == "in_doubt"
    assert len(bench.charged()) == 1


def test_a_refused_connection_is_tried_again_with_the_same_attempt(bench: Bench) -> None:
    def refuse() -> None:
        raise NotSent("connection refused")

    attempt_id = bench.admitted("a pig")
    down = with_events(bench, before=refuse)
    for tries in (1, 2):
        again = down.submit(attempt_id)
        assert again == Again(timedelta(seconds=0.5 * 2 ** (tries - 1)))
        row = bench.books.attempt(attempt_id)
        assert (row.state, row.hold_state, row.step_tries, row.intent_at) == ("admitted", "held", tries, None)
        bench.due()
    assert bench.submit(attempt_id) is None
    assert bench.books.attempt(attempt_id).state == "generating"
    assert len(bench.charged()) == 1


def test_a_provider_that_cannot_be_reached_closes_its_lane_and_costs_no_try(bench: Bench) -> None:
    def refuse() -> None:
        raise NotSent("connection refused")

    attempt_id = bench.admitted("a pig")
    down = with_events(bench, before=refuse)
    while down.submit(attempt_id) is not None:
        bench.due()
    row, generation = bench.books.attempt(attempt_id), bench.books.generation_of(attempt_id)
    assert (row.outcome, row.hold_state) == ("given_back", "released")
    assert (generation.state, generation.tries, generation.error_code) == ("queued", 0, "not_sent")
    assert 20 < _closed_for(bench) <= 30
    assert bench.admit() == []
    bench.open_lanes()
    (again,) = bench.admit()
    bench.submit(again)
    assert bench.books.attempt(again).state == "generating"


@pytest.mark.parametrize(
    ("what", "code", "seconds"),
    [("status:429", "rate_limited", 5), ("status:499", "queue_full", 5), ("status:402", "out_of_money", 300)],
)
def test_a_refusal_of_the_account_closes_the_lane_and_gives_the_place_back(
    bench: Bench, what: str, code: str, seconds: int
) -> None:
    bench.caller.arm({"where": "submit", "what": what, "count": 1})
    attempt_id = bench.admitted("a pig")
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.tries, generation.error_code) == ("queued", 0, code)
    assert bench.books.attempt(attempt_id).outcome == "given_back"
    assert bench.lane().reason.startswith(code)
    assert seconds - 5 < _closed_for(bench) <= seconds
    bench.open_lanes()
    (again,) = bench.admit()
    bench.submit(again)
    assert bench.books.attempt(again).state == "generating"
    assert bench.charged() == [PRICE]


def test_a_wrong_key_closes_the_lane(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "status:401", "count": 1})
    attempt_id = bench.admitted("a pig")
    bench.submit(attempt_id)
    assert bench.books.generation_of(attempt_id).error_code == "key_refused"
    assert _closed_for(bench) > 60


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("status:400", "request_refused"),
        ("refused:[Banned prompt detected] naked", "content_refused"),
        ("refused:[Invalid parameter] --foo", "request_refused"),
    ],
)
def test_a_refusal_of_the_request_ends_the_generation_and_costs_nothing(bench: Bench, what: str, code: str) -> None:
    bench.caller.arm({"where": "submit", "what": what, "count": 1})
    attempt_id = bench.admitted("a pig")
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", code, 0)
    assert _closed_for(bench) <= 0
    assert bench.charged() == []


def test_a_prompt_that_is_refused_in_unknown_words_ends_after_its_tries_and_stops_nobody_else(bench: Bench) -> None:
    bench.caller.arm({"where": "submit", "what": "refused:The prompt is too long", "match": "poison"})
    poison = bench.admitted("poison")
    for tries in range(1, QUICK.generation_tries + 1):
        while bench.submit(poison) is not None:
            bench.due()
        row, generation = bench.books.attempt(poison), bench.books.generation_of(poison)
        assert (row.outcome, row.hold_state, generation.tries) == ("failed", "released", tries)
        assert bench.lane().closed_until is None
        if tries < QUICK.generation_tries:
            assert (generation.state, generation.error_code) == ("queued", "job_failed")
            assert generation.not_before is not None
            bench.due()
            (poison,) = bench.admit()
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "job_failed", 0)
    assert "The prompt is too long" in generation.error_message
    bench.submit(bench.admitted("a pig", name="another batch"))
    assert bench.charged() == [PRICE]


def test_a_banned_prompt_is_refused_for_its_content(bench: Bench) -> None:
    attempt_id = bench.admitted("a naked pig")
    bench.submit(attempt_id)
    if bench.books.attempt(attempt_id).state == "generating":
        bench.until_made(attempt_id)
    assert bench.books.generation_of(attempt_id).error_code == "content_refused"
    assert bench.books.generation_of(attempt_id).state == "failed"
    assert sum(bench.charged()) == 0


def test_a_closed_lane_gives_the_attempt_back_unsent(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    bench.books.sql("UPDATE lanes SET closed_until = now() + interval '1 hour', reason = 'a person'")
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.tries) == ("queued", 0)
    assert bench.charged() == []
    assert bench.submit(attempt_id) is None


def test_a_worker_without_the_lanes_key_gives_the_attempt_back(bench: Bench) -> None:
    attempt_id = bench.admitted("a pig")
    submit(replace(bench.resources, lanes={}), attempt_id)
    assert bench.books.generation_of(attempt_id).state == "queued"
    assert bench.lane().reason.startswith("service_missing")


def test_a_reference_that_is_gone_keeps_the_generation_waiting(bench: Bench, home: Path) -> None:
    bench.character()
    attempt_id = bench.admitted("a pig", character="lulu")
    for file in (home / "pictures" / "references").rglob("*.png"):
        file.unlink()
    assert bench.submit(attempt_id) is None
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.tries) == ("queued", "service_missing", 0)
    assert generation.not_before is not None
    assert bench.charged() == []


def test_a_failed_upload_of_the_reference_is_tried_again_later(bench: Bench) -> None:
    def fail() -> None:
        raise ProviderDown("503")

    bench.character()
    attempt_id = bench.admitted("a pig", character="lulu")
    with_events(bench, upload=fail).submit(attempt_id)
    assert bench.books.generation_of(attempt_id).state == "queued"
    bench.due()
    (again,) = bench.admit()
    bench.submit(again)
    assert bench.books.attempt(again).state == "generating"
