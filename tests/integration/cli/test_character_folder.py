"""A character as a folder: written whole, read whole, and refused where it is not what was written."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import likeness as face
from db.records import characters
from db.records.characters import NewThresholds
from db.session import Database
from tests.support.command_line import CommandLine

CALIBRATION = {"model": {"name": "other/clip", "revision": "abc"}, "core": {"auc": 0.98}}


@pytest.fixture
def folder(likeness: CommandLine, database: Database, tmp_path: Path) -> Path:
    """A calibrated character of two references, exported."""
    for colour in ("pink", "plum"):
        Image.new("RGB", (16, 16), colour).save(tmp_path / f"{colour}.png")
    likeness.document("character", "add", "lulu", "pink.png", "plum.png", "--description", "a pig", "--no-check")
    with database.transaction() as connection:
        found = characters.find(connection, "lulu")
        fitted = NewThresholds(
            core=0.81,
            style=0.4,
            origin="calibrated (2026-11-29, n=60, core AUC 0.98)",
            model="other/clip",
            aggregation="mean",
            calibration=CALIBRATION,
            style_decides=False,
        )
        characters.set_thresholds(connection, found.id, fitted)
    assert likeness.document("character", "export", "lulu", "out")["folder"] == "out"
    return tmp_path / "out"


def test_what_was_exported_is_imported(likeness: CommandLine, folder: Path, database: Database) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["character.json", "references"]
    made = likeness.document("character", "import", folder, "--name", "twin")
    assert "fitted to 'other/clip'" in made["warning"], "another model scores here"
    first = likeness.document("character", "show", "lulu")
    assert made["description"] == first["description"] == "a pig"
    assert made["references"] == first["references"]
    assert {**made["thresholds"], "version": 2} == first["thresholds"]
    with database.transaction() as connection:
        twin = characters.find(connection, "twin")
    assert (twin.calibration, twin.fitted_to, twin.aggregation) == (CALIBRATION, "other/clip", "mean")


def test_a_name_that_is_taken_is_replaced_only_on_request(likeness: CommandLine, folder: Path) -> None:
    assert "there is a character 'lulu'; say --replace" in likeness.refused("character", "import", folder)
    likeness.document("character", "set", "lulu", "--core", "0.5", "--style", "0.5")
    made = likeness.document("character", "import", folder, "--replace")
    assert (made["thresholds"]["version"], made["thresholds"]["core"], made["thresholds"]["style_decides"]) == (
        4,
        0.81,
        False,
    )


def test_a_changed_or_missing_reference_is_named_and_nothing_is_written(likeness: CommandLine, folder: Path) -> None:
    first, second = sorted((folder / "references").iterdir())
    Image.new("RGB", (16, 16), "teal").save(second)
    said = likeness.refused("character", "import", folder, "--name", "twin")
    assert f"references/{second.name}" in said
    assert first.name not in said
    second.unlink()
    assert "is missing" in likeness.refused("character", "import", folder, "--name", "twin")
    assert [one["name"] for one in likeness.document("character", "list")["characters"]] == ["lulu"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"references": [{"file": "../pink.png", "sha256": "0" * 64}]}, "leads out of its folder"),
        ({"references": []}, "1 to 32 reference pictures"),
        ({"likeness_character": 2}, "likeness_character"),
        ({"thresholds": {"core": 7}}, "thresholds.core"),
        ({"name": "a;b"}, "several characters"),
        ({"more": 1}, "more"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(
    likeness: CommandLine, folder: Path, change: dict[str, object], says: str
) -> None:
    path = folder / "character.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "twin", **change}))
    assert says in likeness.refused("character", "import", folder)


def test_a_folder_with_something_else_is_left_alone(likeness: CommandLine, folder: Path, tmp_path: Path) -> None:
    likeness.document("character", "export", "lulu", folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/references").write_text("mine")
    assert "holds something else" in likeness.refused("character", "export", "lulu", tmp_path / "mine")
    likeness.document("character", "import", folder, "--name", "twin")
    assert "holds something else" in likeness.refused("character", "export", "twin", folder)
    assert "no 'nowhere/character.json'" in likeness.refused("character", "import", "nowhere")


def test_a_script_moves_a_character_too(likeness: CommandLine, folder: Path, tmp_path: Path) -> None:
    with face.connect() as connection:
        shutil.rmtree(folder)
        connection.export_character("lulu", folder)
        made = connection.import_character(folder, name="twin")
        assert (made.name, made.references, made.core, made.style_decides) == ("twin", 2, 0.81, False)
        assert [one.name for one in connection.characters()] == ["lulu", "twin"]
        plain = connection.add_character("plain", [tmp_path / "pink.png"], core=0.7)
        assert (plain.core, plain.thresholds_from, plain.version) == (0.7, "set by a person", 1)
        assert connection.character("plain") == plain
        with pytest.raises(face.RequestError, match="no character"):
            connection.character("nobody")
