"""What a cell of an .xlsx is worth to a prompt: read, named, or refused with its cell."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.comments import Comment
from openpyxl.styles import Font
from openpyxl.worksheet.worksheet import Worksheet

from pipeline.intake.workbooks.choose import WorkbookOptions
from tests.support.workbooks import SHEET, Case, check, rows, xlsx


def cell(column: str, value: Any, shape: str | None = None) -> bytes:
    """A workbook with one prompt, and one cell beside it in B2."""

    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet.append(["prompt", column])
        sheet.append(["a pig", None])
        sheet["B2"] = value
        if shape is not None:
            sheet["B2"].number_format = shape

    return xlsx(fill)


def pig(**rest: Any) -> list[tuple[str, dict[str, Any]]]:
    return [("a pig", rest)]


def changed(edit: Callable[[Worksheet], None], *, column: str = "theme", value: Any = "sea") -> bytes:
    def fill(_book: openpyxl.Workbook, sheet: Worksheet) -> None:
        sheet.append(["prompt", column])
        sheet.append(["a pig", value])
        edit(sheet)

    return xlsx(fill)


def patched(column: str, xml: str) -> bytes:
    """The cell B2 as written by hand."""
    whole = rows(["prompt", column, "n"], ["a pig", 4711, 1])
    return xlsx(whole, parts={SHEET: lambda text: text.replace('<c r="B2" t="n"><v>4711</v></c>', xml)})


def _strike(sheet: Worksheet) -> None:
    sheet["A2"].font = Font(strike=True)


def _rich(sheet: Worksheet, *, strike: bool) -> None:
    sheet["A2"] = CellRichText("a ", TextBlock(InlineFont(b=not strike, strike=strike or None), "pig"))


def _link(sheet: Worksheet) -> None:
    sheet["B2"].hyperlink = "https://img.example/one.png"


def _comment(sheet: Worksheet) -> None:
    sheet["A2"].comment = Comment("not this one", "Ann")


def _spread(sheet: Worksheet) -> None:
    sheet.append(["second"])
    sheet.append(["third"])
    sheet.merge_cells("B2:B4")


def _merged_prompts(sheet: Worksheet) -> None:
    sheet.append([None, "x"])
    sheet.merge_cells("A2:A3")


_EPOCH_1904 = {"xl/workbook.xml": lambda text: re.sub("<workbookPr */>", '<workbookPr date1904="1"/>', text)}

CASES = [
    Case(says="plain text", content=cell("theme", "sea"), rows=pig(theme="sea")),
    Case(says="a ratio that became a time", content=cell("ar", dt.time(16, 9)), rows=pig(aspect_ratio="16:9")),
    Case(says="a square that became a time", content=cell("ar", dt.time(1, 1)), rows=pig(aspect_ratio="1:1")),
    Case(
        says="a wide ratio that became a duration",
        content=cell("aspect ratio", dt.timedelta(hours=32, minutes=9), "[h]:mm:ss"),
        rows=pig(aspect_ratio="32:9"),
    ),
    Case(says="a ratio of two digits", content=cell("ar", dt.time(16, 10)), rows=pig(aspect_ratio="16:10")),
    Case(says="a ratio as text", content=cell("ar", "16:9"), rows=pig(aspect_ratio="16:9")),
    Case(
        says="the number that 3/4 became",
        content=cell("ar", 36954),
        refused="Prompts!B2: aspect_ratio is the number 3695",
    ),
    Case(
        says="the date that 3/4 became",
        content=cell("ar", dt.date(2026, 3, 4)),
        refused="Prompts!B2: aspect_ratio is the date 2026-03-04, which 3:4",
    ),
    Case(
        says="a full hour is no ratio",
        content=cell("ar", dt.time(16, 0)),
        refused="Prompts!B2: aspect_ratio is the time",
    ),
    Case(
        says="seconds are no ratio",
        content=cell("ar", dt.time(16, 9, 1)),
        refused="Prompts!B2: aspect_ratio is the time",
    ),
    Case(
        says="a quotient is no ratio", content=cell("ar", 1.78), refused="Prompts!B2: aspect_ratio is the number 1.78"
    ),
    Case(says="TRUE is no ratio", content=cell("ar", True), refused="Prompts!B2: aspect_ratio is the truth value true"),
    Case(says="7.0 is 7", content=cell("seed", 7.0), rows=pig(seed=7)),
    Case(says="an index of 7.0 is 7", content=cell("index", 7.0), rows=pig(index="7")),
    Case(says="zeros that are shown stay", content=cell("index", 7, "000000"), rows=pig(index="000007")),
    Case(says="zeros before a number count for nothing", content=cell("seed", 7, "000000"), rows=pig(seed=7)),
    Case(says="a version", content=cell("version", 6.1), rows=pig(version="6.1")),
    Case(says="noise of a sum", content=cell("note", 0.1 + 0.2), rows=pig(note="0.3")),
    Case(
        says="a truth value as approval", content=cell("approved", True), rows=pig(approved="true"), approved_only=True
    ),
    Case(says="an amount of money", content=cell("note", 1000, '#,##0.00 "USD"'), rows=pig(note="1000")),
    Case(
        says="a weight in per cent",
        content=cell("cref_weight", 0.8, "0%"),
        rows=pig(cref_weight=80),
        warnings=["Prompts!B2: cref_weight is a percentage and read as 80"],
    ),
    Case(says="a seed in per cent", content=cell("seed", 0.8, "0%"), refused="Prompts!B2: seed is the percentage 80%"),
    Case(says="a note in per cent", content=cell("note", 0.125, "0.0%"), rows=pig(note="12.5%")),
    Case(
        says="a seed that lost digits",
        content=cell("seed", 1.23456789012346e19),
        refused="Prompts!B2: seed is 1.23456789012346e+19: more digits",
    ),
    Case(
        says="an index that lost digits",
        content=cell("index", 1.5e17),
        refused="Prompts!B2: index is 1.5e+17: more digits",
    ),
    Case(
        says="a note that lost digits",
        content=cell("job", 1.5e17),
        rows=pig(job="1.5e+17"),
        warnings=["Prompts!B2: 'job' has more digits"],
    ),
    Case(
        says="twenty digits as text", content=cell("job", "12345678901234567890"), rows=pig(job="12345678901234567890")
    ),
    Case(
        says="a seed out of range",
        content=cell("seed", 1e12),
        refused="Prompts!B2: seed in 'p.xlsx' is '1000000000000'",
    ),
    Case(says="a seed of words", content=cell("seed", "many"), refused="Prompts!B2: seed in 'p.xlsx' is 'many'"),
    Case(says="half a seed", content=cell("seed", 1.5), refused="Prompts!B2: seed in 'p.xlsx' is '1.5'"),
    *(
        Case(
            says=f"the error {mark}", content=cell("theme", mark), refused=f"Prompts!B2: 'theme' holds the error {mark}"
        )
        for mark in ("#DIV/0!", "#REF!", "#N/A", "#NAME?")
    ),
    Case(
        says="an error beside no prompt",
        content=xlsx(rows(["prompt", "theme"], ["a pig", "sea"], [None, "#REF!"])),
        rows=pig(theme="sea"),
    ),
    Case(
        says="a formula without a stored value",
        content=cell("seed", "=6*7"),
        refused="Prompts!B2: 'seed' holds the formula =6*7 without a stored value",
    ),
    Case(
        says="a formula with its value",
        content=patched("seed", '<c r="B2"><f>6*7</f><v>42</v></c>'),
        rows=[("a pig", {"seed": 42, "n": "1"})],
    ),
    Case(
        says="a formula of texts",
        content=patched("theme", '<c r="B2" t="str"><f>A1&amp;"x"</f><v>sea &amp; sand</v></c>'),
        rows=[("a pig", {"theme": "sea & sand", "n": "1"})],
    ),
    Case(
        says="a formula whose text is empty",
        content=patched("theme", '<c r="B2" t="str"><f>""</f><v></v></c>'),
        rows=[("a pig", {"n": "1"})],
    ),
    Case(
        says="rich text is its text", content=changed(lambda sheet: _rich(sheet, strike=False)), rows=pig(theme="sea")
    ),
    Case(
        says="a run that is struck out is named",
        content=changed(lambda sheet: _rich(sheet, strike=True)),
        rows=pig(theme="sea"),
        warnings=["Prompts!A2: struck-out text"],
    ),
    Case(
        says="a cell that is struck out is named",
        content=changed(_strike),
        rows=pig(theme="sea"),
        warnings=["Prompts!A2: struck-out text"],
    ),
    Case(
        says="a link counts, not its caption",
        content=changed(_link, column="cref_urls", value="the hat"),
        rows=pig(cref_urls="https://img.example/one.png"),
    ),
    Case(says="elsewhere the caption counts", content=changed(_link, value="the hat"), rows=pig(theme="the hat")),
    Case(
        says="the address in a formula counts, not its caption",
        content=patched(
            "cref_urls",
            '<c r="B2" t="str"><f>HYPERLINK("https://img.example/one.png","the hat")</f><v>the hat</v></c>',
        ),
        rows=[("a pig", {"cref_urls": "https://img.example/one.png", "n": "1"})],
    ),
    Case(
        says="the address of a picture by formula",
        content=patched(
            "cref_urls", '<c r="B2" t="e" vm="1"><f>_xlfn.IMAGE("https://img.example/one.png")</f><v>#VALUE!</v></c>'
        ),
        rows=[("a pig", {"cref_urls": "https://img.example/one.png", "n": "1"})],
    ),
    Case(says="line ends inside a cell", content=cell("note", "one\r\ntwo\nthree"), rows=pig(note="one\ntwo\nthree")),
    Case(
        says="line ends that are escaped",
        content=patched("note", '<c r="B2" t="inlineStr"><is><t>one_x000D_\ntwo _x0041_ _x0000_</t></is></c>'),
        rows=[("a pig", {"note": "one\ntwo A _x0000_", "n": "1"})],
    ),
    Case(
        says="blanks that do not break", content=cell("theme", "\u00a0sea\u00a0side\u202f"), rows=pig(theme="sea side")
    ),
    Case(says="a comment is no content", content=changed(_comment), rows=pig(theme="sea")),
    Case(
        says="reading aids are no content",
        content=patched(
            "theme",
            '<c r="B2" t="inlineStr"><is><t>海</t><rPh sb="0" eb="1"><t>うみ</t></rPh></is></c>',
        ),
        rows=[("a pig", {"theme": "海", "n": "1"})],
    ),
    Case(
        says="a prompt that is a number",
        content=xlsx(rows(["prompt"], [7])),
        refused="Prompts!A2: the prompt is no text",
    ),
    Case(
        says="a prompt that is a date",
        content=xlsx(rows(["prompt"], [dt.date(2026, 3, 4)])),
        refused="Prompts!A2: the prompt is no text but the date 2026-03-04",
    ),
    Case(
        says="a variation that became a date is named",
        content=cell("variation", dt.date(2026, 1, 2)),
        rows=pig(variation="2026-01-02"),
        warnings=["Prompts!B2: variation is a date, read as 2026-01-02"],
    ),
    Case(says="a date of the owner's own", content=cell("due", dt.date(2026, 1, 2)), rows=pig(due="2026-01-02")),
    Case(says="a moment", content=cell("due", dt.datetime(2026, 1, 2, 8, 30)), rows=pig(due="2026-01-02 08:30")),  # noqa: DTZ001 -- cells have no zone
    Case(
        says="a date where a mode belongs",
        content=cell("mode", dt.date(2026, 1, 2)),
        refused="Prompts!B2: mode is the date",
    ),
    Case(
        says="days since 1904",
        content=xlsx(rows(["prompt", "due"], ["a pig", dt.date(2026, 1, 2)]), parts=_EPOCH_1904),
        rows=pig(due="2030-01-03"),
    ),
    Case(
        says="merged themes count once",
        content=changed(_spread),
        rows=[("a pig", {"theme": "sea"}), ("second", {}), ("third", {})],
        warnings=["Prompts!B2:B4: a merged cell counts for its first row only"],
    ),
    Case(
        says="merged themes fill down where that is asked for",
        content=changed(_spread),
        rows=[("a pig", {"theme": "sea"}), ("second", {"theme": "sea"}), ("third", {"theme": "sea"})],
        options=WorkbookOptions(fill_merged=True),
    ),
    Case(
        says="merged prompts fill down where that is asked for",
        content=changed(_merged_prompts),
        rows=[("a pig", {"theme": "sea"}), ("a pig", {"theme": "x"})],
        options=WorkbookOptions(fill_merged=True),
    ),
    Case(
        says="an index twice",
        content=xlsx(rows(["note", "index", "prompt"], [None, 7, "a"], [None, 7.0, "b"])),
        refused="Prompts!B3: index '7' stands in line 2",
    ),
    Case(
        says="a prompt that is too long",
        content=xlsx(rows(["n", "prompt"], [1, "x" * 32_001])),
        refused="Prompts!B2: the prompt in 'p.xlsx' has 32,001 characters",
    ),
    Case(
        says="texts that share signs with XML",
        content=xlsx(rows(["prompt", "theme"], ["<a> & \"b\" 'c'", "5 > 4"])),
        rows=[("<a> & \"b\" 'c'", {"theme": "5 > 4"})],
    ),
    Case(
        says="a text number that there is not",
        content=patched("theme", '<c r="B2" t="s"><v>999</v></c>'),
        refused="a cell names the text number '999'",
    ),
    Case(
        says="entities of XML itself",
        content=xlsx(
            rows(["prompt"], ["a pig"]),
            parts={SHEET: lambda text: text.replace("a pig", "a&#32;p&#x69;g &quot;x&quot;")},
        ),
        rows=[('a pig "x"', {})],
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_cell(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


def test_tags_may_have_a_prefix_and_the_strict_namespace(tmp_path: Path) -> None:
    """As the strict form of .xlsx and some libraries write it."""

    def prefixed(text: str) -> str:
        strict = "http://purl.oclc.org/ooxml/spreadsheetml/main"
        named = re.sub(r"<(/?)(?=[a-zA-Z])", r"<\1x:", text)
        return named.replace('xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"', f'xmlns:x="{strict}"')

    content = xlsx(rows(["prompt", "ar"], ["a pig", dt.time(16, 9)]), parts={SHEET: prefixed})
    check(Case(says="", content=content, rows=pig(aspect_ratio="16:9")), tmp_path)
