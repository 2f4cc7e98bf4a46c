"""`calibrate` from the command line: figures, applied thresholds, and how they are told."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

import likeness as face
from db.records import characters
from db.records.characters import NewThresholds
from db.session import Database
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture
from tests.support.gallery import MODEL, Gallery, spread


@pytest.fixture
def given() -> Mapping[str, str]:
    return {"CLIP_MODEL": MODEL.name}


def test_figures_are_shown_and_nothing_is_changed(likeness: CommandLine, lulu: str, good: Path, bad: Path) -> None:
    said = likeness.document("calibrate", lulu, "--positives", good, "--negatives", bad, "--plot", "lulu.png")
    assert (said["calibrated"], said["lacking"], said["applied_version"]) == (True, [], None)
    assert said["examples"] == {"positives": {f"in {good}": 30}, "negatives": {f"in {bad}": 30}}
    core, style = said["core"], said["style"]
    assert (core["auc"], core["eer"], core["present"]["cut"]) == (1.0, 0.0, 0.75)
    assert core["recommended"]["cut"] == pytest.approx(0.7)
    assert core["present"]["false_accept_interval"]["high"] == pytest.approx(1 - 0.025 ** (1 / 30))
    assert style["present"]["cut"] == 0.6
    assert said["both_recommended"] == {"false_reject": 0.0, "false_accept": 0.0}
    assert said["both_now"]["false_reject"] == 0.0
    with Image.open("lulu.png") as plot:
        assert plot.format == "PNG"
    shown = likeness("calibrate", lulu, "--positives", good, "--negatives", bad)
    assert shown.code == 0
    assert "nothing was changed" in shown.err
    assert max(map(len, shown.out.splitlines())) <= 80
    assert likeness.document("character", "show", lulu)["thresholds"]["version"] == 1


def test_applied_thresholds_are_a_new_version_that_keeps_its_figures(
    likeness: CommandLine, lulu: str, good: Path, bad: Path, database: Database
) -> None:
    asked = ("calibrate", lulu, "--positives", good, "--negatives", bad, "--apply")
    said = likeness.document(*asked)
    assert said["applied_version"] == 2
    made = likeness.document("character", "show", lulu)
    origin = f"calibrated ({said['made_on']}, n=60, core AUC 1.000)"
    now = made["thresholds"]
    assert (now["version"], now["origin"]) == (2, origin)
    assert now["core"] == said["core"]["recommended"]["cut"]
    assert now["style"] == said["style"]["recommended"]["cut"]
    newest, first = made["threshold_versions"]
    assert (first["origin"], first["calibration"]) == ("default", None)
    assert (newest["model"], newest["aggregation"]) == (MODEL.name, "max")
    assert newest["calibration"]["core"] == said["core"]
    assert newest["calibration"]["model"]["fingerprint"] == MODEL.fingerprint
    assert newest["calibration"]["core"]["resamples"] == 1000
    shown = likeness("character", "show", lulu).out
    assert "calibrated (" in shown
    assert "default threshold" in shown
    again = likeness(*asked)
    assert "earlier verdicts follow with `likeness rescore --character lulu`" in again.err
    assert likeness.document("character", "show", lulu)["thresholds"]["version"] == 2, "it says the same"


def test_wherever_scores_are_shown_the_same_words_say_where_the_thresholds_come_from(
    likeness: CommandLine, lulu: str, good: Path, bad: Path, books: Books, home: Path
) -> None:
    calibrating = ("calibrate", lulu, "--positives", good, "--negatives", bad)
    likeness.document(*calibrating, "--apply")
    shown = likeness.document("character", "show", lulu)["thresholds"]
    words = shown["in_words"]
    assert words == f"core {shown['core']:.3f}, style {shown['style']:.3f}; {shown['origin']}"
    with books.database.transaction() as connection:
        row = characters.find(connection, lulu)
    attempt_id = books.admitted(name="one", character=row.id)
    collect(books, attempt_id, picture(home, "teal"))
    judge(books, attempt_id, row.id, 0.9, thresholds=row.thresholds)
    (verdict,) = likeness.document("show", "one/0")["verdicts"]
    assert verdict["thresholds_in_words"].startswith(words)
    assert likeness.document(*calibrating)["now"]["in_words"] == words
    checking = ("validate", good, "--character", lulu)
    assert likeness.document(*checking)["thresholds"]["in_words"] == words
    for command in (("show", "one/0"), calibrating, checking, ("character", "show", lulu)):
        assert words in " ".join(likeness(*command).out.split()), command
    assert likeness(*checking, "--csv").out.count(shown["origin"]) == 30
    likeness("report", "one", "--out", "one.html")
    assert words in Path("one.html").read_text(encoding="utf-8")


def test_a_verdict_of_the_same_weights_by_another_name_suits_and_of_others_by_the_same_name_does_not(
    likeness: CommandLine, lulu: str, good: Path, bad: Path, books: Books, home: Path
) -> None:
    likeness.document("calibrate", lulu, "--positives", good, "--negatives", bad, "--apply")
    with books.database.transaction() as connection:
        row = characters.find(connection, lulu)
    assert row.fitted_revision == MODEL.revision
    attempt_id = books.admitted(name="one", character=row.id)
    collect(books, attempt_id, picture(home, "teal"))
    judge(books, attempt_id, row.id, 0.9, thresholds=row.thresholds)
    (verdict,) = likeness.document("show", "one/0")["verdicts"]
    assert (verdict["origin"]["model"], verdict["origin"]["revision"]) == ("small", MODEL.revision)
    assert "fitted to" not in verdict["thresholds_in_words"]
    books.sql(f"""UPDATE verdicts SET origin = origin || '{{"model": "{MODEL.name}", "revision": "other"}}'""")
    (verdict,) = likeness.document("show", "one/0")["verdicts"]
    assert verdict["thresholds_in_words"].endswith(f"fitted to other weights of {MODEL.name!r}")


def test_adding_a_character_again_keeps_its_calibration_while_its_references_stay(
    likeness: CommandLine, lulu: str, gallery: Gallery, good: Path, bad: Path, tmp_path: Path
) -> None:
    likeness.document("calibrate", lulu, "--positives", good, "--negatives", bad, "--apply")
    calibrated = likeness.document("character", "show", lulu)["thresholds"]
    again = likeness.document("character", "add", lulu, tmp_path / "lulu.png", "--no-check")
    assert again["thresholds"] == calibrated
    ended = likeness("character", "add", lulu, gallery.file("other.png", core=0.9), "--no-check")
    assert "its calibration was for the former references; run `likeness calibrate lulu`" in ended.err
    now = likeness.document("character", "show", lulu)["thresholds"]
    assert (now["version"], now["origin"], now["core"]) == (3, "default", 0.75)


def test_a_script_has_the_same_figures(likeness: CommandLine, lulu: str, good: Path, bad: Path) -> None:
    with face.connect() as connection:
        found = connection.calibrate(lulu, positives=good, negatives=bad)
        assert found.calibrated
        assert found.core.recommended.cut == pytest.approx(0.7)
        with pytest.raises(face.RequestError, match="nothing shows anybody but 'lulu'"):
            connection.calibrate(lulu, positives=good)
        connection.calibrate(lulu, positives=good, negatives=bad, apply=True)
    assert likeness.document("character", "show", lulu)["thresholds"]["version"] == 2


def test_too_few_examples_are_no_calibration(
    likeness: CommandLine, lulu: str, gallery: Gallery, good: Path, bad: Path
) -> None:
    few = gallery.set_of("few", spread(0.8, 0.95, 19), spread(0.7, 0.9, 19))
    asked = ("calibrate", lulu, "--positives", few, "--negatives", bad)
    said = likeness.document(*asked)
    assert (said["calibrated"], said["core"]["auc"]) == (False, 1.0)
    assert said["lacking"] == ["1 more positives (19 of at least 20)"]
    assert "this is no calibration; it lacks 1 more positives" in likeness(*asked).err
    refused = likeness(*asked, "--apply")
    assert (refused.code, "AUC 1.000" in refused.out) == (2, True), "the figures are shown all the same"
    error = likeness.document(*asked, "--apply", code=2)["error"]
    assert "nothing is applied" in error["message"]
    assert "1 more positives (19 of at least 20)" in error["message"]
    assert len(likeness.document("character", "show", lulu)["threshold_versions"]) == 1


def test_scores_that_do_not_tell_are_no_calibration(likeness: CommandLine, lulu: str, gallery: Gallery) -> None:
    one = gallery.set_of("one", spread(0.4, 0.9), spread(0.4, 0.9))
    other = gallery.set_of("other", spread(0.41, 0.91), spread(0.4, 0.9))
    said = likeness.document("calibrate", lulu, "--positives", one, "--negatives", other)
    assert not said["calibrated"]
    assert said["lacking"][0].startswith("a score that tells them apart (AUC 0.4")
    assert "a score that tells them apart" in likeness("calibrate", lulu, "--positives", one, "--negatives", other).out


def test_style_gets_a_floor_that_loses_no_positive(likeness: CommandLine, lulu: str, good: Path, bad: Path) -> None:
    asked = ("calibrate", lulu, "--positives", good, "--negatives", bad)
    style = likeness.document(*asked)["style"]
    # From 0.7 to 0.9 with 0.8 in the middle, whatever the others have.
    assert (style["rule"], style["recommended"]["cut"]) == ("floor", pytest.approx(0.6, abs=0.005))
    assert style["recommended"]["false_reject"] == 0
    assert style["unseen"]["false_reject"] < 0.001, "a resample without the lowest may have a floor above it"
    assert "recommended is a floor" in likeness(*asked).out


def test_a_style_score_that_tells_nothing_is_advice_and_every_place_says_so(
    likeness: CommandLine, lulu: str, gallery: Gallery, books: Books, home: Path
) -> None:
    good = gallery.set_of("good", spread(0.8, 0.95), spread(0.4, 0.9))
    bad = gallery.set_of("bad", spread(0.1, 0.6), spread(0.4, 0.9))
    calibrating = ("calibrate", lulu, "--positives", good, "--negatives", bad)
    said = likeness.document(*calibrating)
    assert (said["calibrated"], said["style_decides"]) == (True, False), "core may be calibrated all the same"
    assert said["style"]["auc_interval"]["low"] < 0.5 < said["style"]["auc_interval"]["high"]
    words = "style is advisory and decides nothing"
    assert words in " ".join(likeness(*calibrating).out.split())
    likeness.document(*calibrating, "--apply")

    below = gallery.file("below.png", core=0.9, style=-0.5)
    checked = likeness.document("validate", below, "--character", lulu)
    (image,) = checked["images"]
    assert (image["passed"], image["style"]["passed"], image["style"]["decides"]) == (True, False, False)
    strict = likeness.document("validate", below, "--character", lulu, "--style", "0.6", code=1)
    assert strict["thresholds"]["style_decides"], "a threshold that somebody names is meant"

    with books.database.transaction() as connection:
        row = characters.find(connection, lulu)
    attempt_id = books.admitted(name="one", character=row.id)
    collect(books, attempt_id, picture(home, "teal"))
    judge(books, attempt_id, row.id, 0.9, style=-0.5, thresholds=row.thresholds)
    told = likeness.document("show", "one/0")
    (verdict,) = told["verdicts"]
    assert (told["state"], verdict["passed"], verdict["style_passed"]) == ("completed", True, False)
    for command in (("show", "one/0"), ("validate", below, "--character", lulu), ("character", "show", lulu)):
        assert words in " ".join(likeness(*command).out.split()), command
    assert words in verdict["thresholds_in_words"]
    assert words in likeness("validate", below, "--character", lulu, "--csv").out
    likeness("report", "one", "--out", "one.html")
    page = Path("one.html").read_text(encoding="utf-8")
    assert words in page
    assert "below (advisory)" in page

    set_by_hand = likeness.document("character", "set", lulu, "--core", "0.7")["thresholds"]
    assert not set_by_hand["style_decides"], "that was not asked for"
    assert likeness.document("character", "set", lulu, "--style", "0.5")["thresholds"]["style_decides"]


def test_the_mean_over_references_is_calibrated_as_the_mean(
    likeness: CommandLine, gallery: Gallery, good: Path, bad: Path, database: Database
) -> None:
    likeness.document("character", "add", "lulu", gallery.file("a.png", core=1.0), gallery.file("b.png", core=0.6))
    nearest = likeness.document("calibrate", "lulu", "--positives", good, "--negatives", bad)
    with database.transaction() as connection:
        row = characters.find(connection, "lulu")
        new = NewThresholds(core=0.75, style=0.6, origin="default", aggregation="mean")
        characters.set_thresholds(connection, row.id, new)
    mean = likeness.document("calibrate", "lulu", "--positives", good, "--negatives", bad, "--apply")
    assert (nearest["aggregation"], mean["aggregation"]) == ("max", "mean")
    assert mean["core"]["recommended"]["cut"] != nearest["core"]["recommended"]["cut"]
    (newest, *_) = likeness.document("character", "show", "lulu")["threshold_versions"]
    assert newest["aggregation"] == "mean"


def test_what_cannot_be_calibrated_is_refused(
    likeness: CommandLine, lulu: str, gallery: Gallery, good: Path, bad: Path, tmp_path: Path
) -> None:
    assert "no character 'nobody'" in likeness.refused("calibrate", "nobody")
    assert "has one reference" in likeness.refused("calibrate", lulu, "--negatives", bad)
    assert "nothing shows anybody but 'lulu'" in likeness.refused("calibrate", lulu, "--positives", good)
    assert "is no folder" in likeness.refused("calibrate", lulu, "--positives", tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    assert "names no picture" in likeness.refused("calibrate", lulu, "--positives", tmp_path / "empty")
    (bad / "same.png").write_bytes((good / "3.png").read_bytes())
    said = likeness.refused("calibrate", lulu, "--positives", good, "--negatives", bad)
    assert "same.png" in said
    assert "it is one of 'lulu'" in said
    asked = ("calibrate", lulu, "--positives", good, "--negatives", bad, "--plot", "lulu.gif")
    assert "a plot ends in .png or .svg" in likeness.refused(*asked)
