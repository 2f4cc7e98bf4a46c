"""`rescore` from the command line, with models: what was judged by one is judged again by another, in bulk."""

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest

import sandbox
from db.moves import validation
from db.schema_checks import verdicts
from db.session import Database
from domain.ids import CharacterId
from pipeline.process.embedding_cache import KeptEmbeddings
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import ORIGIN, collect, judge, picture
from tests.support.scoring_models import save_tiny_clip

EXAMPLE = Path(__file__).parents[3] / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
SMALL_CLIP = str(Path(sandbox.__file__).parent / "clip")


@pytest.fixture
def given() -> Mapping[str, str]:
    return {"CLIP_MODEL": SMALL_CLIP, "LIKENESS_DEVICE": "cpu"}


@pytest.fixture
def farm(likeness: CommandLine, books: Books, home: Path) -> Books:
    """A batch of three whose verdicts came from elsewhere: two accepted, one of them without its file, one rejected."""
    books.lane()
    added = likeness.document("character", "add", "lulu", EXAMPLE, "--core", "-1", "--style", "-1", "--no-check")
    character = CharacterId(UUID(added["id"]))
    books.batch(3, name="farm", character=character)
    first, second, third = books.admit(places={"sandbox": 3})
    for admitted, colour, core in ((first, "pink", 0.9), (second, "teal", 0.9), (third, "gray", 0.1)):
        collect(books, admitted.attempt_id, picture(home, colour))
        judge(books, admitted.attempt_id, character, core)
    gone = next(row for row in books.rows(verdicts) if row.core == 0.9)
    key = books.rows(verdicts.metadata.tables["generation_assets"])
    path = next(row.r2_key for row in key if row.id == gone.asset_id)
    (home / "pictures" / path).unlink()
    return books


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_another_model_judges_everything_anew_and_the_next_time_nothing(
    likeness: CommandLine, farm: Books, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = likeness.document("rescore", "--batch", "farm", "--dry-run")
    assert (told["looked"], len(told["accepted"]), len(told["left"])) == (3, 1, 1)
    assert {row.origin["model"] for row in farm.rows(verdicts)} == {"small"}, "a dry run writes nothing"

    told = likeness.document("rescore")
    assert (told["verdicts"], len(told["accepted"]), len(told["left"])) == (2, 1, 1)
    assert "is gone" in told["left"][0]["why"]
    assert sorted(farm.counts(farm.rows(verdicts.metadata.tables["batches"])[0].id).items()) == [("completed", 3)]

    other = str(save_tiny_clip(tmp_path / "tiny"))
    told = likeness.document("rescore", "--model", other, "--character", "lulu")
    assert (told["model"], told["verdicts"]) == (other, 2)
    kept = KeptEmbeddings(database)
    assert len(kept.models(other)) == len(kept.models(SMALL_CLIP)) == 1

    monkeypatch.setenv("LIKENESS_DEVICE", "nowhere")  # whoever loads the model now fails
    ended = likeness("rescore", "--model", other)
    assert (ended.code, "unchanged" in ended.out, "left as it is: generation" in ended.out) == (0, True, True), ended


def test_what_another_model_read_is_not_shown_as_the_word_of_the_one_that_judged(
    likeness: CommandLine, books: Books, home: Path
) -> None:
    added = likeness.document("character", "add", "lulu", EXAMPLE, "--no-check")
    character = CharacterId(UUID(added["id"]))
    attempt_id = books.admitted(name="one", character=character)
    collect(books, attempt_id, picture(home, "teal"))
    judge(books, attempt_id, character, 0.9)
    with books.database.transaction() as connection:
        (asset,) = validation.inputs(connection, attempt_id)
        validation.align(connection, {asset.asset_id: 0.21}, origin=ORIGIN)
    assert "was read by" not in likeness("show", "one/0").out
    # As a rescore with another model leaves it.
    books.sql("""UPDATE verdicts SET origin = origin || '{"model": "large", "revision": "other"}'""")
    assert "its prompt was read by 'small', and it is judged by another model" in likeness("show", "one/0").out
    (told,) = likeness.document("show", "one/0")["assets"]
    assert told["text_alignment_by"] == {"model": "small", "revision": "r"}
    likeness("report", "one", "--out", "one.html")
    assert "prompt 0.21 by small" in Path("one.html").read_text(encoding="utf-8")


def test_what_does_not_exist_is_refused(likeness: CommandLine) -> None:
    assert "there is no batch 'farm'" in likeness.refused("rescore", "--batch", "farm")
    assert "there is no character 'lulu'" in likeness.refused("rescore", "--character", "lulu")


def test_where_nothing_is_final_nothing_is_done(likeness: CommandLine) -> None:
    told = likeness.document("rescore")
    assert (told["looked"], told["verdicts"], told["left"]) == (0, 0, [])
