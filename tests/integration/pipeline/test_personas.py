"""Personas: made from words, pictures and feedback; their words in the prompt and in the record; files; ranking."""

from typing import Any

import pytest
from sqlalchemy import text

from db.schema import generation_assets, generations
from domain.errors import BadInput, UnknownThing
from domain.feedback import FeedbackType
from domain.ids import GenerationId
from learning.persona import Source, as_document
from pipeline.learning import personas
from pipeline.operator import feedback
from pipeline.preparing import prepare
from pipeline.views import generations as views
from tests.support.books import USER
from tests.support.steps import Bench


def prepared(bench: Bench) -> Any:
    for generation_id, _ in bench.sent.prepared:
        prepare.prepare(bench.resources, generation_id)
    return bench.books.rows(generations)[0]


def made(bench: Bench) -> views.GenerationDetails:
    bench.enqueue("a pig in pale linen", model="midjourney-v7")
    (attempt_id,) = bench.sent.take("submit")
    bench.submit(attempt_id)
    bench.until_made(attempt_id)
    bench.collect(attempt_id)
    (row,) = bench.books.rows(generations)
    return views.find(bench.resources, str(row.id), user_id=USER)


def test_the_words_of_a_persona_stand_in_the_prompt_and_in_the_record(bench: Bench) -> None:
    personas.from_description(bench.resources, "ann", "muted earth tones, linen")
    bench.enqueue("a pig --ar 2:3", preparation={"persona": "ann"})
    row = prepared(bench)
    assert row.prompt == "a pig, muted, earth, tones, linen --ar 2:3"
    (record,) = [one for one in row.pipeline_data["stages"] if one["name"] == "persona"]
    assert record["detail"]["words"][0] == ["muted", 1.0]
    assert record["detail"]["digest"] == personas.find(bench.resources, "ann").digest


def test_an_unknown_persona_is_told_before_anything_is_enqueued(bench: Bench) -> None:
    with pytest.raises(UnknownThing, match="there is no persona 'nobody'"):
        bench.enqueue("a pig", preparation={"persona": "nobody"})
    assert bench.books.rows(generations) == []


def test_a_persona_goes_along_as_a_file(bench: Bench) -> None:
    one = personas.from_description(bench.resources, "ann", "brutalist concrete, fog")
    back = personas.keep_document(bench.resources, as_document(one), name="bea")
    assert back.digest == one.digest
    assert [found.name for found in personas.list_all(bench.resources)] == ["ann", "bea"]
    with pytest.raises(BadInput, match="no file of a persona"):
        personas.keep_document(bench.resources, {"name": "x"})
    with pytest.raises(UnknownThing, match="'ann', 'bea'"):
        personas.find(bench.resources, "cid")


def test_every_kind_of_feedback_is_in_a_learned_persona(bench: Bench) -> None:
    told = made(bench)
    with pytest.raises(BadInput, match="has liked no picture yet"):
        personas.from_feedback(bench.resources, "me", user_id=USER)
    feedback.record_feedback(bench.resources, told, user_id=USER, kind=FeedbackType.HEART, picture="0")
    feedback.record_feedback(
        bench.resources, told, user_id=USER, kind=FeedbackType.COMMENT, picture="0", comment="wonderful grain"
    )
    feedback.record_feedback(
        bench.resources, told, user_id=USER, kind=FeedbackType.RATING, picture="1", rating=1, comment="plastic"
    )
    feedback.record_feedback(bench.resources, told, user_id=USER, kind=FeedbackType.OUTLIER, picture="2")
    one = personas.from_feedback(bench.resources, "me", user_id=USER)
    weights = dict(one.words)
    assert (one.source, one.made_of) == (Source.FEEDBACK, 4)
    assert weights["wonderful"] > 0
    assert weights["plastic"] < 0
    assert one.vector is None


def test_among_pictures_that_pass_the_one_that_is_liked_most_stands_for_the_generation(bench: Bench) -> None:
    """What a head writes decides among passing pictures, and never lifts one that fails over one that passes."""
    from db.records.closed_loop import mark_best
    from db.records.preferences import write_rewards

    bench.character()
    bench.scorer.scores = (0.9, 0.8, 0.2, 0.8)
    bench.enqueue("a pig", model="midjourney-v7", character="lulu")
    (attempt_id,) = bench.sent.take("submit")
    bench.submit(attempt_id)
    bench.until_made(attempt_id)
    bench.collect(attempt_id)
    bench.validate(attempt_id)
    (row,) = bench.books.rows(generations)
    assets = sorted(bench.books.rows(generation_assets), key=lambda one: one.position)
    assert [one.best for one in assets] == [True, False, False, False]
    rewards = {one.id: reward for one, reward in zip(assets, (0.1, 0.4, 0.9, 0.2), strict=True)}
    with bench.resources.database.transaction() as connection:
        assert write_rewards(connection, GenerationId(row.id), rewards, head="h")
        mark_best(connection, GenerationId(row.id))
        best = connection.execute(text("SELECT position FROM generation_assets WHERE best")).scalar_one()
        data = connection.execute(text("SELECT pipeline_data FROM generations")).scalar_one()
    assert best == 1
    assert data["reward"] == {"head": "h", "best": 0.9, "pictures": 4}
