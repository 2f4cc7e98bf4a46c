"""Personas: made from words, pictures and feedback; their words in the prompt and in the record; files; ranking."""

from typing import Any

import pytest
from sqlalchemy import text

from db.schema import generation_assets, generations
from domain.errors import BadInput, UnknownThing
from domain.feedback import FeedbackType
from domain.ids import GenerationId
from learning.persona import Source, as_document
from pipeline.characters import definitions
from pipeline.learning import personas
from pipeline.operator import feedback
from pipeline.preparing import prepare
from pipeline.views import generations as views
from tests.support.books import USER
from tests.support.steps import StepRunner


def prepared(runner: StepRunner) -> Any:
    for generation_id, _ in runner.sent.prepared:
        prepare.prepare(runner.resources, generation_id)
    return runner.books.rows(generations)[0]


def made(runner: StepRunner) -> views.GenerationDetails:
    runner.enqueue("a pig in pale linen", model="midjourney-v7")
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    (row,) = runner.books.rows(generations)
    return views.find(runner.resources, str(row.id), user_id=USER)


@pytest.mark.parametrize("name", ["auto", "Auto"])
def test_a_persona_that_nobody_could_choose_is_refused(runner: StepRunner, name: str) -> None:
    with pytest.raises(BadInput, match="chooses the persona that is nearest"):
        personas.from_description(runner.resources, name, "muted earth tones")
    ann = personas.from_description(runner.resources, "ann", "muted earth tones")
    with pytest.raises(BadInput, match="chooses the persona that is nearest"):
        personas.keep_document(runner.resources, as_document(ann), name=name)
    assert [one.name for one in personas.list_all(runner.resources)] == ["ann"]


def test_a_name_that_is_missing_is_told_with_how_many_there_are(runner: StepRunner) -> None:
    for at in range(12):
        personas.from_description(runner.resources, f"ann {at:02}", "linen")
        runner.books.character(f"lulu {at:02}")
        if at == 9:
            with pytest.raises(UnknownThing, match=r"'ann 09'$"):
                personas.find(runner.resources, "bob")
    with pytest.raises(UnknownThing, match=r"'ann 09' and 2 more$"):
        personas.find(runner.resources, "bob")
    with pytest.raises(UnknownThing, match=r"'lulu 09' and 2 more$"):
        definitions.find(runner.resources, "bob")


def test_the_words_of_a_persona_stand_in_the_prompt_and_in_the_record(runner: StepRunner) -> None:
    personas.from_description(runner.resources, "ann", "muted earth tones, linen")
    runner.enqueue("a pig --ar 2:3", preparation={"persona": "ann"})
    row = prepared(runner)
    assert row.prompt == "a pig, muted, earth, tones, linen --ar 2:3"
    (record,) = [one for one in row.pipeline_data["stages"] if one["name"] == "persona"]
    assert record["detail"]["words"][0] == ["muted", 1.0]
    assert record["detail"]["digest"] == personas.find(runner.resources, "ann").digest


def test_an_unknown_persona_is_told_before_anything_is_enqueued(runner: StepRunner) -> None:
    with pytest.raises(UnknownThing, match="there is no persona 'nobody'"):
        runner.enqueue("a pig", preparation={"persona": "nobody"})
    assert runner.books.rows(generations) == []


def test_a_persona_goes_along_as_a_file(runner: StepRunner) -> None:
    one = personas.from_description(runner.resources, "ann", "brutalist concrete, fog")
    back = personas.keep_document(runner.resources, as_document(one), name="bea")
    assert back.digest == one.digest
    assert [found.name for found in personas.list_all(runner.resources)] == ["ann", "bea"]
    with pytest.raises(BadInput, match="no file of a persona"):
        personas.keep_document(runner.resources, {"name": "x"})
    with pytest.raises(UnknownThing, match="'ann', 'bea'"):
        personas.find(runner.resources, "cid")


def test_every_kind_of_feedback_is_in_a_learned_persona(runner: StepRunner) -> None:
    told = made(runner)
    with pytest.raises(BadInput, match="has liked no picture yet"):
        personas.from_feedback(runner.resources, "me", user_id=USER)
    feedback.record_feedback(runner.resources, told, user_id=USER, kind=FeedbackType.HEART, picture="0")
    feedback.record_feedback(
        runner.resources, told, user_id=USER, kind=FeedbackType.COMMENT, picture="0", comment="wonderful grain"
    )
    feedback.record_feedback(
        runner.resources, told, user_id=USER, kind=FeedbackType.RATING, picture="1", rating=1, comment="plastic"
    )
    feedback.record_feedback(runner.resources, told, user_id=USER, kind=FeedbackType.OUTLIER, picture="2")
    one = personas.from_feedback(runner.resources, "me", user_id=USER)
    weights = dict(one.words)
    assert (one.source, one.made_of) == (Source.FEEDBACK, 4)
    assert weights["wonderful"] > 0
    assert weights["plastic"] < 0
    assert one.vector is None


def test_among_pictures_that_pass_the_one_that_is_liked_most_stands_for_the_generation(runner: StepRunner) -> None:
    """What a head writes decides among passing pictures, and never lifts one that fails over one that passes."""
    from db.records.closed_loop import mark_best
    from db.records.preferences import write_rewards

    runner.character()
    runner.scorer.scores = (0.9, 0.8, 0.2, 0.8)
    runner.enqueue("a pig", model="midjourney-v7", character="lulu")
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    runner.validate(attempt_id)
    (row,) = runner.books.rows(generations)
    assets = sorted(runner.books.rows(generation_assets), key=lambda one: one.position)
    assert [one.best for one in assets] == [True, False, False, False]
    rewards = {one.id: reward for one, reward in zip(assets, (0.1, 0.4, 0.9, 0.2), strict=True)}
    with runner.resources.database.transaction() as connection:
        assert write_rewards(connection, GenerationId(row.id), rewards, head="h")
        mark_best(connection, GenerationId(row.id))
        best = connection.execute(text("SELECT position FROM generation_assets WHERE best")).scalar_one()
        data = connection.execute(text("SELECT pipeline_data FROM generations")).scalar_one()
    assert best == 1
    assert data["reward"] == {"head": "h", "best": 0.9, "pictures": 4}
