"""No CSV of ours makes a spreadsheet calculate: one function, which every writer uses."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.csv_cells import CellWriter, as_text

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://a.example","a pig")',
    "@SUM(A1)",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "- a list",
    "\t=1",
    "\r=1",
    " =1+1",
    "＝1",
]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_becomes_a_text(cell: str) -> None:
    assert as_text(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["a pig", "", "-0.0712", "+3", "-1e5", "1-2", "a=b", "'=1", 7, -7, -0.5, None, "é=1"])
def test_anything_else_stays(cell: object) -> None:
    assert as_text(cell) == cell


@given(st.lists(st.text(), min_size=1))
def test_no_text_reaches_a_spreadsheet_as_a_formula(cells: list[str]) -> None:
    file = io.StringIO(newline="")
    CellWriter(file).writerow(["first", *cells])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    for written, meant in zip(row[1:], cells, strict=True):
        assert written in {meant, f"'{meant}"}
        if written.lstrip()[:1] in set("=+-@"):
            float(written)
