"""Accepted pictures made larger or cut out: each call with a hold and a charge, checked again, the original kept."""

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.batches import whole_story
from db.records import finishings
from db.schema import generation_assets
from db.schema_finishing import finishings as table
from domain.errors import BadInput, UnknownThing
from domain.finishing import FinishStep
from domain.ids import AttemptId
from pipeline.attempts import finishing, submit
from pipeline.operator import batch_control, finish_pictures
from pipeline.views import generations, status
from pipeline.views.export import export
from pipeline.views.generations import Wanted
from pipeline.views.report import report_of
from pipeline.views.stages import stages_of
from tests.support.replicate_runner import ReplicateRunner
from tests.support.steps import HOLD, StepRunner

UPSCALE = (FinishStep.UPSCALE,)
BACKGROUND = (FinishStep.BACKGROUND,)


def wish(runner: StepRunner) -> Any:
    (row,) = runner.books.rows(table)
    return row


def generation_of(runner: StepRunner, attempt_id: AttemptId) -> Any:
    return runner.books.generation(runner.books.attempt(attempt_id).generation_id)


def accepted(runner: StepRunner, *, finish: str | None = None) -> AttemptId:
    """A generation with a character whose picture has passed."""
    runner.character()
    order = {} if finish is None else {"settings": {"finish": finish}}
    attempt_id = runner.collecting(character="lulu", **order)
    runner.collect(attempt_id)
    runner.validate(attempt_id)
    return attempt_id


def ask(
    runner: StepRunner, attempt_id: AttemptId, steps: tuple[FinishStep, ...] = UPSCALE, *, again: bool = False
) -> int:
    with runner.resources.database.transaction() as connection:
        return finishings.ask(connection, runner.batch_of(attempt_id), steps=steps, model=None, again=again)


def one_call(runner: StepRunner) -> AttemptId:
    """The next finishing call, from its admission to its verdict."""
    assert finishing.admit_waiting(runner.resources) == 1
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    runner.validate(attempt_id)
    return attempt_id


def test_midjourney_gives_the_picture_alone_and_makes_it_larger_each_paid_and_checked(runner: StepRunner) -> None:
    first = accepted(runner, finish="upscale")
    assert wish(runner).outcome is None, "the wish waits from the verdict on"
    single = runner.books.attempt(one_call(runner))
    assert (single.kind, single.sent_prompt.split()[0], single.charged_usd) == ("finish", "upsample1", Decimal("0.02"))
    assert wish(runner).outcome is None
    larger = runner.books.attempt(one_call(runner))
    assert (larger.number, larger.sent_prompt.split()[0]) == (2, "upscale_subtle")
    assert wish(runner).outcome == "finished"
    generation = generation_of(runner, first)
    assert (generation.state, generation.cost) == ("completed", Decimal("0.06"))
    assets = runner.books.rows(generation_assets)
    kinds = [(one.asset_type, one.best) for one in assets if one.attempt_id != first]
    assert kinds == [("finished", False), ("finished", False)]
    assert sum(one.best for one in assets) == 1, "the original stays the accepted picture"
    assert runner.charged() == [Decimal("0.02")] * 3


def test_the_batch_is_over_when_its_pictures_are_finished(runner: StepRunner) -> None:
    attempt_id = accepted(runner, finish="upscale")
    batch_id = runner.batch_of(attempt_id)
    now = status.of_batch(runner.resources, batch_id)
    assert (now.progress.unfinished, now.progress.finishing, now.over) == (0, 1, False)
    one_call(runner)
    one_call(runner)
    assert status.of_batch(runner.resources, batch_id).over


def test_a_picture_that_no_longer_passes_leaves_the_original(runner: StepRunner) -> None:
    attempt_id = accepted(runner)
    ask(runner, attempt_id)
    runner.scorer.scores = (0.1,)
    one_call(runner)
    ended = wish(runner)
    assert (ended.outcome, ended.said) == (
        "rejected",
        "the finished picture no longer passes; the original stays the result",
    )
    assert generation_of(runner, attempt_id).state == "completed"
    (details,) = generations.page(runner.resources, Wanted(batch_id=runner.batch_of(attempt_id), user_id="user-1"))
    (finished,) = (one for one in details.assets if one["asset_type"] == "finished")
    (verdict,) = details.verdicts[finished["id"]]
    assert not verdict["passed"]


def test_the_same_wish_is_paid_once_unless_a_person_says_again(runner: StepRunner) -> None:
    attempt_id = accepted(runner)
    assert ask(runner, attempt_id) == 1
    assert ask(runner, attempt_id) == 0, "one is at it"
    one_call(runner)
    one_call(runner)
    assert ask(runner, attempt_id) == 0, "it is finished"
    assert ask(runner, attempt_id, again=True) == 1


def test_a_call_that_does_not_fit_is_not_made(runner: StepRunner) -> None:
    attempt_id = accepted(runner)
    runner.books.sql("UPDATE batches SET limit_usd = 0.41")
    ask(runner, attempt_id)
    assert finishing.admit_waiting(runner.resources) == 0
    ended = wish(runner)
    assert ended.outcome == "over_budget"
    assert f"{HOLD:f}" in ended.said
    runner.books.sql("UPDATE batches SET limit_usd = 1")
    assert ask(runner, attempt_id) == 1
    one_call(runner)


def test_what_it_can_cost_is_said_before(runner: StepRunner) -> None:
    accepted(runner)
    runner.books.sql("UPDATE batches SET limit_usd = 0.05")
    asked = finish_pictures.ask(runner.resources, "batch", user_id="user-1", steps=UPSCALE, dry_run=True)
    assert (asked.new, asked.at_most_usd, asked.short_usd) == (1, 2 * HOLD, 2 * HOLD - Decimal("0.03"))
    assert runner.books.rows(table) == []


def test_a_lost_reply_is_in_doubt_and_nobody_asks_again(runner: StepRunner) -> None:
    attempt_id = accepted(runner)
    ask(runner, attempt_id)
    finishing.admit_waiting(runner.resources)
    (call,) = runner.sent.take("submit")
    runner.caller.arm({"where": "submit", "what": "drop_after"})
    runner.submit(call)
    row = runner.books.attempt(call)
    assert (row.state, row.hold_state) == ("in_doubt", "in_doubt")
    assert finishing.admit_waiting(runner.resources) == 0
    assert generation_of(runner, attempt_id).state == "completed"


def test_a_call_that_fails_is_tried_again_and_then_given_up(runner: StepRunner) -> None:
    attempt_id = accepted(runner)
    ask(runner, attempt_id)
    for _ in range(runner.resources.timing.generation_tries):
        runner.caller.arm({"where": "submit", "what": "failed_body:Execution error"})
        runner.books.sql("UPDATE finishings SET not_before = NULL")
        runner.open_lanes()
        assert finishing.admit_waiting(runner.resources) == 1
        (call,) = runner.sent.take("submit")
        runner.submit(call)
        runner.until_made(call)
    ended = wish(runner)
    assert ended.outcome == "failed"
    assert "Execution error" in ended.said
    assert generation_of(runner, attempt_id).state == "completed"


def test_the_finished_picture_is_shown_and_exported_beside_the_original(runner: StepRunner, tmp_path: Path) -> None:
    attempt_id = accepted(runner, finish="upscale")
    one_call(runner)
    one_call(runner)
    batch_id = runner.batch_of(attempt_id)
    (line,) = report_of(runner.resources, batch_id).generations
    assert line.best is not None
    assert [(one.label, one.passed) for one in line.assets if one.label not in "0123"] == [("finished.2", True)]
    assert (line.best.label, line.tries) == ("0", 1)
    done = export(runner.resources, batch_id, tmp_path)
    assert (done.written, sorted(one.name for one in tmp_path.glob("*.png"))) == (
        2,
        ["batch-0000-upscale.png", "batch-0000.png"],
    )
    (details,) = generations.page(runner.resources, Wanted(batch_id=batch_id, user_id="user-1"))
    assert [one["name"] for one in stages_of(details)][-2:] == ["finishing", "finishing"]
    shown = Console(width=200, file=io.StringIO(), record=True)
    for part in whole_story.whole(runner.resources, details):
        shown.print(part)
    assert "finish 2" in shown.export_text()


def test_a_batch_is_asked_for_by_name_and_a_picture_by_its_row(runner: StepRunner) -> None:
    accepted(runner)
    asked = finish_pictures.ask(runner.resources, "batch/0", user_id="user-1", steps=UPSCALE)
    assert (asked.new, asked.status.progress.finishing, len(runner.sent.take("submit"))) == (1, 1, 1)
    assert finish_pictures.ask(runner.resources, "batch", user_id="user-1", steps=UPSCALE).new == 0
    with pytest.raises(BadInput, match="--upscale, --remove-background"):
        finish_pictures.ask(runner.resources, "batch", user_id="user-1", steps=())
    with pytest.raises(UnknownThing):
        finish_pictures.ask(runner.resources, "no such batch", user_id="user-1", steps=UPSCALE)
    with pytest.raises(BadInput, match="does not do 'upscale'"):
        finish_pictures.ask(runner.resources, "batch", user_id="user-1", steps=UPSCALE, model="bria/remove-background")


def test_a_person_cancels_what_waits(runner: StepRunner) -> None:
    attempt_id = accepted(runner, finish="upscale")
    batch_control.cancel(runner.resources, runner.batch_of(attempt_id))
    assert wish(runner).outcome == "canceled"
    assert finishing.admit_waiting(runner.resources) == 0


def test_a_person_cancels_a_call_that_is_not_sent_yet(runner: StepRunner) -> None:
    attempt_id = accepted(runner, finish="upscale")
    finishing.admit_waiting(runner.resources)
    (call,) = runner.sent.take("submit")
    batch_control.cancel(runner.resources, runner.batch_of(attempt_id))
    row = runner.books.attempt(call)
    assert (row.state, row.outcome, row.hold_state) == ("finished", "canceled", "released")
    assert (wish(runner).outcome, wish(runner).attempt_id) == ("canceled", None)
    runner.submit(call)
    assert (finishing.admit_waiting(runner.resources), runner.charged()) == (0, [Decimal("0.02")])
    assert generation_of(runner, attempt_id).state == "completed"


def test_a_call_at_work_that_a_person_cancels_is_charged_and_no_other_follows(runner: StepRunner) -> None:
    attempt_id = accepted(runner, finish="upscale")
    finishing.admit_waiting(runner.resources)
    (call,) = runner.sent.take("submit")
    runner.submit(call)
    done = batch_control.cancel(runner.resources, runner.batch_of(attempt_id))
    assert (done.asked, done.finishing, wish(runner).outcome) == (0, 1, None)
    runner.until_made(call)
    runner.collect(call)
    runner.validate(call)
    row = runner.books.attempt(call)
    assert (row.state, row.outcome, row.hold_state) == ("finished", "canceled", "charged")
    assert wish(runner).outcome == "canceled"
    assert finishing.admit_waiting(runner.resources) == 0, "the second step is not made"
    assert len([one for one in runner.books.rows(generation_assets) if one.attempt_id == call and one.r2_key]) == 1
    assert (generation_of(runner, attempt_id).state, len(runner.charged())) == ("completed", 2)


def test_a_failure_after_a_cancel_is_not_tried_again(runner: StepRunner) -> None:
    attempt_id = accepted(runner, finish="upscale")
    finishing.admit_waiting(runner.resources)
    (call,) = runner.sent.take("submit")
    runner.caller.arm({"where": "submit", "what": "failed_body:Execution error"})
    runner.submit(call)
    batch_control.cancel(runner.resources, runner.batch_of(attempt_id))
    runner.until_made(call)
    assert (wish(runner).outcome, runner.books.attempt(call).hold_state) == ("canceled", "released")
    assert generation_of(runner, attempt_id).state == "completed"


def test_a_provider_that_can_is_asked_to_stop_a_finishing_call(replicate_runner: ReplicateRunner) -> None:
    (attempt_id,) = replicate_runner.submitted("a fox on a beach", finish="upscale", resolution="1K")
    replicate_runner.last_word(attempt_id)
    replicate_runner.collected(attempt_id)
    finishing.admit_waiting(replicate_runner.resources)
    (call,) = replicate_runner.sent.take("submit")
    replicate_runner.arm("submit", "stuck")
    submit.submit(replicate_runner.resources, call)
    batch_control.cancel(replicate_runner.resources, replicate_runner.books.attempt(call).batch_id)
    assert replicate_runner.last_word(call).stop_asked_at is not None
    assert replicate_runner.collected(call).outcome == "canceled"
    (ended,) = replicate_runner.books.rows(table)
    assert ended.outcome == "canceled"


def test_a_rehearsal_stays_with_the_stand_in(runner: StepRunner) -> None:
    with pytest.raises(BadInput, match="stay with the stand-in"):
        runner.enqueue("a pig", settings={"finish": "background"})
    attempt_id = accepted(runner)
    ask(runner, attempt_id, BACKGROUND)
    assert finishing.admit_waiting(runner.resources) == 0
    assert (wish(runner).outcome, runner.charged()) == ("failed", [Decimal("0.02")])


def finish(replicate_runner: ReplicateRunner) -> Any:
    assert finishing.admit_waiting(replicate_runner.resources) == 1
    (call,) = replicate_runner.sent.take("submit")
    assert submit.submit(replicate_runner.resources, call) is None
    replicate_runner.last_word(call)
    return replicate_runner.collected(call)


def test_a_model_of_the_catalogue_takes_the_picture_without_words(replicate_runner: ReplicateRunner) -> None:
    (attempt_id,) = replicate_runner.submitted("a fox on a beach", finish="background upscale", resolution="1K")
    replicate_runner.last_word(attempt_id)
    replicate_runner.collected(attempt_id)
    larger = finish(replicate_runner)
    assert (larger.model, larger.charged_usd) == ("recraft-ai/recraft-crisp-upscale", Decimal("0.006"))
    cut = finish(replicate_runner)
    assert (cut.model, cut.charged_usd) == ("bria/remove-background", Decimal("0.018"))
    (row,) = replicate_runner.books.rows(table)
    assert (row.outcome, row.steps, row.wanted) == ("finished", [], "upscale background")
    original, twice, same = sorted(replicate_runner.books.rows(generation_assets), key=lambda one: one.created_at)
    assert [one.asset_type for one in (original, twice, same)] == ["image", "finished", "finished"]
    assert (twice.width, same.width) == (2 * original.width, 2 * original.width)
    assert replicate_runner.bill() == [Decimal("0.15"), Decimal("0.006"), Decimal("0.018")]


def test_a_doubt_about_a_finishing_call_is_settled_by_the_list(replicate_runner: ReplicateRunner) -> None:
    (attempt_id,) = replicate_runner.submitted("a fox on a beach", finish="upscale", resolution="1K")
    replicate_runner.last_word(attempt_id)
    replicate_runner.collected(attempt_id)
    finishing.admit_waiting(replicate_runner.resources)
    (call,) = replicate_runner.sent.take("submit")
    replicate_runner.arm("submit", "drop_after")
    submit.submit(replicate_runner.resources, call)
    assert replicate_runner.books.attempt(call).state == "in_doubt"
    replicate_runner.settle()
    assert replicate_runner.books.attempt(call).state == "generating"
    replicate_runner.last_word(call)
    replicate_runner.collected(call)
    (row,) = replicate_runner.books.rows(table)
    assert row.outcome == "finished"
    assert replicate_runner.bill() == [Decimal("0.15"), Decimal("0.006")]
