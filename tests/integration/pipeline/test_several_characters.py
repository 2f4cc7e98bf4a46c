"""Pictures that must show several characters: who is asked for, what goes along, and who decides."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from db.moves import validation
from db.schema import generation_assets, generations
from db.schema_checks import verdicts
from db.session import Database
from domain.errors import BadInput, UnknownThing
from domain.ids import AttemptId, CharacterId
from pipeline.characters import references
from pipeline.characters.character_names import join_names, split_names
from pipeline.characters.definitions import NewCharacter, add
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import PromptRow, rows_of
from pipeline.views import report
from providers.catalogue import load
from storage.r2 import Bucket, R2Store
from tests.conftest import Sent
from tests.support.books import USER, asset
from tests.support.steps import EXAMPLE, PREPROCESSING, StepRunner, runner_of

INPUT = (b"\x00" * 16 * 16 * 3, 16, PREPROCESSING.digest)


@pytest.fixture
def runner(database: Database, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url="http://127.0.0.1:9", sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def cast(runner: StepRunner) -> tuple[CharacterId, CharacterId]:
    return runner.character("lulu", core=0.5), runner.character("zoe", core=0.8)


def _validating(runner: StepRunner, cast: tuple[CharacterId, CharacterId], *, pictures: int) -> AttemptId:
    runner.enqueue("the two of them", character="lulu; zoe")
    attempt_id = runner.sent.take("submit")[0]
    books = runner.books
    books.accept(attempt_id, books.claim(attempt_id))
    books.make(attempt_id, books.polled(attempt_id))
    assets = [replace(asset(at, model_input=INPUT), r2_key=f"pictures/00/{at:064x}.png") for at in range(pictures)]
    books.collect(attempt_id, books.claim_collection(attempt_id), *assets)
    return attempt_id


def _row(runner: StepRunner) -> Any:
    (row,) = runner.books.rows(generations)
    return row


def test_a_row_names_several_characters_and_the_first_one_first(
    runner: StepRunner, cast: tuple[CharacterId, CharacterId]
) -> None:
    runner.enqueue("one", character="zoe;lulu;zoe")
    row = _row(runner)
    assert (row.character_id, row.further_character_ids) == (cast[1], [cast[0]])
    with pytest.raises(UnknownThing, match="'nobody'"):
        runner.enqueue("one", character="lulu;nobody", name="other")


def test_a_prompt_file_names_them_in_one_cell_or_in_a_list() -> None:
    rows = rows_of([{"prompt": "a", "character": "lulu; zoe"}, {"prompt": "b", "character": ["lulu", "zoe"]}])
    assert [split_names(row.character) for row in rows] == [["lulu", "zoe"]] * 2
    assert join_names(["lulu", "zoe", "lulu"]) == "lulu;zoe"
    assert join_names(None) is None


def test_a_name_that_would_be_read_as_two_is_refused(runner: StepRunner) -> None:
    new = NewCharacter(name="a;b", description="", references=[EXAMPLE], core=0.5, style=0.5, origin="default")
    with pytest.raises(BadInput, match="several characters"):
        add(runner.resources, new)


def test_the_references_of_all_of_them_go_along(runner: StepRunner, cast: tuple[CharacterId, CharacterId]) -> None:
    attempt_id = _validating(runner, cast, pictures=1)
    with runner.resources.database.transaction() as connection:
        work = validation.look(connection, attempt_id)
    assert work is not None
    assert work.character_ids == cast
    runner.books.sql("UPDATE character_references SET r2_key = 'references/' || character_id, uploaded_at = now()")
    bucket = Bucket(
        endpoint_url="http://127.0.0.1:9",
        name="pictures",
        access_key_id="key",
        secret_access_key="secret",
        cdn_url="https://example.com",
    )
    with closing(R2Store(bucket)) as store:
        resources = replace(runner.resources, store=store)
        going = references.references_sent(resources, work, model=load().get(work.model))
        found = references.urls_of(resources, resources.lanes["sandbox"], going)
    assert found == [f"https://example.com/references/{one}" for one in cast]


@pytest.mark.parametrize(("core", "state"), [(0.7, "rejected"), (0.9, "completed")])
def test_a_picture_passes_when_it_is_all_of_them(
    runner: StepRunner, cast: tuple[CharacterId, CharacterId], core: float, state: str
) -> None:
    attempt_id = _validating(runner, cast, pictures=2)
    runner.scorer.scores = (0.1, core)
    assert runner.validate(attempt_id) is None
    assert _row(runner).state == state
    found = runner.books.rows(verdicts)
    assert {(row.character_id, row.passed) for row in found if row.core == core} == {
        (cast[0], True),
        (cast[1], core > 0.8),
    }
    assert len(found) == 4
    assert [row.position for row in runner.books.rows(generation_assets) if row.best] == [1]
    told = report.report_of(runner.resources, runner.batch_of(attempt_id))
    (line,) = told.generations
    assert line.best is not None
    assert (line.best.core_threshold, line.best.passed) == (0.8, core > 0.8), "the one that is met least well"
    assert told.character == "lulu and zoe"


def test_thresholds_that_were_fitted_to_another_model_are_told(
    runner: StepRunner, cast: tuple[CharacterId, CharacterId], caplog: pytest.LogCaptureFixture
) -> None:
    runner.books.sql("UPDATE threshold_versions SET model = 'sandbox/clip' WHERE core = 0.8")
    rows = [PromptRow(position=0, line=1, prompt="both", settings={}, extra={})]
    wanted = Order(name="dry", user_id=USER, provider="sandbox", prompts=rows, character="lulu;zoe")
    (said,) = prepare(runner.resources, wanted, today=date(2026, 11, 21)).warnings
    assert said.startswith("the thresholds of 'zoe' were fitted to 'sandbox/clip', and scores of 'openai/")
    attempt_id = _validating(runner, cast, pictures=2)
    assert runner.validate(attempt_id) is None
    assert caplog.text.count("the thresholds of 'zoe' were fitted to 'sandbox/clip'") == 1
    runner.books.sql("UPDATE threshold_versions SET core = 0.99 WHERE core = 0.5")
    told = report.report_of(runner.resources, runner.batch_of(attempt_id)).thresholds
    assert told == (
        "Thresholds of lulu, version 1: core 0.500, style 0.600; default threshold;"
        " of zoe, version 1: core 0.800, style 0.600; default threshold, fitted to 'sandbox/clip' but scored by 'fixed'"
    )
