"""The frame of the stages before the picture: recorded one by one, handed over, queued, and never done twice."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from db.moves import by_person
from db.schema import generations
from db.schema_preparation import preparations
from domain.errors import BadInput, PictureAway
from domain.ids import GenerationId
from domain.preparation import OFF, Added, Known, Place
from domain.states import GenerationState
from pipeline.preparing import prepare, stages
from pipeline.preparing.stages import Stage
from pipeline.resources import Resources
from tests.support.steps import StepRunner

WISH = {"enhance": "local"}


def writing(prompt: str, *, place: Place = Place.ANY) -> Stage:
    def run(_: Resources, known: Known) -> Added:
        return Added(prompt=f"{known.prompt}, {prompt}", inputs={"prompt": known.prompt}, detail={"version": 1})

    return Stage(name=prompt, place=lambda _: place, run=run)


@pytest.fixture
def io(runner: StepRunner) -> StepRunner:
    """A worker without a model, as the role `io` is."""
    return replace(runner, resources=replace(runner.resources, scorer=None))


def use(monkeypatch: pytest.MonkeyPatch, *used: Stage) -> None:
    monkeypatch.setattr(prepare, "STAGES", used)


def the_one(runner: StepRunner) -> GenerationId:
    (row,) = runner.books.rows(generations)
    return GenerationId(row.id)


def row_of(runner: StepRunner) -> Any:
    (row,) = runner.books.rows(generations)
    return row


def test_an_order_without_wishes_is_queued_at_once(runner: StepRunner) -> None:
    runner.enqueue("a pig")
    assert row_of(runner).state == "admitted"
    assert runner.sent.prepared == []


def test_each_stage_is_recorded_and_the_prompt_goes_into_the_queue(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = Stage(name="off", place=stages.never, run=stages.nothing)
    use(monkeypatch, writing("in red"), off, writing("at night"))
    runner.enqueue("a pig", preparation=WISH)
    assert row_of(runner).state == "preparing"
    assert runner.sent.prepared == [(the_one(runner), Place.ANY)]
    assert prepare.prepare(runner.resources, the_one(runner)) is None
    row = row_of(runner)
    assert (row.state, row.prompt) == ("admitted", "a pig, in red, at night")
    first, second, third = row.pipeline_data["stages"]
    assert [one["outcome"] for one in (first, second, third)] == ["done", "off", "done"]
    assert first["inputs"] == {"prompt": "a pig"}
    assert third["added"] == {"prompt": "a pig, in red, at night"}
    assert first["took_ms"] >= 0
    assert row.pipeline_data["prepare"] == {"prompt": "a pig", **WISH}
    assert runner.books.rows(preparations) == []


def test_a_stage_for_another_place_is_handed_over(
    io: StepRunner, runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, writing("looked at", place=Place.GPU), writing("asked about", place=Place.IO))
    io.enqueue("a pig", preparation=WISH)
    generation_id = the_one(io)
    prepare.prepare(io.resources, generation_id)
    assert io.sent.prepared[1:] == [(generation_id, Place.GPU)]
    prepare.prepare(runner.resources, generation_id)
    assert io.sent.prepared[2:] == [(generation_id, Place.IO)]
    prepare.prepare(io.resources, generation_id)
    assert row_of(io).prompt == "a pig, looked at, asked about"


def test_what_is_recorded_is_not_done_again_after_a_death(runner: StepRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def dying(resources: Resources, known: Known) -> Added:
        done.append("second")
        if len(done) == 1:
            raise KeyboardInterrupt  # as a death: nothing is written, and the lease is left behind
        return OFF

    use(monkeypatch, writing("once"), Stage(name="dies", place=lambda _: Place.ANY, run=dying))
    runner.enqueue("a pig", preparation=WISH)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(runner.resources, the_one(runner))
    assert prepare.prepare(runner.resources, the_one(runner)) is None
    assert len(done) == 1, "the lease of the dead still holds"
    runner.books.sql("UPDATE preparations SET lease_until = now() - interval '1 second'")
    runner.sent.prepared.clear()
    runner.books.sql("UPDATE preparations SET published_at = now() - interval '1 minute'")
    assert prepare.publish_waiting(runner.resources) == 1
    prepare.prepare(runner.resources, the_one(runner))
    assert row_of(runner).prompt == "a pig, once"
    assert [one["name"] for one in row_of(runner).pipeline_data["stages"]] == ["once", "dies"]


def test_a_stage_that_cannot_be_done_ends_the_generation_and_a_retry_prepares_it_again(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(resources: Resources, known: Known) -> Added:
        raise BadInput("the picture shows no garment")

    use(monkeypatch, Stage(name="analysis", place=lambda _: Place.ANY, run=refusing))
    written = runner.enqueue("a pig", preparation=WISH)
    assert prepare.prepare(runner.resources, the_one(runner)) is None
    row = row_of(runner)
    assert (row.state, row.error_code, row.error_message) == ("failed", "bad_input", "the picture shows no garment")
    with runner.resources.database.transaction() as connection:
        assert by_person.retry(connection, written.batch_id, states=[GenerationState.FAILED]) == 1
    assert row_of(runner).state == "preparing"
    use(monkeypatch, writing("in red"))
    prepare.publish_waiting(runner.resources)
    prepare.prepare(runner.resources, the_one(runner))
    assert row_of(runner).prompt == "a pig, in red"


def test_what_may_pass_is_tried_again_a_few_times(runner: StepRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(resources: Resources, known: Known) -> Added:
        raise PictureAway("the host is away")

    use(monkeypatch, Stage(name="analysis", place=lambda _: Place.ANY, run=failing))
    runner.enqueue("a pig", preparation=WISH)
    outcomes = []
    for _ in range(4):
        runner.books.sql("UPDATE preparations SET published_at = now()")
        outcomes.append(prepare.prepare(runner.resources, the_one(runner)))
    assert [one is not None for one in outcomes] == [True, True, True, False]
    assert row_of(runner).error_code == "picture_away"


def test_a_stage_that_is_off_in_front_of_one_that_fails_is_recorded_once_and_gives_no_endless_tries(
    runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(resources: Resources, known: Known) -> Added:
        raise PictureAway("the host is away")

    off = Stage(name="off", place=stages.never, run=stages.nothing)
    use(monkeypatch, off, Stage(name="analysis", place=lambda _: Place.ANY, run=failing))
    runner.enqueue("a pig", preparation=WISH)
    tries = 0
    while row_of(runner).state == "preparing" and tries < 10:
        runner.books.sql("UPDATE preparations SET published_at = now()")
        prepare.prepare(runner.resources, the_one(runner))
        tries += 1
    row = row_of(runner)
    assert (row.state, row.error_code, tries) == ("failed", "picture_away", 5)
    assert [(one["name"], one["outcome"]) for one in row.pipeline_data["stages"]] == [("off", "off")]


def test_a_cancel_in_between_wins(runner: StepRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(resources: Resources, known: Known) -> Added:
        with resources.database.transaction() as connection:
            by_person.request_cancel(connection, known.batch_id)
        return Added(prompt="too late")

    use(monkeypatch, Stage(name="analysis", place=lambda _: Place.ANY, run=cancelled))
    runner.enqueue("a pig", preparation=WISH)
    prepare.prepare(runner.resources, the_one(runner))
    row = row_of(runner)
    assert (row.state, row.prompt) == ("canceled", "a pig")
    assert "stages" not in row.pipeline_data


def test_a_paused_batch_is_not_prepared(runner: StepRunner) -> None:
    runner.enqueue("a pig", preparation=WISH)
    runner.books.sql("UPDATE batches SET paused_at = now(), paused_reason = 'a person'")
    runner.books.sql("DELETE FROM preparations")
    assert prepare.publish_waiting(runner.resources) == 0


def test_wishes_are_part_of_what_a_row_asks_for(runner: StepRunner) -> None:
    runner.enqueue("a pig", name="one")
    runner.enqueue("a pig", name="one", preparation=WISH)
    with runner.resources.database.transaction() as connection:
        assert len(connection.execute(select(generations.c.identity)).all()) == 2
