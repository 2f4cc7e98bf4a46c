"""From choices and feedback to a head: fitted once, silent with too little data, used where it is worth something."""

from typing import Any

import numpy as np
import pytest

from db.records import embeddings
from db.records.embeddings import FrameRow
from db.schema import generation_assets, generations
from db.schema_learning import preference_heads, preference_pairs
from domain.access import LOCAL_TEAM
from domain.errors import BadInput
from domain.feedback import FeedbackType
from learning.preference import HeadStatus
from learning.vectors import embedding
from pipeline.learning import preferences
from pipeline.operator import feedback
from pipeline.views import generations as views
from tests.support.books import USER
from tests.support.steps import StepRunner

FINGERPRINT = "f"


def made(runner: StepRunner) -> list[Any]:
    """Four stored pictures of one generation, each with an embedding, as a check leaves them."""
    runner.enqueue("a pig", model="midjourney-v7")
    (attempt_id,) = runner.sent.take("submit")
    runner.submit(attempt_id)
    runner.until_made(attempt_id)
    runner.collect(attempt_id)
    found = sorted(runner.books.rows(generation_assets), key=lambda one: one.position)
    rng = np.random.default_rng(3)
    vectors = {one.sha256: rng.normal(size=8).astype("<f4").tobytes() for one in found}
    frame = FrameRow(
        fingerprint=FINGERPRINT, model="m", revision="r", preprocessing="p", dtype="d",
        core_centre=b"", style_centre=b"", style_spread=b"",
    )  # fmt: skip
    with runner.resources.database.transaction() as connection:
        embeddings.put_frame(connection, frame)
        embeddings.put_many(
            connection, {name: (one, b"", b"") for name, one in vectors.items()}, fingerprint=FINGERPRINT
        )
    return found


def details(runner: StepRunner) -> views.GenerationDetails:
    (row,) = runner.books.rows(generations)
    return views.find(runner.resources, str(row.id), user_id=USER)


def test_choices_and_every_kind_of_feedback_are_learned_from(runner: StepRunner) -> None:
    made(runner)
    told = details(runner)
    feedback.record_choice(runner.resources, (told, "0"), (told, "1"), user_id=USER)
    feedback.record_feedback(runner.resources, told, user_id=USER, kind=FeedbackType.HEART, picture="2")
    feedback.record_feedback(runner.resources, told, user_id=USER, kind=FeedbackType.OUTLIER, picture="3")
    feedback.record_feedback(runner.resources, told, user_id=USER, kind=FeedbackType.RATING, picture="1", rating=2)
    head = preferences.train_head(runner.resources)
    assert head is not None
    # One choice, and heart > rating 2 > outlier with heart > outlier.
    assert (head.pairs, head.standing) == (4, HeadStatus.NOT_ENOUGH_DATA)
    assert preferences.usable_head(runner.resources, FINGERPRINT, batch_id=told.generation["batch_id"]) is None
    (row,) = runner.books.rows(preference_heads)
    assert (row.standing, row.accuracy) == ("not enough data", None)


def test_the_same_choices_are_fitted_once(runner: StepRunner) -> None:
    made(runner)
    told = details(runner)
    feedback.record_choice(runner.resources, (told, "0"), (told, "1"), user_id=USER)
    first, again = preferences.train_head(runner.resources), preferences.train_head(runner.resources)
    assert first is not None
    assert again is not None
    assert first.digest == again.digest
    assert len(runner.books.rows(preference_heads)) == 1


def test_a_head_that_is_worth_something_ranks_pictures_and_prompts(runner: StepRunner) -> None:
    assets = made(runner)
    told = details(runner)
    for _ in range(60):
        for better, worse in (("0", "1"), ("0", "2"), ("3", "1")):
            feedback.record_choice(runner.resources, (told, better), (told, worse), user_id=USER)
    assert len(runner.books.rows(preference_pairs)) == 180
    preferences.train_all(runner.resources)
    assert {row.team for row in runner.books.rows(preference_heads)} == {LOCAL_TEAM}
    assert preferences.latest(runner.resources, team="others") is None
    head = preferences.usable_head(runner.resources, FINGERPRINT, batch_id=told.generation["batch_id"])
    assert head is not None
    with runner.resources.database.transaction() as connection:
        cores = embeddings.get_many(connection, [one.sha256 for one in assets], fingerprint=FINGERPRINT)
    vectors = {one.id: cores[one.sha256][0] for one in assets}
    rewards = preferences.rewards_of(head, vectors, user_id=USER)
    assert rewards[assets[0].id] > rewards[assets[1].id]
    best, *_ = preferences.ranked(head, ["one", "zero"], [vectors[assets[1].id], vectors[assets[0].id]], user_id=USER)
    assert best[0] == "zero"
    assert embedding(vectors[assets[0].id]).shape == head.weights.shape


def test_a_picture_is_not_compared_with_itself(runner: StepRunner) -> None:
    made(runner)
    told = details(runner)
    with pytest.raises(BadInput, match="one and the same"):
        feedback.record_choice(runner.resources, (told, "0"), (told, "0"), user_id=USER)


def test_without_any_embedding_there_is_no_head(runner: StepRunner) -> None:
    assert preferences.train_head(runner.resources) is None
    assert preferences.latest(runner.resources) is None
