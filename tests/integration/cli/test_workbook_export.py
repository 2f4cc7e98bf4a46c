"""`export --format xlsx`: what it holds, and that it is a way in that costs nothing for what is finished."""

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import openpyxl
import pytest
from PIL import Image

from domain.ids import CharacterId
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.finished import collect, judge, picture
from tests.support.sheet_writers import opened_by_libreoffice, separated_by_libreoffice

_PROMPTS = """index,theme,prompt,aspect_ratio,seed,cref_urls,note,status
1,beach,"=1+1 is what the pig counts, at the sea",16:9,7,https://img.example/a.png https://img.example/b.png,for Ann,
2,beach,@pig on a plate,1:1,,,,approved
007,farm,"two
lines",,,,"=HYPERLINK(""https://evil.example"")",draft
"""

#: As a prompt and, cut, as a theme: markup, a formula of each kind, right-to-left text with its marks, and 10 kB.
_HOSTILE = (
    "<script>alert(1)</script> & <b>a pig</b>",
    '=HYPERLINK("https://evil.example","a pig")',
    "+1+cmd|' /C calc'!A0",
    "-2+3 pigs",
    "@SUM(1+1) of pigs",
    "חזיר ורוד \u202eevil\u202c خنزير وردي",
    f"a pig{670 * ' in long grass,'} soft light",
)


@pytest.fixture
def given() -> Mapping[str, str]:
    return {"SANDBOX_BASE_URL": "http://127.0.0.1:9"}


def _rows(path: Path) -> list[dict[str, object]]:
    header, *rows = openpyxl.load_workbook(path).worksheets[0].iter_rows()
    return [{str(name.value): cell.value for name, cell in zip(header, row, strict=True)} for row in rows]


def test_a_batch_of_a_csv_comes_back_as_a_workbook_that_is_known(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "farm.csv").write_text(_PROMPTS, encoding="utf-8")
    common = ("--provider", "sandbox", "--mode", "fast", "--cref-weight", "80")
    enqueued = likeness.document("enqueue", "farm.csv", *common)
    assert (enqueued["new"], enqueued["known"]) == (3, 0)

    said = likeness.document("export", "farm", "out", "--format", "xlsx")
    assert (said["workbook"], said["rows"], said["warnings"]) == ("out/farm.xlsx", 3, [])
    first, second, third = _rows(tmp_path / "out/farm.xlsx")
    assert first["prompt"] == "=1+1 is what the pig counts, at the sea"
    assert (first["seed"], first["cref_weight"], first["aspect_ratio"], first["mode"]) == (7, 80, "16:9", "fast")
    assert first["cref_urls"] == "https://img.example/a.png https://img.example/b.png"
    assert (third["index"], third["prompt"], third["note"]) == (
        "007",
        "two\nlines",
        '=HYPERLINK("https://evil.example")',
    )
    assert {row["status"] for row in (first, second, third)} <= {"pending", "processing"}
    assert [row["approved"] for row in (first, second, third)] == [None, "approved", "draft"]

    again = likeness.document("enqueue", "out/farm.xlsx")
    assert (again["new"], again["known"]) == (0, 3), "without any of the options that the batch was made with"


def test_no_cell_is_a_formula(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "farm.csv").write_text(_PROMPTS, encoding="utf-8")
    likeness.document("enqueue", "farm.csv", "--provider", "sandbox")
    likeness.document("export", "farm", "farm.xlsx", "--format", "xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "farm.xlsx").worksheets[0]
    assert not [cell for row in sheet.iter_rows() for cell in row if cell.data_type == "f" or cell.hyperlink]


@pytest.mark.slow
def test_libreoffice_finds_text_in_hostile_cells_and_its_workbook_is_known(
    likeness: CommandLine, tmp_path: Path
) -> None:
    with (tmp_path / "farm.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("prompt", "theme"), *((prompt, prompt[:40]) for prompt in _HOSTILE)])
    likeness.document("enqueue", "farm.csv", "--provider", "sandbox")
    likeness.document("export", "farm", "farm.xlsx", "--format", "xlsx")
    likeness.document("report", "farm", "--format", "csv", "--out", "log.csv")

    opened_by_libreoffice(tmp_path / "farm.xlsx", tmp_path / "workbook.ods")
    separated_by_libreoffice(tmp_path / "farm.xlsx", tmp_path / "workbook.csv")
    opened_by_libreoffice(tmp_path / "log.csv", tmp_path / "log.ods")
    for name in ("workbook.ods", "log.ods"):
        content = zipfile.ZipFile(tmp_path / name).read("content.xml").decode()
        assert "table:formula" not in content, name
        assert "Err:" not in content
        assert "<script" not in content
    with (tmp_path / "workbook.csv").open(encoding="utf-8", newline="") as file:
        assert [row["prompt"] for row in csv.DictReader(file)] == list(_HOSTILE)

    for name in ("workbook.ods", "workbook.csv"):
        again = likeness.document("enqueue", name, "--name", "farm", "--provider", "sandbox")
        assert (again["new"], again["known"]) == (0, len(_HOSTILE)), name


def test_the_picture_the_scores_and_the_cost_stand_in_the_row(
    likeness: CommandLine, books: Books, home: Path, tmp_path: Path
) -> None:
    books.lane()
    Image.new("RGB", (16, 16), "pink").save(tmp_path / "lulu.jpg")
    character = CharacterId(UUID(likeness.document("character", "add", "lulu", "lulu.jpg")["id"]))
    books.batch(2, name="farm", character=character)
    accepted, rejected = books.admit(places={"sandbox": 2})
    collect(books, accepted.attempt_id, picture(home, "pink"), picture(home, "teal", 1))
    judge(books, accepted.attempt_id, character, 0.8, 0.9)
    collect(books, rejected.attempt_id, picture(home, "gray"))
    judge(books, rejected.attempt_id, character, 0.2)

    said = likeness.document("export", "farm", ".", "--format", "xlsx")
    assert (said["rows"], said["pictures"]) == (2, 2)
    rows = _rows(tmp_path / "farm.xlsx")
    assert [row["status"] for row in rows] == ["completed", "failed"]
    assert [row["core_score"] for row in rows] == [pytest.approx(0.9), pytest.approx(0.2)]
    assert [row["character"] for row in rows] == ["lulu", "lulu"]
    assert all(isinstance(row["cost_usd"], int | float) for row in rows)
    sheet = openpyxl.load_workbook(tmp_path / "farm.xlsx").worksheets[0]
    column = [cell.value for cell in sheet[1]].index("picture")
    assert [(one.anchor._from.row, one.anchor._from.col) for one in sheet._images] == [(1, column), (2, column)]

    assert likeness.document("enqueue", "farm.xlsx", "--dry-run")["total"] == 2


def test_a_workbook_with_remarks_is_not_written_over(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "farm.csv").write_text(_PROMPTS, encoding="utf-8")
    likeness.document("enqueue", "farm.csv", "--provider", "sandbox")
    likeness.document("export", "farm", "farm.xlsx", "--format", "xlsx")
    likeness.document("export", "farm", "farm.xlsx", "--format", "xlsx")
    book = openpyxl.load_workbook(tmp_path / "farm.xlsx")
    book.worksheets[0]["D2"] = "a remark"
    book.save(tmp_path / "farm.xlsx")
    before = (tmp_path / "farm.xlsx").read_bytes()
    assert "say --overwrite" in likeness.refused("export", "farm", "farm.xlsx", "--format", "xlsx")
    assert (tmp_path / "farm.xlsx").read_bytes() == before
    likeness.document("export", "farm", "farm.xlsx", "--format", "xlsx", "--overwrite")
    assert not list(tmp_path.glob(".export-*"))


def test_a_workbook_needs_a_name(likeness: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "farm.csv").write_text(_PROMPTS, encoding="utf-8")
    likeness.document("enqueue", "farm.csv", "--provider", "sandbox")
    assert "name the workbook" in likeness.refused("export", "farm", "--format", "xlsx")
