"""`report` and `export`: files for people, complete, repeatable, and never over something else."""

import csv
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image, PngImagePlugin

from domain.ids import CharacterId
from reports import provenance
from reports.generation_log import COLUMNS
from reports.provenance import Match, original_of, sidecar_of
from tests.support.books import Books
from tests.support.browser import BROWSERS
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture


@pytest.fixture
def given() -> Mapping[str, str]:
    return {}


@pytest.fixture
def farm(likeness: CommandLine, books: Books, home: Path, tmp_path: Path) -> Books:
    """A batch of three: accepted with two pictures, rejected, waiting. Its themes are no names for folders."""
    books.lane()
    Image.new("RGB", (16, 16), "pink").save(tmp_path / "lulu.jpg")
    character = CharacterId(UUID(likeness.document("character", "add", "lulu", "lulu.jpg")["id"]))
    books.batch(3, name="farm", character=character)
    books.sql("UPDATE generations SET theme = '../Beach: day?', variation = position::text")
    accepted, rejected = books.admit(places={"sandbox": 2})
    collect(books, accepted.attempt_id, picture(home, "pink"), picture(home, "teal", 1))
    judge(books, accepted.attempt_id, character, 0.8, 0.9)
    collect(books, rejected.attempt_id, picture(home, "gray"))
    judge(books, rejected.attempt_id, character, 0.2)
    return books


def _pictures(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def _log(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_best_picture_of_what_was_accepted_is_exported_by_theme(
    likeness: CommandLine, farm: Books, tmp_path: Path
) -> None:
    said = likeness.document("export", "farm", "out")
    assert (said["written"], said["kept"], said["lost"]) == (1, 0, [])
    assert _pictures(tmp_path / "out") == ["Beach-day/0/farm-0000.png"], "and nothing outside the folder"
    with Image.open(tmp_path / "out/Beach-day/0/farm-0000.png") as shown:
        assert shown.getpixel((0, 0)) == (0, 128, 128), "the better of the two"
    log = _log(Path(said["log"]))
    assert tuple(log[0]) == COLUMNS
    assert [row["local_path"] for row in log[:1]] == ["out/Beach-day/0/farm-0000.png"]
    assert [row["status"] for row in log] == ["completed", "failed", "pending"]


def test_every_picture_is_exported_where_that_is_wanted(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    assert likeness.document("export", "farm", "out", "--all")["written"] == 3
    assert _pictures(tmp_path / "out") == [
        "Beach-day/0/farm-0000-0.png",
        "Beach-day/0/farm-0000-1.png",
        "rejected/Beach-day/1/farm-0001-0.png",
    ]


def test_a_picture_has_one_number_in_the_report_the_export_and_the_commands(
    likeness: CommandLine, farm: Books, tmp_path: Path
) -> None:
    likeness.document("export", "farm", "out", "--all")
    likeness.document("report", "farm", "--out", "farm.html")
    page = (tmp_path / "farm.html").read_text(encoding="utf-8")
    with Image.open(tmp_path / "out/Beach-day/0/farm-0000-1.png") as shown:
        assert shown.getpixel((0, 0)) == (0, 128, 128)
    teal = next(one for one in likeness.document("show", "farm/0")["assets"] if one["position"] == 1)
    assert likeness.document("feedback", "farm/0", "accepted", "--picture", "1")["asset_id"] == teal["id"]
    assert "Picture 1, core 0.90" in page, "the one that `feedback --picture 1` means"
    assert "farm/0</code>" in page


def test_an_export_goes_on_where_it_stood(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    likeness.document("export", "farm", "out", "--all")
    gone, *kept = sorted((tmp_path / "out").rglob("*.png"))
    times = {path: path.stat().st_mtime_ns for path in kept}
    gone.unlink()
    said = likeness.document("export", "farm", "out", "--all")
    assert (said["written"], said["kept"]) == (1, 2)
    assert gone.is_file()
    assert {path: path.stat().st_mtime_ns for path in kept} == times, "what was there was not written again"


def test_a_file_that_holds_something_else_is_never_written_over_unasked(
    likeness: CommandLine, farm: Books, tmp_path: Path
) -> None:
    mine = tmp_path / "out/Beach-day/0/farm-0000.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert "hold something else" in likeness.refused("export", "farm", "out")
    assert mine.read_bytes() == b"mine"
    assert _pictures(tmp_path / "out") == ["Beach-day/0/farm-0000.png"]
    assert likeness.document("export", "farm", "out", "--overwrite")["written"] == 1
    assert mine.read_bytes() != b"mine"


def test_a_picture_that_the_store_has_lost_is_named_and_the_others_are_exported(
    likeness: CommandLine, farm: Books, home: Path, tmp_path: Path
) -> None:
    lost = Path(likeness.document("show", "farm/0")["assets"][0]["path"])
    lost.unlink()
    said = likeness.document("export", "farm", "out", "--all", code=1)
    assert (said["written"], len(said["lost"])) == (2, 1)
    assert "row 0: the store has lost" in said["lost"][0]


def test_rows_that_share_a_place_in_the_file_get_names_of_their_own(
    likeness: CommandLine, farm: Books, tmp_path: Path
) -> None:
    farm.sql("UPDATE generations SET position = 0")
    likeness.document("export", "farm", "out", "--all")
    names = {Path(name).name for name in _pictures(tmp_path / "out")}
    assert names == {"farm-0000-0.png", "farm-0000-1.png", "farm-0000v2-0.png"}


def test_the_log_alone_goes_to_standard_output_or_to_a_file(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    ended = likeness("export", "farm", "--csv")
    assert (ended.code, ended.err) == (0, "")
    header, *rows = ended.out.splitlines()
    assert header == "index,theme,variation,prompt,task_id,status,image_url,local_path,duration,cost,timestamp,error"
    assert len(rows) == 3
    for target, log in (("my.csv", tmp_path / "my.csv"), ("logs", tmp_path / "logs/batch_generation_log.csv")):
        said = likeness.document("export", "farm", target, "--csv")
        assert Path(said["log"]).resolve() == log
        assert log.read_text(encoding="utf-8").splitlines() == [header, *rows]
    assert _pictures(tmp_path / "logs") == []
    assert "standard output" in likeness.document("export", "farm", "--csv", code=2)["error"]["message"]


def test_a_report_is_one_page_and_nothing_beside_it(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    said = likeness.document("report", "farm", "--out", "sheets/farm.html")
    assert (said["report"], said["pictures"], said["accepted"]) == ("sheets/farm.html", None, 1)
    page = (tmp_path / "sheets/farm.html").read_text(encoding="utf-8")
    assert "prompt 0" in page
    assert [one.name for one in (tmp_path / "sheets").iterdir()] == ["farm.html"]


def test_a_report_is_csv_and_json_too(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    farm.sql("UPDATE generations SET prompt = '=HYPERLINK(1)' WHERE position = 0")
    assert likeness.document("report", "farm", "--format", "csv")["report"] == "report.csv"
    first, second, third = _log(tmp_path / "report.csv")
    assert (first["prompt"], first["end"], first["core"], first["characters"]) == (
        "'=HYPERLINK(1)",
        "accepted",
        "0.9",
        "lulu",
    )
    assert (second["end"], second["verdict"]) == (
        "rejected",
        "Off model: core 0.55 below its threshold, style 0.30 above.",
    )
    assert (third["end"], third["picture"], third["core"]) == ("unfinished", "", "")
    likeness.document("report", "farm", "--format", "json", "--out", "farm.json")
    told = json.loads((tmp_path / "farm.json").read_text(encoding="utf-8"))
    assert (told["accepted"], told["accepted_share"], told["losses"][0]["code"]) == (1, 0.333333, "core too low")
    assert [one["prompt"] for one in told["generations"]] == ["=HYPERLINK(1)", "prompt 1", "prompt 2"]
    assert [one["best"] for one in told["generations"][0]["pictures"]] == [False, True]
    assert {"generation", "validation"} <= set(told["generations"][0]["stage_s"])


def test_a_report_for_programs_goes_to_standard_output_too(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    for form in ("csv", "json"):
        likeness("report", "farm", "--format", form, "--out", f"farm.{form}")
        ended = likeness("report", "farm", "--format", form, "--out", "-")
        assert ended.code == 0
        assert _timeless(ended.out) == _timeless((tmp_path / f"farm.{form}").read_text(encoding="utf-8"))
        refused = likeness.document("report", "farm", "--format", form, "--out", "-", code=2)
        assert "both want" in refused["error"]["message"]
    for form in ("html", "pdf"):
        refusal = f"a report as {form} goes to a file: name one, or say --format csv or --format json"
        assert likeness("report", "farm", "--format", form, "--out", "-").err == f"error: {refusal}\n"
    assert not (tmp_path / "-").exists()


def _timeless(report: str) -> list[str]:
    """The lines but the one that says how long the batch has taken up to now."""
    return [line for line in report.splitlines() if "wall_s" not in line]


def test_a_report_is_printed_where_a_browser_is(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    if not any(map(shutil.which, BROWSERS)):
        reason = "no Chromium on this machine"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    assert likeness.document("report", "farm", "--format", "pdf")["report"] == "report.pdf"
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_without_a_browser_one_sentence_says_what_to_do(
    likeness: CommandLine, farm: Books, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "write HTML and print it from any browser" in likeness.refused("report", "farm", "--format", "pdf")
    assert not (tmp_path / "report.pdf").exists()


def test_a_folder_that_is_none_is_said_so(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    assert "'taken" in likeness.refused("export", "farm", "taken/out")
    assert "'taken" in likeness.refused("report", "farm", "--out", "taken/farm.html")


def test_an_accepted_picture_says_where_it_comes_from_wherever_it_is_copied(
    likeness: CommandLine, farm: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.sql('UPDATE generations SET settings = \'{"seed": 7, "cref_urls": ["https://a.example/1.png?key=secret"]}\'')
    stored = next(one for one in likeness.document("show", "farm/0")["assets"] if one["best"])
    exported = tmp_path / "out/Beach-day/0/farm-0000.png"
    assert likeness.document("export", "farm", "out")["unmarked"] == []
    content = exported.read_bytes()
    assert original_of(content) == Path(stored["path"]).read_bytes(), "the store's file, and the record beside it"
    copied = tmp_path / "elsewhere/renamed"
    copied.parent.mkdir()
    copied.write_bytes(content)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    said = likeness.document("show", copied)
    record = said["record"]
    assert (said["match"], said["embedded"]) == ("unchanged", True)
    assert (record["prompt"], record["theme"], record["batch"], record["row"]) == (
        "prompt 0",
        "../Beach: day?",
        "farm",
        0,
    )
    assert (record["seed"], record["settings"]["cref_urls"]) == (7, ["https://a.example/1.png"])
    assert (record["job_id"] is not None, record["cost_usd"], record["sha256"]) == (True, "0.02", stored["sha256"])
    (check,) = record["checks"]
    assert (check["character"], check["core"], check["core_threshold"], check["passed"]) == ("lulu", 0.9, 0.75, True)
    assert check["scored_by"]["model"] == "small"
    assert json.loads(sidecar_of(exported).read_text(encoding="utf-8")) == record
    (row, *_) = json.loads((tmp_path / "out/farm_generations.json").read_text(encoding="utf-8"))["generations"]
    assert [one["file"] for one in row["pictures"]] == ["Beach-day/0/farm-0000.png"]
    shown = likeness("show", copied)
    assert (shown.code, "prompt 0" in shown.out, "the picture is unchanged" in shown.out) == (0, True, True)
    with Image.open(copied) as picture:
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", picture.info["xmp"].decode())
        picture.rotate(90).point(lambda value: value // 2).save(copied, "PNG", pnginfo=info)
    changed = likeness("show", copied)
    assert (changed.code, "no longer the picture" in changed.out) == (1, True)
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    assert "has no record" in likeness.refused("show", tmp_path / "plain.png")


def test_a_killed_export_leaves_no_half_file_and_goes_on(
    likeness: CommandLine, farm: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[Path] = []
    move = Path.replace

    def dies_at_the_fourth(path: Path, target: Path) -> Path:
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target)
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dies_at_the_fourth)
        assert likeness("export", "farm", "out", "--all").code == 130
    assert len(_pictures(tmp_path / "out")) >= 1
    assert all(
        provenance.read_provenance(one) for one in (tmp_path / "out").rglob("*.png") if not one.name.startswith(".")
    )
    said = likeness.document("export", "farm", "out", "--all")
    assert said["written"] + said["kept"] == 3
    assert said["kept"] == 1
    assert not list((tmp_path / "out").rglob("*.unfinished"))


def test_a_new_verdict_renews_the_record_and_nothing_else(likeness: CommandLine, farm: Books, tmp_path: Path) -> None:
    likeness.document("export", "farm", "out", "--all")
    farm.sql("UPDATE verdicts SET core = 0.91 WHERE core = 0.9")
    said = likeness.document("export", "farm", "out", "--all")
    assert (said["written"], said["kept"]) == (1, 2)
    found = provenance.read_provenance(tmp_path / "out/Beach-day/0/farm-0000-1.png")
    assert found is not None
    assert (found.record["checks"][0]["core"], found.match) == (0.91, Match.UNCHANGED)


def test_what_was_rejected_since_an_earlier_export_is_named_and_left(
    likeness: CommandLine, farm: Books, tmp_path: Path
) -> None:
    assert likeness.document("export", "farm", "out")["leftovers"] == []
    farm.sql("UPDATE generations SET state = 'rejected' WHERE position = 0")
    left = tmp_path / "out/Beach-day/0/farm-0000.png"
    said = likeness.document("export", "farm", "out")
    assert (said["written"], said["kept"], said["leftovers"]) == (0, 0, ["out/Beach-day/0/farm-0000.png"])
    told = " ".join(likeness("export", "farm", "out").err.split())
    assert "1 picture of an earlier export would not be written now: Beach-day/0/farm-0000.png; nothing was" in told
    assert left.is_file()
    assert likeness.document("export", "farm", "out", "--all")["leftovers"] == ["out/Beach-day/0/farm-0000.png"]
    left.unlink()
    assert likeness.document("export", "farm", "out", "--all")["leftovers"] == []
    farm.sql("UPDATE generations SET state = 'completed' WHERE position = 0")
    below = ["out/rejected/Beach-day/0/farm-0000-0.png", "out/rejected/Beach-day/0/farm-0000-1.png"]
    assert likeness.document("export", "farm", "out", "--all")["leftovers"] == below


def test_other_files_in_the_folder_of_an_export_are_nobodys_leftovers(
    likeness: CommandLine, farm: Books, tmp_path: Path
) -> None:
    likeness.document("export", "farm", "out", "--names", "{theme}_{row}")
    (tmp_path / "out/notes.png.json").write_text("no JSON", encoding="utf-8")
    (tmp_path / "out/notes.png").write_bytes(b"mine")
    (tmp_path / "out/list.txt.json").write_text("[]", encoding="utf-8")
    (tmp_path / "out/list.txt").write_bytes(b"mine")
    assert likeness.document("export", "farm", "out")["leftovers"] == [], "it is there under another name too"


def test_links_take_no_place_and_have_their_record_beside_them(
    likeness: CommandLine, farm: Books, tmp_path: Path
) -> None:
    stored = Path(next(one for one in likeness.document("show", "farm/0")["assets"] if one["best"])["path"])
    said = likeness.document("export", "farm", "out", "--link", "--names", "{theme}_{variation}_{row}")
    assert (said["written"], said["linked"]) == (1, 1)
    linked = tmp_path / "out/Beach-day_0_0000.png"
    assert linked.samefile(stored)
    said = likeness.document("show", linked)
    assert (said["match"], said["embedded"], said["record"]["prompt"]) == ("unchanged", False, "prompt 0")
    again = likeness.document("export", "farm", "out", "--link", "--names", "{theme}_{variation}_{row}")
    assert (again["written"], again["kept"]) == (0, 1)
    # Without --link the name gets a file of its own, and the stored one stays as it was.
    before = stored.read_bytes()
    assert likeness.document("export", "farm", "out", "--names", "{theme}_{variation}_{row}")["written"] == 1
    assert stored.read_bytes() == before
    assert not linked.samefile(stored)
    assert "template" in likeness.refused("export", "farm", "out", "--names", "{nothing}")
