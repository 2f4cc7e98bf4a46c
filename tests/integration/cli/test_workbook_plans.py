"""The same prompts in every format make the same plan, whoever wrote the workbook, or differ in a way that is named."""

import csv
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.intake.prompt_file import read_prompts
from tests.support.command_line import CommandLine
from tests.support.sheet_writers import WRITERS, by_libreoffice, by_openpyxl, separated_by_libreoffice
from tests.support.workbooks import ods, ods_row, ods_table

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/lulu-pig/prompts.csv"
#: What spreadsheets are known to change, beside what they leave alone.
AWKWARD = (
    ("index", "prompt", "aspect_ratio", "cref_weight", "note"),
    ("1", "Lulu Pig at the sea — “misty” morning, soft & calm", "16:9", "80", "<b>5 > 4</b>"),
    ("2", "two\nlines, 海 and 🐷", "1:1", "", "it's"),
    ("3", "a pig that counts 1,000 stars", "21:9", "7", "x"),
)
_DRY = ("--provider", "sandbox", "--dry-run")


@pytest.fixture
def given() -> Mapping[str, str]:
    return {"SANDBOX_BASE_URL": "http://127.0.0.1:9"}


def _table(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _csv(rows: object, path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)  # type: ignore[arg-type]  # rows of texts, of whatever kind
    return path


def test_the_examples_make_one_plan_as_csv_xlsx_and_ods(likeness: CommandLine, tmp_path: Path) -> None:
    table = _table(EXAMPLES)
    assert len(table) == 29
    by_openpyxl(table, tmp_path / "prompts.xlsx")
    escaped = ([cell.replace("&", "&amp;").replace("<", "&lt;") for cell in row] for row in table)
    (tmp_path / "prompts.ods").write_bytes(ods(ods_table(*(ods_row(*row) for row in escaped))))
    plans = [likeness.document("run", path, *_DRY) for path in (EXAMPLES, "prompts.xlsx", "prompts.ods")]
    assert len({plan["plan_hash"] for plan in plans}) == 1
    assert [(plan["total"], plan["warnings"]) for plan in plans] == [(28, [])] * 3
    said = likeness("run", "prompts.xlsx", *_DRY)
    assert f"plan {plans[0]['plan_hash']}" in said.out


def test_another_prompt_makes_another_plan(likeness: CommandLine, tmp_path: Path) -> None:
    hashes = set()
    for prompt in ("a pig", "a hat"):
        (tmp_path / "p.csv").write_text(f"prompt\n{prompt}\n", encoding="utf-8")
        hashes.add(likeness.document("run", "p.csv", *_DRY)["plan_hash"])
    assert len(hashes) == 2


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_program_writes_the_same_plan(likeness: CommandLine, tmp_path: Path, writer: str) -> None:
    write, suffix = WRITERS[writer]
    for name, table in (("examples", _table(EXAMPLES)), ("awkward", AWKWARD)):
        path = tmp_path / f"{name}{suffix}"
        write(table, path)
        expected = likeness.document("run", _csv(table, tmp_path / f"{name}-source.csv"), *_DRY)
        found = likeness.document("run", path, *_DRY)
        assert (found["plan_hash"], found["total"]) == (expected["plan_hash"], expected["total"])
        assert found["warnings"] == expected["warnings"]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_text_that_libreoffice_saves_has_the_rows_of_its_workbook(tmp_path: Path) -> None:
    for name, table in (("examples", _table(EXAMPLES)), ("awkward", AWKWARD)):
        book = tmp_path / f"{name}.ods"
        by_libreoffice(table, book)
        expected = [(row.prompt, row.settings, row.index, row.extra) for row in read_prompts(book)]
        assert len(expected) == len(table) - 1
        for suffix in (".csv", ".tsv"):
            path = tmp_path / f"{name}-saved{suffix}"
            separated_by_libreoffice(book, path)
            assert [(row.prompt, row.settings, row.index, row.extra) for row in read_prompts(path)] == expected


#: Programs that take 3/4 for a day of the year where they read a CSV; SheetJS leaves it alone.
_DATED = frozenset({"LibreOffice", "Gnumeric"})


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("writer", [one for one in WRITERS if one.startswith(("LibreOffice", "Gnumeric", "SheetJS"))])
def test_a_ratio_that_became_a_date_is_refused_with_its_cell(
    likeness: CommandLine, tmp_path: Path, writer: str
) -> None:
    write, suffix = WRITERS[writer]
    path = tmp_path / f"Prompts{suffix}"
    write((("index", "prompt", "aspect_ratio"), ("007", "a pig", "3/4")), path)
    if writer.split(maxsplit=1)[0] in _DATED:
        sentence = likeness.refused("run", path, *_DRY)
        assert "!C2: aspect_ratio is the date" in sentence
        assert "type it as text" in sentence
    else:
        assert likeness.document("run", path, *_DRY)["total"] == 1
