"""`validate`: the check by itself, from the command line and from a script, with the sandbox's small CLIP."""

import csv
import io
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

import likeness as face
import sandbox
from pipeline.characters.picture_files import picture_files
from tests.support.command_line import CommandLine
from tests.support.scoring_pictures import saved, scene

EXAMPLE = Path(__file__).parents[3] / "examples" / "lulu-pig" / "references"
SMALL_CLIP = str(Path(sandbox.__file__).parent / "clip")


@pytest.fixture
def given() -> Mapping[str, str]:
    return {"CLIP_MODEL": SMALL_CLIP, "LIKENESS_DEVICE": "cpu"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reference of Lulu, something else, and in a folder below a file that is no picture."""
    made = tmp_path / "pictures"
    (made / "below").mkdir(parents=True)
    shutil.copy(EXAMPLE / "lulu_pig_ref_1.png", made / "lulu.png")
    (made / "other.jpg").write_bytes(saved(scene(3, (80, 72)), "JPEG"))
    (made / "below" / "page.png").write_bytes(b"<html>")
    (made / "notes.txt").write_text("no picture")
    return made


def test_pictures_are_checked_without_a_queue_and_the_second_look_needs_no_model(
    likeness: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = [EXAMPLE / f"lulu_pig_ref_{number}.png" for number in (1, 2)]
    added = likeness.document("character", "add", "lulu", *references, "--core", "0.8", "--style", "0.5")
    assert -1 < added["spread"]["lowest"] < 1
    assert likeness.document("character", "show", "lulu")["spread"] == added["spread"], "known without the model"
    first = likeness.document("validate", folder, "--character", "lulu", code=2)
    told = {Path(one["path"]).name: one for one in first["images"]}
    assert list(told) == ["page.png", "lulu.png", "other.jpg"]
    assert told["page.png"]["error"]["code"] == "not_a_picture"
    lulu, other = told["lulu.png"], told["other.jpg"]
    assert lulu["core"]["score"] == pytest.approx(1.0, abs=1e-5)
    assert (lulu["core"]["passed"], lulu["style"]["passed"], lulu["nearest_reference"]) == (True, True, 0)
    assert (other["core"]["passed"], other["passed"]) == (False, False)
    assert (first["passed"], first["failed"], first["unreadable"]) == (1, 1, 1)

    # A device that does not exist: whoever started the scorer now would fail.
    monkeypatch.setenv("LIKENESS_DEVICE", "nowhere")
    (folder / "below" / "page.png").unlink()
    ended = likeness("validate", str(folder / "*.png"), "--character", "lulu")
    assert (ended.code, "1 of 1 pass as 'lulu'" in ended.out) == (0, True), ended
    strict = likeness.document("validate", folder, "--character", "lulu", "--core", "-1", "--style", "-1")
    assert (strict["passed"], strict["thresholds"]["origin"]) == (2, "set for this call")
    ended = likeness("validate", folder, "--character", "lulu", "--csv")
    rows = list(csv.DictReader(io.StringIO(ended.out)))
    assert (ended.code, [row["passed"] for row in rows]) == (1, ["true", "false"])
    assert {(row["threshold_version"], row["thresholds_from"]) for row in rows} == {("1", "set by a person")}

    with face.connect() as connection:
        looked = connection.validate(sorted(folder.glob("*.*g")), character="lulu")
        assert [one.passed for one in looked] == [True, False]
        assert looked[0].core == pytest.approx(1.0, abs=1e-5)
        assert {(one.threshold_version, one.thresholds_from) for one in looked} == {(1, "set by a person")}

    (folder / "new.png").write_bytes(saved(scene(4, (80, 72)), "PNG"))
    assert "nowhere" in likeness.refused("validate", folder, "--character", "lulu", code=3)


def test_a_character_is_added_where_its_references_cannot_be_compared(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [EXAMPLE / f"lulu_pig_ref_{number}.png" for number in (1, 2)]
    monkeypatch.setenv("CLIP_MODEL", "nobody/nowhere")
    ended = likeness("character", "add", "lulu", *pictures)
    assert (ended.code, "the weights of 'nobody/nowhere' are not on this machine" in ended.err) == (0, True)
    quiet = likeness.document("character", "add", "zoe", *pictures, "--no-check", "--aggregation", "mean")
    assert (quiet["spread"], quiet["thresholds"]["aggregation"]) == (None, "mean")


def test_thresholds_that_a_person_sets_are_a_new_version(likeness: CommandLine) -> None:
    likeness.document("character", "add", "lulu", EXAMPLE / "lulu_pig_ref_1.png", "--core", "0.8", "--no-check")
    told = likeness.document("character", "set", "lulu", "--style", "0.4", "--aggregation", "mean")["thresholds"]
    assert told == {
        "core": 0.8,
        "style": 0.4,
        "version": 2,
        "origin": "set by a person",
        "style_decides": True,
        "in_words": "core 0.800, style 0.400; set by a person",
        "aggregation": "mean",
    }
    assert "say what to set" in likeness.refused("character", "set", "lulu")


def test_what_cannot_be_checked_is_refused(likeness: CommandLine, folder: Path) -> None:
    assert "there is no character 'nobody'" in likeness.refused("validate", folder, "--character", "nobody")
    assert "names no picture" in likeness.refused("validate", "none/*.png", "--character", "nobody")
    assert "names no picture" in likeness.refused("validate", folder / "gone.png", "--character", "nobody")
    assert "--csv and --json" in likeness("validate", folder, "--character", "x", "--csv", "--json").out


def test_files_folders_and_patterns_name_each_picture_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = [folder / "other.jpg", str(folder), str(folder / "**" / "*.png"), folder / "notes.txt"]
    names = [path.name for path in picture_files(named)]
    assert names == ["other.jpg", "page.png", "lulu.png", "notes.txt"]
    monkeypatch.chdir(folder)
    assert picture_files(["*.jpg"]) == [Path("other.jpg")]


def test_reference_files_need_no_registered_character(likeness: CommandLine, folder: Path) -> None:
    (folder / "below" / "page.png").unlink()
    references = [f"--reference={EXAMPLE / f'lulu_pig_ref_{number}.png'}" for number in (1, 2)]
    said = likeness.document("validate", folder, *references, "--type", "core", code=1)
    lulu, other = said["images"]
    assert (lulu["passed"], lulu["style"]["decides"], other["passed"]) == (True, False, False)
    assert lulu["core"]["threshold"] == 0.75
    pattern = likeness.document("validate", folder, "--reference", str(EXAMPLE / "*.png"), "--type", "core", code=1)
    assert pattern["images"] == said["images"]
    style = likeness.document("validate", folder, *references, "--type", "style", code=1)
    assert "only style decides" in style["thresholds"]["origin"]
    assert [one["passed"] for one in style["images"]] == [one["style"]["passed"] for one in style["images"]]
    assert "either --character NAME or --reference FILE" in likeness.refused("validate", folder)


def test_the_owner_s_validator_runs_as_his_page_calls_it(likeness: CommandLine, folder: Path) -> None:
    from likeness import CLIPValidator

    validator = CLIPValidator()
    found = validator.validate_batch(
        generated_images=[str(folder / "*.png"), str(folder / "*.jpg")],
        reference_image_paths=[str(EXAMPLE / "*.png")],
        validation_type="core",
    )
    assert [(one.path.name, one.passed) for one in found] == [("lulu.png", True), ("other.jpg", False)]
    assert found[0].core_threshold == 0.75
    with pytest.raises(face.RequestError, match="'core' or 'style'"):
        validator.validate_batch([folder], [EXAMPLE], "both")
