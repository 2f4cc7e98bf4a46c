"""Which pictures `calibrate` takes for examples, and what `feedback` adds to them."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from db.reads import calibration
from db.records import characters
from domain.states import GenerationState
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture
from tests.support.gallery import MODEL, Gallery, spread


@pytest.fixture
def given() -> Mapping[str, str]:
    return {"CLIP_MODEL": MODEL.name}


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


def test_long_pictures_are_calibrated_by_the_crops_that_the_check_looks_at(
    likeness: CommandLine, lulu: str, gallery: Gallery, good: Path, bad: Path
) -> None:
    for number, core in enumerate(spread(0.8, 0.95)):
        gallery.file(f"long/{number}.png", core=0.1, further=[0.2, core])
    for number, core in enumerate(spread(0.3, 0.6)):
        gallery.file(f"others/{number}.png", core=0.15, further=[core, 0.1])
    said = likeness.document(
        "calibrate", lulu, "--positives", gallery.folder / "long", "--negatives", gallery.folder / "others"
    )
    assert (said["core"]["auc"], said["notes"], said["long_pictures"]) == (1.0, [], True)
    assert 0.6 < said["core"]["recommended"]["cut"] < 0.8, "by the best crop of each, not by the central one"
    mixed = likeness.document("calibrate", lulu, "--positives", gallery.folder / "long", "--negatives", bad)
    assert mixed["notes"][0].startswith("the positives are seen in 3 and the negatives in 1 crops")
    square = likeness.document("calibrate", lulu, "--positives", good, "--negatives", bad)
    assert (square["notes"], square["long_pictures"]) == ([], False)


def test_a_calibration_on_square_pictures_raises_the_threshold_of_long_ones(
    likeness: CommandLine, lulu: str, gallery: Gallery, good: Path, bad: Path
) -> None:
    said = likeness.document("calibrate", lulu, "--positives", good, "--negatives", bad, "--apply")
    cut, by_crops = said["core"]["recommended"]["cut"], said["core_by_crops"]
    assert cut < by_crops["3"] < by_crops["5"] < by_crops["9"] < 1
    between = (cut + by_crops["3"]) / 2
    long = gallery.file("wide/three.png", core=0.1, further=[0.2, between])
    square = gallery.file("wide/one.png", core=between)
    ended = likeness("validate", "--character", lulu, long, square, "--json")
    first, second = json.loads(ended.out)["images"]
    assert (first["core"]["passed"], second["core"]["passed"]) == (False, True)
    assert (first["core"]["threshold"], second["core"]["threshold"]) == (by_crops["3"], cut)
    assert first["thresholds_origin"].endswith("; raised for the best of 3 crops")
    assert "must reach more than" in " ".join(
        likeness("calibrate", lulu, "--positives", good, "--negatives", bad).err.split()
    )
