"""The whole way of a prompt, step by step, and what a message does that comes twice, late, or for somebody else."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from db.schema import attempts, generation_assets
from db.schema_checks import embeddings, model_inputs, verdicts
from domain.errors import ModelUnloadable, OutOfMemory
from domain.ids import AttemptId
from pipeline.attempts.validate import validate
from tests.support.steps import HOLD, PREPROCESSING, PRICE, FixedScorer, StepRunner
from validation.base import Embedding, ModelInput, Reference, Scored
from validation.pixels import decode


def test_a_prompt_without_a_character_becomes_four_stored_pictures(runner: StepRunner) -> None:
    written = runner.enqueue("a pink pig in a garden")
    (attempt_id,) = runner.sent.take("submit sandbox")
    assert runner.books.row(written.batch_id).held_usd == HOLD
    assert runner.submit(attempt_id) is None
    row = runner.books.attempt(attempt_id)
    assert row.state == "generating"
    assert "a pink pig in a garden" in row.sent_prompt
    runner.until_made(attempt_id)
    assert runner.sent.take("collect") == [attempt_id]
    assert runner.collect(attempt_id) is None
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.cost) == ("completed", PRICE)
    assets = runner.books.rows(generation_assets)
    assert [one.position for one in sorted(assets, key=lambda one: one.position)] == [0, 1, 2, 3]
    for one in assets:
        picture = decode(runner.resources.store.get(one.r2_key))
        assert (picture.width, picture.height, picture.media_type) == (one.width, one.height, one.media_type)
    assert runner.charged() == [PRICE]
    assert runner.sent.tasks == []
    assert runner.books.rows(model_inputs) == []


def test_a_prompt_with_a_character_gets_a_verdict_per_picture_and_a_best_one(runner: StepRunner) -> None:
    runner.scorer.scores = (0.70, 0.80, 0.95, 0.80)
    attempt_id = runner.validating()
    assert runner.sent.take("validate") == [attempt_id]
    assert len(runner.books.rows(model_inputs)) == 4
    assert runner.validate(attempt_id) is None
    assert runner.scorer.seen == [(4, 1)]
    assert runner.books.generation_of(attempt_id).state == "completed"
    best = [one.position for one in runner.books.rows(generation_assets) if one.best]
    assert best == [2]
    found = runner.books.rows(verdicts)
    assert sorted(one.core for one in found) == [0.70, 0.80, 0.80, 0.95]
    assert {one.threshold_origin for one in found} == {"default"}
    assert found[0].origin["model"] == "fixed"
    assert runner.books.rows(model_inputs) == []


def test_pictures_that_are_not_the_character_are_rejected_and_charged(runner: StepRunner) -> None:
    runner.scorer.scores = (0.1,)
    attempt_id = runner.validating()
    runner.validate(attempt_id)
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.status, generation.cost) == ("rejected", "failed", PRICE)


def test_the_reference_is_uploaded_and_goes_along(runner: StepRunner) -> None:
    runner.character()
    attempt_id = runner.generating("a pig", character="lulu")
    assert "/_sandbox/files/" in runner.books.attempt(attempt_id).sent_prompt


def test_every_message_twice_changes_nothing(runner: StepRunner) -> None:
    """At each step the same message comes again, at once and after the step has gone on."""
    runner.character()
    attempt_id = runner.admitted("a pig", character="lulu")
    runner.submit(attempt_id)
    assert runner.submit(attempt_id) is None
    runner.until_made(attempt_id)
    assert runner.submit(attempt_id) is None
    assert runner.sweep() == 0
    runner.collect(attempt_id)
    before = runner.books.attempt(attempt_id)
    assert runner.collect(attempt_id) is None
    assert runner.submit(attempt_id) is None
    assert runner.books.attempt(attempt_id) == before
    runner.validate(attempt_id)
    before = runner.books.attempt(attempt_id)
    for step in (runner.submit, runner.collect, runner.validate):
        assert step(attempt_id) is None
    assert runner.books.attempt(attempt_id) == before
    assert len(runner.scorer.seen) == 1
    assert len(runner.books.rows(generation_assets)) == 4
    assert runner.charged() == [PRICE]


def test_a_message_for_an_attempt_that_does_not_exist_does_nothing(runner: StepRunner) -> None:
    nobody = AttemptId(uuid4())
    for step in (runner.submit, runner.collect, runner.validate):
        assert step(nobody) is None


def test_a_message_that_comes_before_its_time_does_nothing(runner: StepRunner) -> None:
    attempt_id = runner.admitted()
    assert runner.collect(attempt_id) is None
    assert runner.validate(attempt_id) is None
    assert runner.books.attempt(attempt_id).state == "admitted"


def test_a_lost_message_is_sent_again_at_every_step(runner: StepRunner) -> None:
    runner.character()
    attempt_id = runner.admitted("a pig", character="lulu")
    for step, kind in ((runner.submit, "submit"), (runner.collect, "collect"), (runner.validate, "validate")):
        runner.sent.tasks.clear()
        runner.books.sql("UPDATE attempts SET published_at = now() - interval '1 minute'")
        runner.rescue()
        assert runner.sent.take(kind) == [attempt_id]
        step(attempt_id)
        if kind == "submit":
            runner.until_made(attempt_id)
    assert runner.books.generation_of(attempt_id).state == "completed"


def test_a_finished_job_frees_its_place_for_the_next_prompt(runner: StepRunner) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    first = runner.generating("one", "two")
    runner.until_made(first)
    (second,) = runner.sent.take("submit")
    assert second != first
    assert {row.state for row in runner.books.rows(attempts)} == {"collecting", "admitted"}


def test_the_sum_of_costs_is_the_bill(runner: StepRunner) -> None:
    runner.enqueue(*[f"a pig number {number}" for number in range(5)])
    for attempt_id in runner.sent.take("submit"):
        runner.submit(attempt_id)
        runner.until_made(attempt_id)
        runner.collect(attempt_id)
    status = runner.books.row(runner.batch_of(attempt_id))
    assert status.charged_usd == sum(runner.charged()) == Decimal("0.10")
    assert status.held_usd == 0


def test_a_process_without_a_scorer_takes_no_check(runner: StepRunner) -> None:
    attempt_id = runner.validating()
    with pytest.raises(ModelUnloadable):
        validate(replace(runner.resources, scorer=None), attempt_id)
    assert runner.books.attempt(attempt_id).lease_token is None


def test_the_models_input_is_made_at_its_own_size(runner: StepRunner) -> None:
    runner.validating()
    for row in runner.books.rows(model_inputs):
        assert (row.size, len(row.pixels), row.preprocessing) == (16, 16 * 16 * 3, PREPROCESSING.digest)


@dataclass(slots=True)
class _EmbeddingScorer(FixedScorer):
    """A fixed scorer that tells an embedding of each picture, and remembers which it was given."""

    given: list[Embedding | None] = field(default_factory=list)

    def score(self, pictures: Sequence[ModelInput], references: Sequence[Reference], **options: Any) -> list[Scored]:
        self.given += [one.embedding for one in pictures]
        # By name: a class with slots is made twice, and `super()` means the first.
        scored = FixedScorer.score(self, pictures, references, **options)
        made = Embedding(core=b"core", style=b"style", further=b"")
        return [replace(one, embedding=made) for one in scored]


def test_an_embedding_is_kept_with_the_verdict_and_found_by_the_next_check(runner: StepRunner) -> None:
    scorer = _EmbeddingScorer()
    runner = replace(runner, resources=replace(runner.resources, scorer=scorer))
    attempt_id = runner.validating()
    scorer.failures.append(OutOfMemory("not now"))
    assert runner.validate(attempt_id) is not None
    assert runner.books.rows(embeddings) == []
    runner.books.sql("UPDATE attempts SET published_at = now() - interval '1 hour', due_at = NULL")
    pictures = sorted(one.sha256 for one in runner.books.rows(generation_assets))
    runner.books.sql(
        "INSERT INTO embeddings (sha256, fingerprint, vector, style, further) VALUES"
        f" ('{pictures[0]}', 'fixed', 'known', 'style', ''), ('{pictures[1]}', 'of another model', 'no', 'no', '')"
    )
    scorer.given.clear()
    assert runner.validate(attempt_id) is None
    assert sorted(one.core for one in scorer.given if one is not None) == [b"known"]
    kept = {one.sha256: bytes(one.vector) for one in runner.books.rows(embeddings) if one.fingerprint == "fixed"}
    assert kept == {one: b"known" if one == pictures[0] else b"core" for one in pictures}
