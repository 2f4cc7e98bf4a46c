"""A rejected generation tries again where its batch allows it: step by step, within the budget, and never unasked."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from db.records import closed_loop, history
from db.records.history import HistoryRow
from db.schema import attempts, generation_assets
from db.session import Database
from domain.escalation import read_steps, try_policy_of
from domain.ids import AttemptId, GenerationId
from domain.states import GenerationState
from pipeline.doubts import by_person
from pipeline.operator import batch_control
from pipeline.views import status
from pipeline.views.report import report_of
from reports.tries import sentences, summarize_tries
from tests.conftest import Sent
from tests.support.steps import EXAMPLE, HOLD, PRICE, FixedScorer, StepRunner, runner_of

OFF_MODEL = 0.5
ON_MODEL = 0.9


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        opened.character()
        yield opened
        with database.transaction() as connection:
            assert closed_loop.paid_unasked(connection) == []


def _enqueue(runner: StepRunner, *, max_tries: int | None = 4, escalate: str = "weight", **order: Any) -> AttemptId:
    """The first attempt of a batch of one prompt with a weak reference."""
    policy = try_policy_of(max_tries=max_tries, escalate=read_steps(escalate))
    wanted = {"settings": {"cref_weight": 25}, "character": "lulu", "try_policy": policy, **order}
    runner.enqueue("a pig", **wanted)
    return runner.sent.take("submit")[0]


def _try(runner: StepRunner, attempt_id: AttemptId, core: float) -> None:
    """Carry an admitted attempt to its verdict: its best picture scores `core`."""
    runner.scorer.scores = (core - 0.1, core, core - 0.2, core - 0.1)
    assert runner.submit(attempt_id) is None
    runner.until_made(attempt_id)
    assert runner.collect(attempt_id) is None
    assert runner.validate(attempt_id) is None
    runner.sent.tasks.clear()


def _next(runner: StepRunner) -> AttemptId:
    (attempt_id,) = runner.admit()
    return attempt_id


def _history(runner: StepRunner, attempt_id: AttemptId) -> list[HistoryRow]:
    with runner.resources.database.transaction() as connection:
        return history.of(connection, GenerationId(runner.books.attempt(attempt_id).generation_id))


def _state(runner: StepRunner, attempt_id: AttemptId) -> str:
    return str(runner.books.generation_of(attempt_id).state)


def test_nothing_is_tried_again_unasked(runner: StepRunner) -> None:
    runner.enqueue("a pig", character="lulu", settings={"cref_weight": 25})
    (attempt_id,) = runner.sent.take("submit")
    _try(runner, attempt_id, OFF_MODEL)
    assert _state(runner, attempt_id) == "rejected"
    assert runner.admit() == []
    assert _history(runner, attempt_id) == []
    assert runner.charged() == [PRICE]


def test_each_try_has_a_stronger_reference_until_one_passes(runner: StepRunner) -> None:
    first = _enqueue(runner)
    _try(runner, first, OFF_MODEL)
    waiting = runner.books.generation_of(first)
    assert (waiting.state, waiting.changes["settings"]) == ("queued", {"cref_weight": 50})
    second = _next(runner)
    _try(runner, second, 0.6)
    third = _next(runner)
    _try(runner, third, ON_MODEL)
    assert _state(runner, third) == "completed"
    weights = [runner.books.attempt(one).sent_prompt.partition("--cw ")[2][:2] for one in (first, second, third)]
    assert weights == ["25", "50", "75"]
    assert [runner.books.attempt(one).outcome for one in (first, second, third)] == [
        "rejected",
        "rejected",
        "completed",
    ]
    assert runner.books.generation_of(third).cost == 3 * PRICE
    assert runner.charged() == [PRICE] * 3


def test_every_decision_is_written_down(runner: StepRunner) -> None:
    first = _enqueue(runner, max_tries=2)
    _try(runner, first, OFF_MODEL)
    second = _next(runner)
    _try(runner, second, 0.6)
    asked, stopped = _history(runner, first)
    assert (asked.attempt_id, asked.from_state, asked.to_state) == (first, "validating", "queued")
    assert (asked.actor, asked.reason) == ("closed loop", "try 2: cw 25 → 50")
    assert asked.detail == {
        "try": 2,
        "step": "weight",
        "says": "cw 25 → 50",
        "from": "cw 25",
        "to": "cw 50",
        "hold_usd": "0.40",
        "before": {"core": OFF_MODEL, "style": 0.9},
    }
    assert (stopped.attempt_id, stopped.to_state) == (second, "rejected")
    assert stopped.reason.startswith("2 of 2 tries are used up")
    assert runner.admit() == []


def test_the_best_picture_of_all_tries_stands_for_the_generation(runner: StepRunner) -> None:
    first = _enqueue(runner, max_tries=3)
    _try(runner, first, 0.5)
    second = _next(runner)
    _try(runner, second, 0.7)
    third = _next(runner)
    _try(runner, third, 0.6)
    assert _state(runner, third) == "rejected"
    best = [(one.attempt_id, one.position) for one in runner.books.rows(generation_assets) if one.best]
    assert best == [(second, 1)]
    assert len(runner.books.rows(generation_assets)) == 12


def test_it_ends_when_no_step_up_is_left(runner: StepRunner) -> None:
    first = _enqueue(runner, max_tries=10, settings={"cref_weight": 75})
    _try(runner, first, OFF_MODEL)
    _try(runner, second := _next(runner), OFF_MODEL)
    assert _state(runner, second) == "rejected"
    assert _history(runner, second)[-1].reason.startswith("no step up is left")


def test_the_budget_holds_for_further_tries_and_raising_it_goes_on(runner: StepRunner) -> None:
    first = _enqueue(runner, limit_usd=Decimal("0.41"))
    _try(runner, first, OFF_MODEL)
    assert _state(runner, first) == "queued"
    assert runner.admit() == []
    batch_id = runner.batch_of(first)
    stopped = status.of_batch(runner.resources, batch_id)
    assert (stopped.batch.stopped_reason, stopped.over) == ("budget", True)
    assert stopped.batch.charged_usd + stopped.batch.held_usd == PRICE
    batch_control.resume(runner.resources, batch_id, limit_usd=HOLD + PRICE)
    (second,) = runner.sent.take("submit")
    _try(runner, second, ON_MODEL)
    assert _state(runner, second) == "completed"


def test_a_pause_keeps_it_queued(runner: StepRunner) -> None:
    first = _enqueue(runner)
    batch_control.pause(runner.resources, runner.batch_of(first), reason="look first")
    _try(runner, first, OFF_MODEL)
    assert runner.admit() == []
    assert _state(runner, first) == "queued"
    batch_control.resume(runner.resources, runner.batch_of(first))
    assert len(runner.sent.take("submit")) == 1


def test_a_cancel_keeps_the_pictures_and_asks_for_no_more(runner: StepRunner) -> None:
    first = _enqueue(runner)
    runner.scorer.scores = (OFF_MODEL,)
    runner.submit(first)
    batch_control.cancel(runner.resources, runner.batch_of(first))
    runner.until_made(first)
    runner.collect(first)
    runner.validate(first)
    assert _state(runner, first) == "canceled"
    assert runner.admit() == []
    assert len(runner.books.rows(generation_assets)) == 4
    assert {one.actor for one in _history(runner, first)} == {history.PERSON}


def test_a_further_try_that_fails_leaves_the_pictures_of_the_earlier_ones(runner: StepRunner) -> None:
    first = _enqueue(runner)
    _try(runner, first, OFF_MODEL)
    second = _next(runner)
    runner.caller.arm({"where": "submit", "what": "failed_body:[Banned prompt detected] gore", "count": 1})
    assert runner.submit(second) is None
    runner.until_made(second)
    generation = runner.books.generation_of(second)
    assert (generation.state, generation.error_code) == ("rejected", None)
    assert runner.books.attempt(second).error_code is not None
    assert [one.attempt_id for one in runner.books.rows(generation_assets) if one.best] == [first]
    assert _history(runner, second)[-1].reason.startswith("the further try failed")


def test_a_doubt_about_a_further_try_is_settled_by_its_own_request(runner: StepRunner) -> None:
    """Under a seed of the user's own the two requests differ in the weight alone."""
    first = _enqueue(runner, settings={"cref_weight": 25, "seed": 7})
    _try(runner, first, OFF_MODEL)
    second = _next(runner)
    runner.caller.arm({"where": "submit", "what": "drop_after", "count": 1})
    assert runner.submit(second) is None
    assert runner.books.attempt(second).state == "in_doubt"
    assert by_person.settle_by_listing(runner.resources, "sandbox") == 1
    adopted = runner.books.attempt(second)
    assert adopted.state == "generating"
    assert adopted.job_id != runner.books.attempt(first).job_id
    assert len(runner.charged()) == 2


def test_failures_that_cost_nothing_are_counted_from_the_last_verdict(runner: StepRunner) -> None:
    first = _enqueue(runner)
    _try(runner, first, OFF_MODEL)
    runner.books.sql("UPDATE generations SET tries = 3, changes = changes || '{\"since\": 3}'")
    second = _next(runner)
    runner.caller.arm({"where": "submit", "what": "failed_body:Job Timeout", "count": 1})
    runner.submit(second)
    runner.until_made(second)
    assert _state(runner, second) == "queued"


def test_the_best_picture_is_varied(runner: StepRunner) -> None:
    first = _enqueue(runner, escalate="action", max_tries=3)
    _try(runner, first, OFF_MODEL)
    action = runner.books.generation_of(first).changes["action"]
    assert action == {
        "job_id": runner.books.attempt(first).job_id,
        "name": "variation2",
        "lane": "sandbox",
        "position": 1,
    }
    second = _next(runner)
    _try(runner, second, 0.6)
    varied = runner.books.attempt(second)
    assert varied.changes["action"] == action
    assert runner.books.generation_of(second).changes["action"]["job_id"] == varied.job_id
    assert len(runner.charged()) == 2


def test_all_references_go_along_where_some_were_named(runner: StepRunner) -> None:
    runner.books.sql(
        "INSERT INTO character_references (character_id, position, sha256, r2_key, media_type, width, height)"
        " SELECT character_id, 1, sha256, r2_key, media_type, width, height FROM character_references"
    )
    named = runner.resources.lanes["sandbox"].upload_reference(EXAMPLE.read_bytes(), "image/png")
    first = _enqueue(runner, escalate="weight,references", settings={"cref_urls": [named], "cref_weight": 100})
    _try(runner, first, OFF_MODEL)
    assert runner.books.generation_of(first).changes["settings"] == {"cref_urls": None}
    assert _history(runner, first)[-1].reason == "try 2: references 1 → 2"
    second = _next(runner)
    _try(runner, second, ON_MODEL)
    references = [runner.books.attempt(one).sent_prompt.count("/_sandbox/files/") for one in (first, second)]
    assert references == [1, 2]


def test_a_policy_is_no_part_of_what_a_row_is(runner: StepRunner) -> None:
    """The same file under another policy goes on with the same generations, and the new policy holds for them."""
    first = _enqueue(runner, max_tries=None, escalate="weight")
    policy = try_policy_of(max_tries=3)
    again = runner.enqueue("a pig", settings={"cref_weight": 25}, character="lulu", try_policy=policy)
    assert (again.new, again.known) == (0, 1)
    _try(runner, first, OFF_MODEL)
    assert _state(runner, first) == "queued"


def test_a_rejected_generation_is_not_taken_up_by_another_run_of_its_file(runner: StepRunner) -> None:
    runner.enqueue("a pig", character="lulu", settings={"cref_weight": 25})
    (first,) = runner.sent.take("submit")
    _try(runner, first, OFF_MODEL)
    again = runner.enqueue(
        "a pig", character="lulu", settings={"cref_weight": 25}, try_policy=try_policy_of(max_tries=3)
    )
    assert (again.new, _state(runner, first)) == (0, "rejected")
    assert runner.admit() == []


def test_a_policy_that_comes_afterwards_takes_the_rejected_ones_up(runner: StepRunner) -> None:
    runner.enqueue("a pig", "a cow", character="lulu", settings={"cref_weight": 25})
    first, other = runner.sent.take("submit")
    _try(runner, first, OFF_MODEL)
    runner.books.sql("UPDATE generations SET settings = '{\"cref_weight\": 100}' WHERE prompt = 'a cow'")
    _try(runner, other, OFF_MODEL)
    said = try_policy_of(max_tries=2, escalate=read_steps("weight"))
    done = batch_control.try_further(runner.resources, runner.batch_of(first), said=said)
    assert (done.queued, done.left) == (1, 1)
    (second,) = runner.sent.take("submit")
    assert runner.submit(second) is None
    assert "--cw 50" in runner.books.attempt(second).sent_prompt
    runner.until_made(second)
    runner.collect(second)
    runner.scorer.scores = (0.6,)
    runner.validate(second)
    assert _state(runner, second) == "rejected"
    assert batch_control.try_further(runner.resources, runner.batch_of(first), said=said).queued == 0


def test_a_policy_that_comes_while_a_picture_is_checked_holds_for_its_verdict(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim of the check came too early to see it, and `try_further` finds no rejection yet."""
    runner.enqueue("a pig", character="lulu", settings={"cref_weight": 25})
    (first,) = runner.sent.take("submit")
    score = FixedScorer.score

    def allowing(scorer: FixedScorer, *pictures: Any, **options: Any) -> Any:
        said = try_policy_of(max_tries=2, escalate=read_steps("weight"))
        assert batch_control.try_further(runner.resources, runner.batch_of(first), said=said).queued == 0
        return score(scorer, *pictures, **options)

    monkeypatch.setattr(FixedScorer, "score", allowing)
    _try(runner, first, OFF_MODEL)
    assert _state(runner, first) == "queued"


def test_a_person_who_asks_again_starts_the_count_anew(runner: StepRunner) -> None:
    first = _enqueue(runner, max_tries=2)
    _try(runner, first, OFF_MODEL)
    _try(runner, _next(runner), OFF_MODEL)
    batch_control.retry(runner.resources, runner.batch_of(first), states=[GenerationState.REJECTED])
    (third,) = runner.sent.take("submit")
    _try(runner, third, OFF_MODEL)
    assert _state(runner, third) == "queued"
    _try(runner, fourth := _next(runner), OFF_MODEL)
    assert _state(runner, fourth) == "rejected"
    weights = [one.sent_prompt.partition("--cw ")[2][:2] for one in runner.books.rows(attempts)]
    assert sorted(weights) == ["25", "50", "50", "75"]


def test_the_story_of_the_tries_is_told(runner: StepRunner) -> None:
    first = _enqueue(runner, max_tries=3)
    _try(runner, first, 0.5)
    _try(runner, _next(runner), 0.6)
    batch_id = runner.batch_of(first)
    (line,) = report_of(runner.resources, batch_id).generations
    assert sentences(line) == [
        "2nd try: cw 25 → 50: 0.50 → 0.60, +0.02 USD",
        "3rd try: cw 50 → 75, waits for its turn and 0.40 USD of the budget",
    ]
    _try(runner, _next(runner), ON_MODEL)
    report = report_of(runner.resources, batch_id)
    assert sentences(report.generations[0])[-1] == "3rd try: cw 50 → 75: 0.60 → 0.90, +0.02 USD"
    loop = summarize_tries(report)
    assert loop is not None
    assert loop.sentence == "The first tries gave 0 accepted pictures, further ones 1 more for 0.04 USD."
    assert [(step.changed, step.made, step.accepted) for step in loop.steps] == [
        ("first try", 1, 0),
        ("cw 25 → 50", 1, 0),
        ("cw 50 → 75", 1, 1),
    ]


def test_a_verdict_is_not_lost_because_no_further_try_can_be_planned(runner: StepRunner) -> None:
    first = _enqueue(runner)
    runner.books.sql("UPDATE generations SET model = 'taken out of the catalogue'")
    _try(runner, first, OFF_MODEL)
    assert _state(runner, first) == "rejected"
    assert runner.books.attempt(first).outcome == "rejected"
    (said,) = _history(runner, first)
    assert said.reason.startswith("no further try can be planned (")
