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
from tests.support.replicate_desk import Desk
from tests.support.steps import HOLD, Bench

UPSCALE = (FinishStep.UPSCALE,)
BACKGROUND = (FinishStep.BACKGROUND,)


def wish(bench: Bench) -> Any:
    (row,) = bench.books.rows(table)
    return row


def generation_of(bench: Bench, attempt_id: AttemptId) -> Any:
    return bench.books.generation(bench.books.attempt(attempt_id).generation_id)


def accepted(bench: Bench, *, finish: str | None = None) -> AttemptId:
    """A generation with a character whose picture has passed."""
    bench.character()
    order = {} if finish is None else {"settings": {"finish": finish}}
    attempt_id = bench.collecting(character="lulu", **order)
    bench.collect(attempt_id)
    bench.validate(attempt_id)
    return attempt_id


def ask(bench: Bench, attempt_id: AttemptId, steps: tuple[FinishStep, ...] = UPSCALE, *, again: bool = False) -> int:
    with bench.resources.database.transaction() as connection:
        return finishings.ask(connection, bench.batch_of(attempt_id), steps=steps, model=None, again=again)


def one_call(bench: Bench) -> AttemptId:
    """The next finishing call, from its admission to its verdict."""
    assert finishing.admit_waiting(bench.resources) == 1
    (attempt_id,) = bench.sent.take("submit")
    bench.submit(attempt_id)
    bench.until_made(attempt_id)
    bench.collect(attempt_id)
    bench.validate(attempt_id)
    return attempt_id


def test_midjourney_gives_the_picture_alone_and_makes_it_larger_each_paid_and_checked(bench: Bench) -> None:
    first = accepted(bench, finish="upscale")
    assert wish(bench).outcome is None, "the wish waits from the verdict on"
    single = bench.books.attempt(one_call(bench))
    assert (single.kind, single.sent_prompt.split()[0], single.charged_usd) == ("finish", "upsample1", Decimal("0.02"))
    assert wish(bench).outcome is None
    larger = bench.books.attempt(one_call(bench))
    assert (larger.number, larger.sent_prompt.split()[0]) == (2, "upscale_subtle")
    assert wish(bench).outcome == "finished"
    generation = generation_of(bench, first)
    assert (generation.state, generation.cost) == ("completed", Decimal("0.06"))
    assets = bench.books.rows(generation_assets)
    kinds = [(one.asset_type, one.best) for one in assets if one.attempt_id != first]
    assert kinds == [("finished", False), ("finished", False)]
    assert sum(one.best for one in assets) == 1, "the original stays the accepted picture"
    assert bench.charged() == [Decimal("0.02")] * 3


def test_the_batch_is_over_when_its_pictures_are_finished(bench: Bench) -> None:
    attempt_id = accepted(bench, finish="upscale")
    batch_id = bench.batch_of(attempt_id)
    now = status.of_batch(bench.resources, batch_id)
    assert (now.progress.unfinished, now.progress.finishing, now.over) == (0, 1, False)
    one_call(bench)
    one_call(bench)
    assert status.of_batch(bench.resources, batch_id).over


def test_a_picture_that_no_longer_passes_leaves_the_original(bench: Bench) -> None:
    attempt_id = accepted(bench)
    ask(bench, attempt_id)
    bench.scorer.scores = (0.1,)
    one_call(bench)
    ended = wish(bench)
    assert (ended.outcome, ended.said) == (
        "rejected",
        "the finished picture no longer passes; the original stays the result",
    )
    assert generation_of(bench, attempt_id).state == "completed"
    (details,) = generations.page(bench.resources, Wanted(batch_id=bench.batch_of(attempt_id), user_id="user-1"))
    (finished,) = (one for one in details.assets if one["asset_type"] == "finished")
    (verdict,) = details.verdicts[finished["id"]]
    assert not verdict["passed"]


def test_the_same_wish_is_paid_once_unless_a_person_says_again(bench: Bench) -> None:
    attempt_id = accepted(bench)
    assert ask(bench, attempt_id) == 1
    assert ask(bench, attempt_id) == 0, "one is at it"
    one_call(bench)
    one_call(bench)
    assert ask(bench, attempt_id) == 0, "it is finished"
    assert ask(bench, attempt_id, again=True) == 1


def test_a_call_that_does_not_fit_is_not_made(bench: Bench) -> None:
    attempt_id = accepted(bench)
    bench.books.sql("UPDATE batches SET limit_usd = 0.41")
    ask(bench, attempt_id)
    assert finishing.admit_waiting(bench.resources) == 0
    ended = wish(bench)
    assert ended.outcome == "over_budget"
    assert f"{HOLD:f}" in ended.said
    bench.books.sql("UPDATE batches SET limit_usd = 1")
    assert ask(bench, attempt_id) == 1
    one_call(bench)


def test_what_it_can_cost_is_said_before(bench: Bench) -> None:
    accepted(bench)
    bench.books.sql("UPDATE batches SET limit_usd = 0.05")
    asked = finish_pictures.ask(bench.resources, "batch", user_id="user-1", steps=UPSCALE, dry_run=True)
    assert (asked.new, asked.at_most_usd, asked.short_usd) == (1, 2 * HOLD, 2 * HOLD - Decimal("0.03"))
    assert bench.books.rows(table) == []


def test_a_lost_reply_is_in_doubt_and_nobody_asks_again(bench: Bench) -> None:
    attempt_id = accepted(bench)
    ask(bench, attempt_id)
    finishing.admit_waiting(bench.resources)
    (call,) = bench.sent.take("submit")
    bench.caller.arm({"where": "submit", "what": "drop_after"})
    bench.submit(call)
    row = bench.books.attempt(call)
    assert (row.state, row.hold_state) == ("in_doubt", "in_doubt")
    assert finishing.admit_waiting(bench.resources) == 0
    assert generation_of(bench, attempt_id).state == "completed"


def test_a_call_that_fails_is_tried_again_and_then_given_up(bench: Bench) -> None:
    attempt_id = accepted(bench)
    ask(bench, attempt_id)
    for _ in range(bench.resources.timing.generation_tries):
        bench.caller.arm({"where": "submit", "what": "failed_body:Execution error"})
        bench.books.sql("UPDATE finishings SET not_before = NULL")
        bench.open_lanes()
        assert finishing.admit_waiting(bench.resources) == 1
        (call,) = bench.sent.take("submit")
        bench.submit(call)
        bench.until_made(call)
    ended = wish(bench)
    assert ended.outcome == "failed"
    assert "Execution error" in ended.said
    assert generation_of(bench, attempt_id).state == "completed"


def test_the_finished_picture_is_shown_and_exported_beside_the_original(bench: Bench, tmp_path: Path) -> None:
    attempt_id = accepted(bench, finish="upscale")
    one_call(bench)
    one_call(bench)
    batch_id = bench.batch_of(attempt_id)
    (line,) = report_of(bench.resources, batch_id).generations
    assert line.best is not None
    assert [(one.label, one.passed) for one in line.assets if one.label not in "0123"] == [("finished.2", True)]
    assert (line.best.label, line.tries) == ("0", 1)
    done = export(bench.resources, batch_id, tmp_path)
    assert (done.written, sorted(one.name for one in tmp_path.glob("*.png"))) == (
        2,
        ["batch-0000-upscale.png", "batch-0000.png"],
    )
    (details,) = generations.page(bench.resources, Wanted(batch_id=batch_id, user_id="user-1"))
    assert [one["name"] for one in stages_of(details)][-2:] == ["finishing", "finishing"]
    shown = Console(width=200, file=io.StringIO(), record=True)
    for part in whole_story.whole(bench.resources, details):
        shown.print(part)
    assert "finish 2" in shown.export_text()


def test_a_batch_is_asked_for_by_name_and_a_picture_by_its_row(bench: Bench) -> None:
    accepted(bench)
    asked = finish_pictures.ask(bench.resources, "batch/0", user_id="user-1", steps=UPSCALE)
    assert (asked.new, asked.status.progress.finishing, len(bench.sent.take("submit"))) == (1, 1, 1)
    assert finish_pictures.ask(bench.resources, "batch", user_id="user-1", steps=UPSCALE).new == 0
    with pytest.raises(BadInput, match="--upscale, --remove-background"):
        finish_pictures.ask(bench.resources, "batch", user_id="user-1", steps=())
    with pytest.raises(UnknownThing):
        finish_pictures.ask(bench.resources, "no such batch", user_id="user-1", steps=UPSCALE)
    with pytest.raises(BadInput, match="does not do 'upscale'"):
        finish_pictures.ask(bench.resources, "batch", user_id="user-1", steps=UPSCALE, model="bria/remove-background")


def test_a_person_cancels_what_waits(bench: Bench) -> None:
    attempt_id = accepted(bench, finish="upscale")
    batch_control.cancel(bench.resources, bench.batch_of(attempt_id))
    assert wish(bench).outcome == "canceled"
    assert finishing.admit_waiting(bench.resources) == 0


def test_a_person_cancels_a_call_that_is_not_sent_yet(bench: Bench) -> None:
    attempt_id = accepted(bench, finish="upscale")
    finishing.admit_waiting(bench.resources)
    (call,) = bench.sent.take("submit")
    batch_control.cancel(bench.resources, bench.batch_of(attempt_id))
    row = bench.books.attempt(call)
    assert (row.state, row.outcome, row.hold_state) == ("finished", "canceled", "released")
    assert (wish(bench).outcome, wish(bench).attempt_id) == ("canceled", None)
    bench.submit(call)
    assert (finishing.admit_waiting(bench.resources), bench.charged()) == (0, [Decimal("0.02")])
    assert generation_of(bench, attempt_id).state == "completed"


def test_a_call_at_work_that_a_person_cancels_is_charged_and_no_other_follows(bench: Bench) -> None:
    attempt_id = accepted(bench, finish="upscale")
    finishing.admit_waiting(bench.resources)
    (call,) = bench.sent.take("submit")
    bench.submit(call)
    done = batch_control.cancel(bench.resources, bench.batch_of(attempt_id))
    assert (done.asked, done.finishing, wish(bench).outcome) == (0, 1, None)
    bench.until_made(call)
    bench.collect(call)
    bench.validate(call)
    row = bench.books.attempt(call)
    assert (row.state, row.outcome, row.hold_state) == ("finished", "canceled", "charged")
    assert wish(bench).outcome == "canceled"
    assert finishing.admit_waiting(bench.resources) == 0, "the second step is not made"
    assert len([one for one in bench.books.rows(generation_assets) if one.attempt_id == call and one.r2_key]) == 1
    assert (generation_of(bench, attempt_id).state, len(bench.charged())) == ("completed", 2)


def test_a_failure_after_a_cancel_is_not_tried_again(bench: Bench) -> None:
    attempt_id = accepted(bench, finish="upscale")
    finishing.admit_waiting(bench.resources)
    (call,) = bench.sent.take("submit")
    bench.caller.arm({"where": "submit", "what": "failed_body:Execution error"})
    bench.submit(call)
    batch_control.cancel(bench.resources, bench.batch_of(attempt_id))
    bench.until_made(call)
    assert (wish(bench).outcome, bench.books.attempt(call).hold_state) == ("canceled", "released")
    assert generation_of(bench, attempt_id).state == "completed"


def test_a_provider_that_can_is_asked_to_stop_a_finishing_call(replicate_desk: Desk) -> None:
    desk = replicate_desk
    (attempt_id,) = desk.submitted("a fox on a beach", finish="upscale", resolution="1K")
    desk.last_word(attempt_id)
    desk.collected(attempt_id)
    finishing.admit_waiting(desk.resources)
    (call,) = desk.sent.take("submit")
    desk.arm("submit", "stuck")
    submit.submit(desk.resources, call)
    batch_control.cancel(desk.resources, desk.books.attempt(call).batch_id)
    assert desk.last_word(call).stop_asked_at is not None
    assert desk.collected(call).outcome == "canceled"
    (ended,) = desk.books.rows(table)
    assert ended.outcome == "canceled"


def test_a_rehearsal_stays_with_the_stand_in(bench: Bench) -> None:
    with pytest.raises(BadInput, match="stay with the stand-in"):
        bench.enqueue("a pig", settings={"finish": "background"})
    attempt_id = accepted(bench)
    ask(bench, attempt_id, BACKGROUND)
    assert finishing.admit_waiting(bench.resources) == 0
    assert (wish(bench).outcome, bench.charged()) == ("failed", [Decimal("0.02")])


def finish(desk: Desk) -> Any:
    assert finishing.admit_waiting(desk.resources) == 1
    (call,) = desk.sent.take("submit")
    assert submit.submit(desk.resources, call) is None
    desk.last_word(call)
    return desk.collected(call)


def test_a_model_of_the_catalogue_takes_the_picture_without_words(replicate_desk: Desk) -> None:
    desk = replicate_desk
    (attempt_id,) = desk.submitted("a fox on a beach", finish="background upscale", resolution="1K")
    desk.last_word(attempt_id)
    desk.collected(attempt_id)
    larger = finish(desk)
    assert (larger.model, larger.charged_usd) == ("recraft-ai/recraft-crisp-upscale", Decimal("0.006"))
    cut = finish(desk)
    assert (cut.model, cut.charged_usd) == ("bria/remove-background", Decimal("0.018"))
    (row,) = desk.books.rows(table)
    assert (row.outcome, row.steps, row.wanted) == ("finished", [], "upscale background")
    original, twice, same = sorted(desk.books.rows(generation_assets), key=lambda one: one.created_at)
    assert [one.asset_type for one in (original, twice, same)] == ["image", "finished", "finished"]
    assert (twice.width, same.width) == (2 * original.width, 2 * original.width)
    assert desk.bill() == [Decimal("0.15"), Decimal("0.006"), Decimal("0.018")]


def test_a_doubt_about_a_finishing_call_is_settled_by_the_list(replicate_desk: Desk) -> None:
    desk = replicate_desk
    (attempt_id,) = desk.submitted("a fox on a beach", finish="upscale", resolution="1K")
    desk.last_word(attempt_id)
    desk.collected(attempt_id)
    finishing.admit_waiting(desk.resources)
    (call,) = desk.sent.take("submit")
    desk.arm("submit", "drop_after")
    submit.submit(desk.resources, call)
    assert desk.books.attempt(call).state == "in_doubt"
    desk.settle()
    assert desk.books.attempt(call).state == "generating"
    desk.last_word(call)
    desk.collected(call)
    (row,) = desk.books.rows(table)
    assert row.outcome == "finished"
    assert desk.bill() == [Decimal("0.15"), Decimal("0.006")]
