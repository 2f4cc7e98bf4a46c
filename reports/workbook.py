"""A batch as an .xlsx: one row a generation with everything that asks for it again, how it ended, and its picture.

It is a prompt file like any other: the columns that steer a model come first under the names that a prompt file gives
them, and what was measured has names that steer nothing. Texts are written as texts, so that no cell is a formula.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import xlsxwriter
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from domain.states import PUBLIC_STATUS
from reports.records import GenerationLine, Report
from reports.thumbnails import small_jpeg
from reports.wording import end_of, verdict

#: What a cell can hold; every writer cuts what is longer, and says nothing.
LONGEST_CELL: Final = 32_767
#: Each picture is a part of the file that a spreadsheet program loads whole.
MOST_PICTURES: Final = 5_000
MOST_ROWS: Final = 1_048_575
SHEET: Final = "Prompts"
_SIDE_PX: Final = 96
#: Rows are measured in points, pictures in pixels; spreadsheets take 96 pixels for an inch.
_ROW_POINTS: Final = (_SIDE_PX + 6) * 72 / 96
_ASKED: Final = ("index", "theme", "variation", "prompt", "character", "provider", "model")
_MEASURED: Final = ("status", "core_score", "style_score", "cost_usd", "tries", "error", "picture", "result_url")
_WIDTHS: Final = {"prompt": 70, "error": 40, "picture": 15, "result_url": 24, "theme": 18, "model": 18}
_WIDTH: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedLine:
    """A generation with what its row asked for.

    Args:
        character: one name, or several with semicolons between.
        settings: what steers the model, by the names of a prompt file's columns.
        own: other columns that the row had.
    """

    line: GenerationLine
    character: str | None = None
    settings: Mapping[str, str | int] = field(default_factory=dict)
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the workbook could not hold, as sentences."""

    rows: int
    pictures: int
    warnings: Sequence[str]


def write_workbook(report: Report, lines: Sequence[AskedLine], path: Path) -> Written:
    """Write the workbook; the same batch in the same state makes the same bytes.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(str(path), options) as book:
        book.set_properties({"title": report.title, "created": report.created_at.replace(tzinfo=None)})
        sheet = _Sheet(book, lines)
        for number, asked in enumerate(lines, start=1):
            sheet.write(number, asked)
    return Written(rows=len(lines), pictures=sheet.pictures, warnings=sheet.warnings())


class _Sheet:
    """The one sheet, written row by row."""

    def __init__(self, book: xlsxwriter.Workbook, lines: Sequence[AskedLine]) -> None:
        settings = sorted({name for asked in lines for name in asked.settings})
        taken = {*_ASKED, *settings, *_MEASURED}
        # A workbook that was an export before has our columns among its own; they are measured anew.
        self._own = {name for asked in lines for name in asked.own} - taken
        self.columns = (*_ASKED, *settings, *_MEASURED, *sorted(self._own))
        self._at = {name: place for place, name in enumerate(self.columns)}
        self.pictures = 0
        self._cut: list[str] = []
        self._without_picture = 0
        self._text: Format = book.add_format({"text_wrap": True, "valign": "top", "num_format": "@"})
        self._score: Format = book.add_format({"num_format": "0.000", "valign": "top"})
        self._money: Format = book.add_format({"num_format": "0.00####", "valign": "top"})
        self._count: Format = book.add_format({"num_format": "0", "valign": "top"})
        header: Format = book.add_format({"bold": True, "bottom": 1, "num_format": "@"})
        self._sheet: Worksheet = book.add_worksheet(SHEET)
        for name, place in self._at.items():
            self._sheet.set_column(place, place, _WIDTHS.get(name, _WIDTH))
            self._sheet.write_string(0, place, name, header)
        self._sheet.freeze_panes(1, self._at["prompt"] + 1)
        self._sheet.set_landscape()
        self._sheet.fit_to_pages(1, 0)
        self._sheet.repeat_rows(0)
        self._sheet.autofilter(0, 0, len(lines), len(self.columns) - 1)

    def write(self, number: int, asked: AskedLine) -> None:
        line = asked.line
        if line.best is not None and line.best.path is not None:
            self._sheet.set_row(number, _ROW_POINTS)
        own = {name: value for name, value in asked.own.items() if name in self._own}
        for name, value in (own | _texts(asked)).items():
            if value is not None and value != "":
                self._write_text(number, name, str(value))
        for name, setting in asked.settings.items():
            if isinstance(setting, int):
                self._sheet.write_number(number, self._at[name], setting, self._count)
            else:
                self._write_text(number, name, setting)
        self._write_numbers(number, line)
        self._lay_picture(number, line)

    def warnings(self) -> Sequence[str]:
        said = []
        if self._cut:
            more = f" and {len(self._cut) - 5} more" if len(self._cut) > 5 else ""
            said.append(f"{', '.join(self._cut[:5])}{more}: cut at {LONGEST_CELL:,} characters, the most of a cell")
        if self._without_picture:
            said.append(
                f"{self._without_picture:,} rows are without their picture: it is not on this machine, or more than"
                f" {MOST_PICTURES:,} would make the file too large to open"
            )
        return said

    def _write_text(self, number: int, name: str, text: str) -> None:
        if len(text) > LONGEST_CELL:
            self._cut.append(f"{name} of row {number + 1}")
            text = text[: LONGEST_CELL - 1] + "…"
        self._sheet.write_string(number, self._at[name], text, self._text)

    def _write_numbers(self, number: int, line: GenerationLine) -> None:
        best = line.best
        scores = {"core_score": best.core, "style_score": best.style} if best is not None else {}
        for name, score in scores.items():
            if score is not None:
                self._sheet.write_number(number, self._at[name], round(score, 6), self._score)
        self._sheet.write_number(number, self._at["cost_usd"], float(line.cost_usd), self._money)
        self._sheet.write_number(number, self._at["tries"], line.tries, self._count)

    def _lay_picture(self, number: int, line: GenerationLine) -> None:
        if line.best is None:
            return
        small = None
        if line.best.path is not None and self.pictures < MOST_PICTURES:
            small = small_jpeg(line.best.path, side_px=_SIDE_PX)
        if small is None:
            self._without_picture += 1
            return
        self.pictures += 1
        content, _, _ = small
        options = {
            "image_data": io.BytesIO(content),
            "object_position": 1,  # moves and shrinks with its row, so that a filter hides it
            "x_offset": 3,
            "y_offset": 3,
            "description": line.prompt[:200],
        }
        self._sheet.insert_image(number, self._at["picture"], f"{line.position}.jpg", options)


def _texts(asked: AskedLine) -> dict[str, str | None]:
    line = asked.line
    failed = end_of(line.state) == "failed" and line.error_code and line.error_message
    return {
        "index": line.index,
        "theme": line.theme,
        "variation": line.variation,
        "prompt": line.prompt,
        "character": asked.character,
        "provider": line.provider,
        "model": line.model,
        "status": PUBLIC_STATUS[line.state],
        "error": f"{line.error_code}: {line.error_message}"
        if failed
        else verdict(line)
        if end_of(line.state) in {"failed", "rejected", "canceled"}
        else None,
        "result_url": line.best.url if line.best is not None else None,
    }
