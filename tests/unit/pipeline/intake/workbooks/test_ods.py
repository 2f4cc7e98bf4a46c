"""The same for .ods, written as LibreOffice and Gnumeric write it, and as they do not."""

from pathlib import Path

import pytest

from pipeline.intake.workbooks.choose import WorkbookOptions
from tests.support.workbooks import Case, check, ods, ods_cell, ods_row, ods_table

_HEADER = ods_row("prompt", "theme")
_HIDDEN_TABLE = (
    '<style:style style:name="ta2" style:family="table"><style:table-properties table:display="false"/></style:style>'
)
_STRUCK = (
    '<style:style style:name="T1" style:family="text">'
    '<style:text-properties style:text-line-through-style="solid"/></style:style>'
)


def cell(column: str, xml: str, *, styles: str = "") -> bytes:
    return ods(ods_table(ods_row("prompt", column), ods_row("a pig", xml)), styles=styles)


def paragraphs(inside: str) -> str:
    return f'<table:table-cell office:value-type="string">{inside}</table:table-cell>'


CASES = [
    Case(says="texts", content=ods(ods_table(_HEADER, ods_row("a pig", "sea"))), rows=[("a pig", {"theme": "sea"})]),
    Case(
        says="a ratio that became a time",
        content=cell("ar", ods_cell("time", "16:09:00", time_value="PT16H09M00S")),
        rows=[("a pig", {"aspect_ratio": "16:9"})],
    ),
    Case(
        says="a date where a ratio belongs",
        content=cell("ar", ods_cell("date", "03/04/26", date_value="2026-03-04")),
        refused="Prompts!B2: aspect_ratio is the date 2026-03-04",
    ),
    Case(
        says="the number that 3/4 became",
        content=cell("ar", ods_cell("float", "36954", value="36954")),
        refused="Prompts!B2: aspect_ratio is the number 36954",
    ),
    Case(says="7.0 is 7", content=cell("seed", ods_cell("float", "7.00", value="7.0")), rows=[("a pig", {"seed": 7})]),
    Case(
        says="zeros that are shown stay",
        content=cell("index", ods_cell("float", "000007", value="7")),
        rows=[("a pig", {"index": "000007"})],
    ),
    Case(
        says="a thousand with its comma",
        content=cell("note", ods_cell("float", "1,000", value="1000")),
        rows=[("a pig", {"note": "1000"})],
    ),
    Case(
        says="a weight in per cent",
        content=cell("cref_weight", ods_cell("percentage", "80%", value="0.8")),
        rows=[("a pig", {"cref_weight": 80})],
        warnings=["Prompts!B2: cref_weight is a percentage"],
    ),
    Case(
        says="a percentage as Gnumeric writes it",
        content=cell("note", ods_cell("float", "100.00%", value="1")),
        rows=[("a pig", {"note": "100%"})],
    ),
    Case(
        says="a seed that lost digits",
        content=cell("seed", ods_cell("float", "1.23E+19", value="1.23456789012346E+019")),
        refused="Prompts!B2: seed is 1.23456789012346e+19: more digits",
    ),
    Case(
        says="a truth value",
        content=cell("note", ods_cell("boolean", "WAHR", boolean_value="true")),
        rows=[("a pig", {"note": "true"})],
    ),
    Case(
        says="an error",
        content=cell(
            "theme",
            '<table:table-cell table:formula="of:=1/0" office:value-type="string" office:string-value=""'
            ' calcext:value-type="error"><text:p>#DIV/0!</text:p></table:table-cell>',
        ),
        refused="Prompts!B2: 'theme' holds the error #DIV/0!",
    ),
    Case(
        says="a formula without a stored value",
        content=cell("seed", '<table:table-cell table:formula="of:=6*7"/>'),
        refused="Prompts!B2: 'seed' holds the formula of:=6*7 without",
    ),
    Case(
        says="the address in a formula counts",
        content=cell(
            "cref_urls",
            '<table:table-cell table:formula="of:=HYPERLINK(&quot;https://img.example/1.png&quot;;&quot;hat&quot;)"'
            ' office:value-type="string"><text:p>hat</text:p></table:table-cell>',
        ),
        rows=[("a pig", {"cref_urls": "https://img.example/1.png"})],
    ),
    Case(
        says="several links in one cell",
        content=cell(
            "cref_urls",
            paragraphs(
                '<text:p><text:a xlink:href="https://img.example/1.png">hat</text:a> and '
                '<text:a xlink:href="https://img.example/2.png">coat</text:a></text:p>'
            ),
        ),
        rows=[("a pig", {"cref_urls": "https://img.example/1.png https://img.example/2.png"})],
    ),
    Case(
        says="paragraphs, line ends, tabs and blanks",
        content=cell(
            "note",
            paragraphs('<text:p>one<text:line-break/>two</text:p><text:p>a<text:s text:c="2"/>b<text:tab/>c</text:p>'),
        ),
        rows=[("a pig", {"note": "one\ntwo\na  b\tc"})],
    ),
    Case(
        says="a comment is no content",
        content=cell(
            "theme",
            paragraphs(
                "<office:annotation><dc:creator>Ann</dc:creator><text:p>no</text:p></office:annotation><text:p>sea</text:p>"
            ),
        ),
        rows=[("a pig", {"theme": "sea"})],
    ),
    Case(
        says="a run that is struck out is named",
        content=cell(
            "theme", paragraphs('<text:p>sea<text:span text:style-name="T1">side</text:span></text:p>'), styles=_STRUCK
        ),
        rows=[("a pig", {"theme": "seaside"})],
        warnings=["Prompts!B2: struck-out text"],
    ),
    Case(
        says="a hidden sheet beside",
        content=ods(
            ods_table(_HEADER, ods_row("a cat", "x"), name="Old", attributes='table:style-name="ta2"'),
            ods_table(_HEADER, ods_row("a pig", "sea")),
            styles=_HIDDEN_TABLE,
        ),
        rows=[("a pig", {"theme": "sea"})],
        warnings=["the hidden sheet 'Old' has 1 prompts"],
    ),
    Case(
        says="a hidden sheet by number",
        content=ods(
            ods_table(_HEADER, ods_row("a cat", "x"), name="Old", attributes='table:style-name="ta2"'),
            ods_table(_HEADER, ods_row("a pig", "sea")),
            styles=_HIDDEN_TABLE,
        ),
        rows=[("a cat", {"theme": "x"})],
        options=WorkbookOptions(sheet="1"),
    ),
    Case(
        says="rows that a filter or a person hid",
        content=ods(
            ods_table(
                _HEADER,
                ods_row("a pig", "sea"),
                ods_row("a cat", "x", attributes='table:visibility="filter"'),
                ods_row("a dog", "x", attributes='table:visibility="collapse"'),
            )
        ),
        rows=[("a pig", {"theme": "sea"})],
        warnings=["Prompts!A3, Prompts!A4: hidden or filtered rows"],
    ),
    Case(
        says="a hidden column",
        content=ods(
            ods_table(
                "<table:table-column/>"
                '<table:table-column table:visibility="collapse" table:number-columns-repeated="2"/>',
                _HEADER,
                ods_row("a pig", "sea"),
            )
        ),
        rows=[("a pig", {})],
        warnings=["Prompts!B1: hidden columns are not read"],
    ),
    Case(
        says="groups of rows and columns",
        content=ods(
            ods_table(
                "<table:table-column-group><table:table-column/></table:table-column-group><table:table-column/>",
                f"<table:table-header-rows>{_HEADER}</table:table-header-rows>",
                f"<table:table-row-group>{ods_row('a pig', 'sea')}</table:table-row-group>",
                ods_row("a hat", "town"),
            )
        ),
        rows=[("a pig", {"theme": "sea"}), ("a hat", {"theme": "town"})],
    ),
    Case(
        says="rows and cells that are repeated",
        content=ods(
            ods_table(
                ods_row('<table:table-cell table:number-columns-repeated="2"/>', "prompt", "seed"),
                ods_row(attributes='table:number-rows-repeated="5"'),
                ods_row(
                    '<table:table-cell table:number-columns-repeated="2"/>',
                    "a pig",
                    attributes='table:number-rows-repeated="2"',
                ),
                ods_row('<table:table-cell table:number-columns-repeated="2"/>', "a hat", "x"),
                ods_row(
                    '<table:table-cell table:number-columns-repeated="1024"/>',
                    attributes='table:number-rows-repeated="1048567"',
                ),
            )
        ),
        refused="Prompts!D9: seed in 'p.ods' is 'x'",
    ),
    Case(
        says="merged cells fill down where that is asked for",
        content=ods(
            ods_table(
                _HEADER,
                ods_row(
                    "a pig",
                    '<table:table-cell table:number-rows-spanned="2" table:number-columns-spanned="1"'
                    ' office:value-type="string"><text:p>sea</text:p></table:table-cell>',
                ),
                ods_row("a hat", "<table:covered-table-cell/>"),
                ods_row("a cat"),
            )
        ),
        rows=[("a pig", {"theme": "sea"}), ("a hat", {"theme": "sea"}), ("a cat", {})],
        options=WorkbookOptions(fill_merged=True),
    ),
    Case(
        says="a bomb of repeated cells",
        content=ods(
            ods_table(
                _HEADER,
                ods_row(
                    '<table:table-cell table:number-columns-repeated="16384" office:value-type="string">'
                    "<text:p>x</text:p></table:table-cell>",
                    attributes='table:number-rows-repeated="1048570"',
                ),
            )
        ),
        refused="has more than 20,000,000 cells",
    ),
    Case(
        says="a row of more cells than a sheet has",
        content=ods(
            ods_table(
                _HEADER,
                ods_row(
                    '<table:table-cell table:number-columns-repeated="900000" office:value-type="string">'
                    "<text:p>x</text:p></table:table-cell>"
                ),
            )
        ),
        refused="has more than 16,384 cells",
    ),
    Case(
        says="a password",
        content=ods(
            ods_table(_HEADER),
            manifest='<manifest:manifest xmlns:manifest="m"><manifest:encryption-data/></manifest:manifest>',
        ),
        refused="is locked with a password; save it without one",
    ),
    Case(
        says="entities are never followed",
        content=ods(
            ods_table(_HEADER, ods_row("a &x; pig", "sea")),
            doctype='<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        ),
        refused="it declares a document type",
    ),
    Case(
        says="an entity that there is not",
        content=ods(ods_table(_HEADER, ods_row("a &x; pig"))),
        refused="undefined entity",
    ),
    Case(says="no table at all", content=ods(), refused="holds no list of rows"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_an_ods(case: Case, tmp_path: Path) -> None:
    named = Case(
        **{
            field: getattr(case, field)
            for field in ("says", "content", "rows", "warnings", "refused", "options", "approved_only")
        },
        name="p.ods",
    )
    check(named, tmp_path)
