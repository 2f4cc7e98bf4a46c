"""Which table of a workbook is read, and what of it is passed over and named."""

from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest
from openpyxl.chart import BarChart
from openpyxl.worksheet.table import Table
from openpyxl.worksheet.worksheet import Worksheet

from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.workbooks.choose import WorkbookOptions
from tests.support.workbooks import Case, check, rows, written, xlsx

Fill = Callable[[openpyxl.Workbook, Worksheet], None]
_HIDDEN = WorkbookOptions(hidden=True)
_TWO = [("a pig", {"theme": "sea"}), ("a hat", {"theme": "town"})]


def two(edit: Fill = lambda _book, _sheet: None) -> bytes:
    """Two prompts with themes, changed as wanted."""

    def fill(book: openpyxl.Workbook, sheet: Worksheet) -> None:
        for row in (["prompt", "theme"], ["a pig", "sea"], ["a hat", "town"]):
            sheet.append(row)
        edit(book, sheet)

    return xlsx(fill)


def at(corner: str, *every: list[object], title: str | None = None) -> bytes:
    """A table whose header begins in `corner`."""

    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        if title is not None:
            sheet["A1"] = title
        first = sheet[corner]
        for down, row in enumerate(every):
            for across, value in enumerate(row):
                sheet.cell(first.row + down, first.column + across, value)

    return xlsx(fill)


def _second_sheet(book: openpyxl.Workbook, _sheet: Worksheet) -> None:
    other = book.create_sheet("More")
    other.append(["prompt"])
    other.append(["a cat"])


def _hide_row(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
    sheet.row_dimensions[3].hidden = True


def _filter(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
    sheet.auto_filter.ref = "A1:B3"
    sheet.auto_filter.add_filter_column(1, ["sea"])
    sheet.row_dimensions[3].hidden = True


def _hide_column(name: str) -> Fill:
    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet.column_dimensions[name].hidden = True

    return fill


def _hidden_sheet(book: openpyxl.Workbook, sheet: Worksheet) -> None:
    sheet.sheet_state = "hidden"
    book.create_sheet("Notes").append(["nothing here"])


def _hidden_beside(book: openpyxl.Workbook, sheet: Worksheet) -> None:
    _second_sheet(book, sheet)
    book["More"].sheet_state = "veryHidden"


def _declared(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
    sheet.append(["Sum of all", "2"])
    table = Table(displayName="Batch", ref="A1:B4")
    table.totalsRowCount = 1
    sheet.add_table(table)
    sheet["A6"] = "left over from last year"


def _two_declared(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
    sheet.add_table(Table(displayName="First", ref="A1:B3"))
    for down, value in enumerate(["prompt", "a cat"]):
        sheet.cell(1 + down, 5, value)
    sheet["F1"], sheet["F2"] = "theme", "wood"
    sheet.add_table(Table(displayName="Second", ref="E1:F2"))


def _totals(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
    sheet.append(["Total", "2 themes"])


def _totals_beside(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
    sheet.append([None, "Total:"])


def _chart_first(book: openpyxl.Workbook, _sheet: Worksheet) -> None:
    book.create_chartsheet("Chart", 0).add_chart(BarChart())


CASES = [
    Case(says="one plain table", content=two(), rows=_TWO),
    Case(
        says="a title above the header",
        content=at("A3", ["prompt", "theme"], ["a pig", "sea"], title="Prompts for the spring"),
        rows=_TWO[:1],
    ),
    Case(
        says="a title that is called like the column",
        content=at("A3", ["index", "prompt", "theme"], [1, "a pig", "sea"], title="Prompt"),
        rows=[("a pig", {"index": "1", "theme": "sea"})],
    ),
    Case(says="a table that begins at C4", content=at("C4", ["prompt", "theme"], ["a pig", "sea"]), rows=_TWO[:1]),
    Case(
        says="the cells of a table that begins at C4",
        content=at("C4", ["prompt", "seed"], ["a pig", 1], ["a hat", "x"]),
        refused="Prompts!D6: seed in 'p.xlsx' is 'x'",
    ),
    Case(
        says="blank columns and rows between",
        content=at("A1", ["prompt", None, "theme"], ["a pig", None, "sea"], [None], ["a hat", None, "town"]),
        rows=_TWO,
    ),
    Case(
        says="a column without a name",
        content=at("A1", ["prompt", None, "theme"], ["a pig", "for Ann", "sea"]),
        rows=[("a pig", {"theme": "sea", "column B": "for Ann"})],
    ),
    Case(
        says="a header that is a number",
        content=at("A1", ["prompt", 2026], ["a pig", "x"]),
        rows=[("a pig", {"2026": "x"})],
    ),
    Case(
        says="two sheets with prompts",
        content=two(_second_sheet),
        refused="'p.xlsx' has 2 tables with a column 'prompt': 'Prompts'; 'More'; name",
    ),
    Case(
        says="a sheet by name", content=two(_second_sheet), rows=[("a cat", {})], options=WorkbookOptions(sheet="more ")
    ),
    Case(says="a sheet by number", content=two(_second_sheet), rows=_TWO, options=WorkbookOptions(sheet="1")),
    Case(
        says="a sheet that there is not",
        content=two(_second_sheet),
        refused="no sheet and no table 'Mroe'; its sheets are 'Prompts', 'More'",
        options=WorkbookOptions(sheet="Mroe"),
    ),
    Case(says="prompts on a hidden sheet", content=two(_hidden_sheet), refused="on the hidden sheet 'Prompts'; show"),
    Case(says="a hidden sheet that is asked for", content=two(_hidden_sheet), rows=_TWO, options=_HIDDEN),
    Case(
        says="a hidden sheet beside",
        content=two(_hidden_beside),
        rows=_TWO,
        warnings=["the hidden sheet 'More' has 1 prompts, which are passed over"],
    ),
    Case(
        says="a hidden sheet beside, with hidden ones read",
        content=two(_hidden_beside),
        refused="has 2 tables",
        options=_HIDDEN,
    ),
    Case(
        says="a hidden sheet by name", content=two(_hidden_sheet), rows=_TWO, options=WorkbookOptions(sheet="Prompts")
    ),
    Case(
        says="a hidden row",
        content=two(_hide_row),
        rows=_TWO[:1],
        warnings=["Prompts!A3: hidden or filtered rows are passed over"],
    ),
    Case(says="a hidden row that is asked for", content=two(_hide_row), rows=_TWO, options=_HIDDEN),
    Case(
        says="a filtered row",
        content=two(_filter),
        rows=_TWO[:1],
        warnings=["Prompts!A3: hidden or filtered rows are passed over"],
    ),
    Case(
        says="a hidden column",
        content=two(_hide_column("B")),
        rows=[("a pig", {}), ("a hat", {})],
        warnings=["Prompts!B1: hidden columns are not read"],
    ),
    Case(says="a hidden column that is asked for", content=two(_hide_column("B")), rows=_TWO, options=_HIDDEN),
    Case(
        says="hidden prompts",
        content=two(_hide_column("A")),
        refused="Prompts!A1: the column 'prompt' of 'p.xlsx' is hid",
    ),
    Case(
        says="a declared table ends where it says",
        content=two(_declared),
        rows=_TWO,
        warnings=["Prompts!A4: a row of totals is passed over", "Prompts!A6: rows below the table are passed over"],
    ),
    Case(
        says="two declared tables on a sheet",
        content=two(_two_declared),
        refused="has 2 tables with a column 'prompt': 'Prompts', table 'First'; 'Prompts', table 'Second'",
    ),
    Case(
        says="a declared table by name",
        content=two(_two_declared),
        rows=[("a cat", {"theme": "wood"})],
        options=WorkbookOptions(sheet="second"),
    ),
    Case(says="a row of totals", content=two(_totals), rows=_TWO, warnings=["Prompts!A4: a row of totals"]),
    Case(
        says="totals beside no prompt", content=two(_totals_beside), rows=_TWO, warnings=["Prompts!A4: a row of totals"]
    ),
    Case(
        says="prompts twice in a header",
        content=at("A1", ["prompt", "theme", "Prompt"], ["a", "b", "c"]),
        refused="Prompts!C1: 'p.xlsx' names the column 'Prompt' twice, first in Prompts!A1",
    ),
    Case(
        says="no column of prompts",
        content=at("B2", ["text", "theme"], ["a pig", "sea"]),
        refused="no sheet of 'p.xlsx' has a column 'prompt' (the first row of 'Prompts' holds 'text' (B2)",
    ),
    Case(says="an empty workbook", content=xlsx(rows()), refused="'p.xlsx' is empty"),
    Case(says="a header alone", content=xlsx(rows(["prompt"])), refused="'p.xlsx' has a header and no row"),
    Case(says="a chart before the sheet", content=two(_chart_first), rows=_TWO),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_table(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_a_name_with_blanks_stands_in_quotes(tmp_path: Path) -> None:
    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet.title = "Ann's prompts"
        sheet.append(["prompt", "seed"])
        sheet.append(["a pig", "x"])

    check(Case(says="", content=xlsx(fill), refused="'Ann''s prompts'!B2: seed"), tmp_path)


def test_blank_and_unapproved_rows_are_counted(tmp_path: Path) -> None:
    content = xlsx(
        rows(["prompt", "status"], ["a", "approved"], [None, "approved"], ["  ", None], ["b", "draft"], ["c", "yes"])
    )
    found = read_prompts(written(tmp_path, content, "p.xlsx"), approved_only=True)
    assert ([row.prompt for row in found], found.blank, found.unapproved.total()) == (["a", "c"], 2, 1)
    assert [row.line for row in found] == [2, 6]


def test_a_range_counts_usable_rows(tmp_path: Path) -> None:
    path = written(tmp_path, xlsx(rows(["prompt"], ["a"], [None], ["b"], ["c"])), "p.xlsx")
    assert [row.prompt for row in read_prompts(path, start=1, end=2)] == ["b"]


def test_many_places_of_one_kind_make_one_sentence(tmp_path: Path) -> None:
    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet.append(["prompt"])
        for number in range(2, 30):
            sheet.append([f"pig {number}"])
            sheet.row_dimensions[number].hidden = number > 9

    (said,) = read_prompts(written(tmp_path, xlsx(fill), "p.xlsx")).warnings
    assert said.startswith("Prompts!A10, Prompts!A11, Prompts!A12, Prompts!A13, Prompts!A14 and 15 more: hidden")


def test_options_of_a_workbook_are_refused_for_a_csv(tmp_path: Path) -> None:
    path = written(tmp_path, b"prompt\na pig\n", "p.csv")
    check(
        Case(says="", content=path.read_bytes(), name="p.csv", refused="no workbook; leave out", options=_HIDDEN),
        tmp_path,
    )
