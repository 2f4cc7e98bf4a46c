"""`calibrate` from the command line: examples of known embeddings, so that no model is needed to know the answers."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import likeness as face
from db.reads import calibration
from db.records import characters
from db.records.characters import NewThresholds
from db.session import Database
from domain.ids import sha256
from domain.states import GenerationState
from pipeline.process.embedding_cache import KeptEmbeddings
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture
from validation.base import Embedding
from validation.embedder import ScoringModel
from validation.similarity import Frame

SIDE = 512
#: Known by its name alone: its weights are on no machine.
MODEL = ScoringModel(
    name="nobody/flat",
    revision="r",
    preprocessing="p",
    dtype="float32",
    frame=Frame(
        core_centre=np.zeros(SIDE, np.float32),
        style_centre=np.zeros(2, np.float32),
        style_spread=np.ones(2, np.float32),
    ),
)


def core_vector(cosine: float, axis: int) -> bytes:
    """That far from the first axis, into a direction of its own: no two of them are more alike than they must be."""
    vector = np.zeros(SIDE, "<f4")
    vector[0], vector[axis] = cosine, sqrt(1 - cosine**2)
    return vector.tobytes()


def flat(cosine: float) -> bytes:
    return np.array([cosine, sqrt(1 - cosine**2)], dtype="<f4").tobytes()


def spread(low: float, high: float, number: int = 30) -> list[float]:
    return [float(score) for score in np.linspace(low, high, number)]


@dataclass(slots=True)
class Gallery:
    """Pictures in folders, each with the cosines that it shall have with the first reference."""

    folder: Path
    kept: KeptEmbeddings
    numbers: Iterator[int]

    def file(self, name: str, *, core: float, style: float = 0.9, axis: int | None = None) -> Path:
        number = next(self.numbers)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number // 256, number % 256, 7)).save(path)
        self.known(path.read_bytes(), core=core, style=style, axis=axis)
        return path

    def known(self, content: bytes, *, core: float, style: float = 0.9, axis: int | None = None) -> None:
        """Args: axis: the direction that it shares with others; None: one of its own."""
        vector = core_vector(core, next(self.numbers) % SIDE if axis is None else axis)
        self.kept.put_many({sha256(content): Embedding(core=vector, style=flat(style))}, model=MODEL.fingerprint)

    def set_of(self, name: str, cores: Sequence[float], styles: Sequence[float]) -> Path:
        for number, (core, style) in enumerate(zip(cores, styles, strict=True)):
            self.file(f"{name}/{number}.png", core=core, style=style)
        return self.folder / name


@pytest.fixture
def given() -> Mapping[str, str]:
    return {"CLIP_MODEL": MODEL.name}


@pytest.fixture
def gallery(database: Database, tmp_path: Path) -> Gallery:
    kept = KeptEmbeddings(database)
    kept.keep_model(MODEL)
    return Gallery(folder=tmp_path, kept=kept, numbers=count(1))


@pytest.fixture
def lulu(likeness: CommandLine, gallery: Gallery) -> str:
    """A character with one reference, from which every picture has the cosines that it was given."""
    likeness.document("character", "add", "lulu", gallery.file("lulu.png", core=1.0, style=1.0))
    return "lulu"


@pytest.fixture
def good(gallery: Gallery) -> Path:
    return gallery.set_of("good", spread(0.8, 0.95), spread(0.7, 0.9))


@pytest.fixture
def bad(gallery: Gallery) -> Path:
    return gallery.set_of("bad", spread(0.1, 0.6), spread(0.0, 0.3))


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


def test_without_folders_references_and_other_characters_are_the_examples(
    likeness: CommandLine, gallery: Gallery, books: Books, home: Path
) -> None:
    own = [gallery.file(f"own/{number}.png", core=core) for number, core in enumerate((1.0, 0.9, 0.8))]
    likeness.document("character", "add", "lulu", *own)
    likeness.document("character", "add", "momo", gallery.file("momo.png", core=0.1), gallery.file("m.png", core=0.2))
    likeness.document("character", "add", "lulu-again", own[1], gallery.file("more.png", core=0.9))
    with books.database.transaction() as connection:
        momo, lulu = (characters.find(connection, name).id for name in ("momo", "lulu"))
    for number, colour in enumerate(("teal", "navy")):
        content = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(content, "PNG")
        gallery.known(content.getvalue(), core=0.3)
        attempt_id = books.admitted(name=colour, character=momo)
        assert collect(books, attempt_id, picture(home, colour)) is GenerationState.VALIDATING
        # The second one is rejected: whom it shows, nobody knows.
        judge(books, attempt_id, momo, 0.9 - number)
    ended = likeness("calibrate", "lulu")
    assert "'lulu-again' shares a reference with 'lulu' and is left out" in ended.err
    said = likeness.document("calibrate", "lulu")
    assert said["examples"]["positives"] == {"references, each left out in turn": 3}
    assert said["examples"]["negatives"] == {"references of momo": 2, "pictures of momo": 1}
    assert said["core"]["present"]["false_reject"] == 0, "no reference is held against itself alone"
    assert said["core"]["auc"] == 1.0
    books.sql(f"UPDATE generations SET further_character_ids = ARRAY['{lulu}'::uuid]")
    with books.database.transaction() as connection:
        found = calibration.pictures_of_others(connection, lulu, each=5, most=5)
    assert [one.reference for one in found] == [True, True], "a picture of both shows it too"


def test_pictures_that_are_all_but_the_same_are_one_example(
    likeness: CommandLine, lulu: str, gallery: Gallery, bad: Path
) -> None:
    for number, core in enumerate(spread(0.8, 0.95)):
        # Ten designs, each three times: as a folder has it where one picture was saved again and again.
        gallery.file(f"again/{number}.png", core=core, axis=500 + number // 3)
    asked = ("calibrate", lulu, "--positives", gallery.folder / "again", "--negatives", bad)
    said = likeness.document(*asked)
    core = said["core"]
    assert (core["positives"], core["positive_groups"], core["negative_groups"]) == (30, 10, 30)
    assert said["lacking"] == ["10 more independent positives (30 count as 10 of at least 20)"]
    (note,) = said["notes"]
    assert note.startswith(
        "the 30 positives count as 10: pictures of one generation, and pictures with a cosine of 0.98"
    )
    assert note in " ".join(likeness(*asked).err.split())
    assert likeness(*asked, "--apply").code == 2


def test_a_positive_that_is_all_but_a_reference_is_left_out_and_named(
    likeness: CommandLine, lulu: str, gallery: Gallery, good: Path, bad: Path
) -> None:
    # The reference saved again as JPEG: another digest, the same picture.
    copy = gallery.file("good/reference-again.png", core=0.9996)
    asked = ("calibrate", lulu, "--positives", good, "--negatives", bad)
    said = likeness.document(*asked)
    assert said["core"]["positives"] == 30
    why = "it is all but reference 1 (cosine 0.9996), and would be held against itself"
    assert said["left_out"] == [f"{copy}: {why}"]
    assert why in " ".join(likeness(*asked).err.split())


def test_a_reference_is_held_against_the_others_only(likeness: CommandLine, gallery: Gallery, bad: Path) -> None:
    own = [gallery.file(f"own/{number}.png", core=core) for number, core in enumerate((1.0, 0.9, -0.5))]
    likeness.document("character", "add", "lulu", *own)
    said = likeness.document("calibrate", "lulu", "--negatives", bad)
    # The third is like neither of the first two, and would be like itself.
    assert said["core"]["present"]["false_reject"] == pytest.approx(1 / 3)


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


def test_what_people_said_of_results_is_an_example(
    likeness: CommandLine, lulu: str, gallery: Gallery, books: Books, home: Path
) -> None:
    with books.database.transaction() as connection:
        character = characters.find(connection, lulu).id
    for number, (colour, core) in enumerate({"teal": 0.9, "navy": 0.3, "red": 0.85}.items()):
        attempt_id = books.admitted(name=f"batch-{number}", character=character)
        stored = picture(home, colour)
        gallery.known((home / "pictures" / str(stored.r2_key)).read_bytes(), core=core)
        collect(books, attempt_id, stored)
        judge(books, attempt_id, character, core)
    said = likeness.document("feedback", "batch-0/0", "accepted", "--comment", "her scarf")
    assert said["feedback_type"] == "accepted"
    likeness.document("feedback", "batch-1/0", "accepted")
    likeness.document("feedback", "batch-1/0", "rejected", "--picture", "0")
    likeness.document("feedback", "batch-2/0", "heart", "--rating", "5")
    found = likeness.document("calibrate", lulu)
    assert found["examples"] == {
        "positives": {"pictures accepted by a person": 1},
        "negatives": {"pictures rejected by a person": 1},
    }, "the last word on a picture counts, and liking one says nothing about whom it shows"
    assert (found["calibrated"], found["core"]["auc"]) == (False, 1.0)
    assert "accepted, her scarf" in likeness("show", "batch-0/0").out
    (kept,) = likeness.document("show", "batch-2/0")["feedback"]
    assert (kept["feedback_type"], kept["rating"], kept["user_id"]) == ("heart", 5, "user-1")


def test_pictures_of_one_generation_are_one_example(
    likeness: CommandLine, lulu: str, gallery: Gallery, books: Books, home: Path
) -> None:
    with books.database.transaction() as connection:
        character = characters.find(connection, lulu).id
    stored = [picture(home, colour, position) for position, colour in enumerate(("teal", "navy", "red"))]
    for one, core in zip(stored, (0.9, 0.85, 0.3), strict=True):
        gallery.known((home / "pictures" / str(one.r2_key)).read_bytes(), core=core)
    attempt_id = books.admitted(name="grid", character=character)
    collect(books, attempt_id, *stored)
    judge(books, attempt_id, character, 0.9, 0.85, 0.3)
    for position, word in enumerate(("accepted", "accepted", "rejected")):
        likeness.document("feedback", "grid/0", word, "--picture", str(position))
    core = likeness.document("calibrate", lulu)["core"]
    assert (core["positives"], core["positive_groups"]) == (2, 1), "however little alike they are"
    assert (core["negatives"], core["negative_groups"]) == (1, 1)


def test_feedback_without_its_parts_is_refused(likeness: CommandLine, books: Books) -> None:
    books.admitted(name="plain")
    assert "a rating is a number" in likeness.refused("feedback", "plain/0", "rating")
    assert "a comment is words" in likeness.refused("feedback", "plain/0", "comment")
    assert "no stored picture yet" in likeness.refused("feedback", "plain/0", "accepted")
    assert "no stored picture '3'" in likeness.refused("feedback", "plain/0", "heart", "--picture", "3")
    assert "has no row 7" in likeness.refused("feedback", "plain/7", "heart")
    assert likeness.document("feedback", "plain/0", "comment", "--comment", "later")["asset_id"] is None
