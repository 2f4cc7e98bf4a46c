"""`--model auto`: decided when its turn comes, kept with its propensity, held for, followed after a rejection."""

from typing import Any
from uuid import uuid4

import pytest

from db.records import routing as rows
from db.schema import attempts, generations
from db.schema_learning import routing_decisions
from domain.access import LOCAL_TEAM
from domain.errors import BadInput
from domain.escalation import Escalation, try_policy_of
from domain.ids import BatchId, GenerationId
from domain.preparation import Known
from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare as plan
from pipeline.intake.single import Single, order_of
from pipeline.learning import routing
from pipeline.preparing import enhancement, prepare
from pipeline.views.routing import routing_report
from providers.catalogue import load
from tests.support.books import USER
from tests.support.steps import StepRunner


def prepare_all(runner: StepRunner) -> None:
    for generation_id, _ in runner.sent.prepared:
        assert prepare.prepare(runner.resources, generation_id) is None
    runner.sent.prepared.clear()


def finished(runner: StepRunner) -> None:
    """Carry the one admitted attempt to its verdict."""
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    runner.validate(attempt_id)


def test_the_choice_is_kept_with_everything_needed_to_judge_it(runner: StepRunner) -> None:
    runner.enqueue("a pig in a hat", model="auto")
    assert runner.books.rows(generations)[0].state == "preparing"
    prepare_all(runner)
    (generation,), (decision,) = runner.books.rows(generations), runner.books.rows(routing_decisions)
    assert generation.state == "admitted"
    assert (decision.generation_id, decision.number, decision.model) == (generation.id, 1, generation.model)
    shares = {one["model"]: one["propensity"] for one in decision.candidates}
    assert len(shares) > 1
    assert sum(shares.values()) == pytest.approx(1)
    assert decision.propensity == pytest.approx(shares[decision.model])
    (record,) = [one for one in generation.pipeline_data["stages"] if one["name"] == "routing"]
    assert record["added"] == {"provider": "sandbox", "model": generation.model}
    assert record["detail"]["propensity"] == decision.propensity


def test_the_hold_is_that_of_the_chosen_model(runner: StepRunner) -> None:
    runner.enqueue("a pig", model="auto")
    prepare_all(runner)
    (generation,), (attempt,) = runner.books.rows(generations), runner.books.rows(attempts)
    assert attempt.model == generation.model
    assert attempt.hold_usd == generation.hold_usd
    (chosen,) = [one for one in runner.books.rows(routing_decisions)[0].candidates if one["model"] == generation.model]
    assert float(chosen["usd"]) == pytest.approx(float(generation.price_usd))


def test_a_decision_is_made_once_however_often_it_is_asked_for(runner: StepRunner) -> None:
    runner.enqueue("a pig", model="auto")
    prepare_all(runner)
    (row,) = runner.books.rows(routing_decisions)
    with runner.resources.database.transaction() as connection:
        other = rows.RoutingDecision(
            number=1, context="x", candidates=[], model="other", provider="p", propensity=0.5, version="v"
        )
        kept = rows.keep(connection, GenerationId(row.generation_id), other)
    assert (kept.model, kept.propensity) == (row.model, row.propensity)


def test_running_the_file_again_makes_nothing_twice_whatever_is_believed_by_then(runner: StepRunner) -> None:
    runner.enqueue("a pig", "a cow", model="auto")
    prepare_all(runner)
    again = runner.enqueue("a pig", "a cow", model="auto")
    assert (again.new, again.known) == (0, 2)
    assert len(runner.books.rows(generations)) == 2


def test_only_as_many_are_decided_ahead_as_the_lanes_take_soon(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "_ROUTED_AHEAD", 3)
    runner.enqueue(*(f"pig {number}" for number in range(30)), model="auto")
    assert len(runner.sent.prepared) == 3
    runner.enqueue(*(f"cow {number}" for number in range(3)), model="auto", name="another")
    assert len(runner.sent.prepared) >= 6
    runner.sent.prepared.clear()
    # Those that nobody took are published again, and no others.
    prepare.publish_waiting(runner.resources)
    assert len(runner.sent.prepared) == 6


def test_a_deadline_leaves_the_models_out_that_are_usually_slower(runner: StepRunner) -> None:
    slow, quick = ({"mode": mode, "overdue_after_s": 200} for mode in ("relax", "fast"))
    runner.enqueue("a pig", name="slow", model="auto", settings=slow)
    runner.enqueue("a cow", name="quick", model="auto", settings=quick)
    runner.enqueue("a fox", name="named", model="midjourney-v7", settings=slow, preparation={"enhance": "off"})
    prepare_all(runner)
    rows = {row.prompt: row for row in runner.books.rows(generations)}
    assert {prompt: row.state for prompt, row in rows.items()} == {
        "a pig": "failed",
        "a cow": "admitted",
        "a fox": "admitted",
    }
    assert "usually takes 300 s" in rows["a pig"].error_message


def test_a_named_model_in_a_prepared_batch_is_a_frozen_arm(runner: StepRunner) -> None:
    runner.enqueue("a pig", model="midjourney-v6.1", preparation={"enhance": "off"})
    prepare_all(runner)
    (decision,) = runner.books.rows(routing_decisions)
    assert (decision.model, decision.propensity) == ("midjourney-v6.1", 1.0)


def test_a_rejection_goes_on_with_the_cheapest_expected_model_that_is_left(runner: StepRunner) -> None:
    runner.character()
    runner.scorer.scores = (0.1,)
    policy = try_policy_of(max_tries=2, escalate=[Escalation.MODEL])
    runner.enqueue("a pig", model="auto", character="lulu", try_policy=policy)
    prepare_all(runner)
    finished(runner)
    first, second = sorted(runner.books.rows(routing_decisions), key=lambda row: row.number)
    assert (first.number, second.number) == (1, 2)
    assert second.model != first.model
    assert second.propensity == 1.0
    (generation,) = runner.books.rows(generations)
    assert (generation.state, generation.model) == ("queued", second.model)
    assert {one.model: one.accepted for one in _results(runner)} == {first.model: False}


def test_what_is_seen_of_models_changes_what_is_chosen(runner: StepRunner) -> None:
    seen = routing.beliefs(runner.resources, team=LOCAL_TEAM)
    assert seen.counts() == {}
    runner.enqueue("a pig", model="midjourney-v7")
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    assert routing.beliefs(runner.resources, team=LOCAL_TEAM).counts() == {
        ("midjourney-v7", "no character"): (1.0, 0.0)
    }
    assert routing.beliefs(runner.resources, team="others").counts() == {}


def test_a_picture_that_somebody_calls_an_outlier_was_not_accepted(runner: StepRunner) -> None:
    runner.enqueue("a pig", model="midjourney-v7")
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    (generation,) = runner.books.rows(generations)
    runner.books.sql(
        "INSERT INTO generation_feedback (generation_id, user_id, feedback_type)"
        f" VALUES ('{generation.id}', 'u', 'outlier')"
    )
    assert [one.accepted for one in _results(runner)] == [False]


def test_where_no_model_can_serve_the_sentence_says_why(runner: StepRunner) -> None:
    from learning.routing import Needs

    with pytest.raises(BadInput, match="no model can make this picture"):
        routing.decide(runner.resources, GenerationId(_any_id(runner)), [], Needs(), team=LOCAL_TEAM)


def _results(runner: StepRunner) -> list[Any]:
    with runner.resources.database.transaction() as connection:
        return list(rows.results(connection, team=LOCAL_TEAM, most=10))


def _any_id(runner: StepRunner) -> Any:
    runner.enqueue("a pig")
    return runner.books.rows(generations)[0].id


def test_the_report_says_success_cost_and_times_by_model_and_too_few_results_are_said(runner: StepRunner) -> None:
    runner.enqueue("a pig", model="auto")
    prepare_all(runner)
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    found = routing_report(runner.resources, user_id=USER, batch_id=None, model="midjourney-v7").as_json()
    (model,) = found["models"]
    assert (model["calls"], model["accepted"], model["success"]["value"]) == (1, 1, 1.0)
    assert model["generating_s"] > 0
    assert model["usd_per_accepted"] == model["charged_usd"]
    assert [one["name"] for one in found["stages"]] == ["routing"]
    assert found["decisions"] == 1
    assert {(one["policy"], one["estimator"]) for one in found["estimates"]} >= {
        ("cheapest", "ips"),
        ("midjourney-v7", "doubly_robust"),
    }
    assert all(one["said"] == "not enough data" for one in found["estimates"])
    assert routing_report(runner.resources, user_id="somebody else", batch_id=None).as_json()["models"] == []


@pytest.mark.parametrize("model", ["auto", None])
def test_words_alone_keep_their_block_style_and_negative(runner: StepRunner, model: str | None) -> None:
    single = Single(
        prompt="a pig in a hat --ar 3:4",
        model=model,
        block="by Maison Lulu",
        settings={"style": "vivid"},
        negative_prompt="rain",
    )
    order, _ = order_of(runner.resources, single, user_id=USER)
    commit(runner.resources, plan(runner.resources, order))
    prepare_all(runner)
    (row,) = runner.books.rows(generations)
    assert row.prompt == "a pig in a hat by Maison Lulu Style: vivid, dramatic, hyper-real. --ar 3:4"
    assert row.settings["negative_prompt"] == "rain"
    assert row.pipeline_data["prepare"]["prompt"] == "a pig in a hat --ar 3:4"


def test_another_model_gets_the_negative_in_its_own_way() -> None:
    known = Known(
        generation_id=GenerationId(uuid4()),
        batch_id=BatchId(uuid4()),
        user_id=USER,
        position=0,
        wishes={"block": "by Maison Lulu"},
        original="a pig",
        prompt="a pig",
        negative="rain",
        provider="ttapi",
        model="midjourney",
    )
    assert enhancement.composed_for(known, load().get("midjourney")).negative == "rain"
    other = enhancement.composed_for(known, load().get("gpt-image-1"))
    assert (other.negative, list(other.prompts)) == (None, ["a pig by Maison Lulu Without rain."])
