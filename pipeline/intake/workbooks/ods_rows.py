"""The rows of one table of an .ods: values by their declared type, texts by their paragraphs."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final
from xml.etree.ElementTree import Element

from pipeline.intake.workbooks.contract import (
    MOST_COLUMNS,
    Area,
    Cell,
    Damaged,
    Kind,
    SheetRow,
    TooLarge,
    Value,
)
from pipeline.intake.workbooks.number_formats import Style, clock, number_cell
from pipeline.intake.workbooks.package import whole_number
from pipeline.intake.workbooks.shared_strings import LONGEST_TEXT, tidy
from pipeline.intake.workbooks.xlsx_rows import ADDRESS, MOST_CELLS, MOST_LINES
from pipeline.intake.workbooks.xml_pieces import entities

TABLE: Final = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
TEXT: Final = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_OFFICE: Final = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_DRAW: Final = "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
_CALCEXT: Final = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_ROW, _CELL, _COVERED = (f"{{{TABLE}}}{name}" for name in ("table-row", "table-cell", "covered-table-cell"))
_P, _S, _TAB, _BREAK, _SPAN, _A, _RUBY_TEXT = (
    f"{{{TEXT}}}{name}" for name in ("p", "s", "tab", "line-break", "span", "a", "ruby-text")
)
_TYPE, _VALUE, _DATE, _TIME, _BOOLEAN, _STRING = (
    f"{{{_OFFICE}}}{name}"
    for name in ("value-type", "value", "date-value", "time-value", "boolean-value", "string-value")
)
_CALC_TYPE: Final = f"{{{_CALCEXT}}}value-type"
_FORMULA: Final = f"{{{TABLE}}}formula"
_STYLE_NAME: Final = f"{{{TABLE}}}style-name"
_TEXT_STYLE: Final = f"{{{TEXT}}}style-name"
_ANNOTATION: Final = f"{{{_OFFICE}}}annotation"
_FRAME, _IMAGE, _OBJECT = (f"{{{_DRAW}}}{name}" for name in ("frame", "image", "object"))
#: What LibreOffice stores beside a picture of points, for programs that can draw lines.
_DRAWN: Final = (".svg", ".svm", ".wmf", ".emf")
_DURATION: Final = re.compile(r"(-?)PT0*(\d{1,6})H0*(\d{1,6})M(?:0*(\d{1,6}))(?:[.,]\d+)?S")

#: Cells as LibreOffice writes nearly all: a text or a plain number in one paragraph, or nothing.
_REGULAR_CELL: Final = (
    r'<table:table-cell(?: table:style-name="[^"<>&]*")?'
    r'(?:(?: table:number-columns-repeated="([0-9]{1,5})")?/>'
    r'| office:value-type="(?:string|float" office:value="([0-9]{1,15}))"(?: calcext:value-type="(?:string|float)")?>'
    r"<text:p>([^<]*)</text:p></table:table-cell>)"
)
_REGULAR: Final = re.compile(
    r'\s*<table:table-row(?: table:style-name="[^"<>&]*")?>((?:'
    + re.sub(r"\((?!\?)", "(?:", _REGULAR_CELL)
    + r")*)</table:table-row>"
)
_REGULAR_CELLS: Final = re.compile(_REGULAR_CELL)


def repeated(element: Element, name: str) -> int:
    """How often a row, column or cell stands there."""
    written = element.get(f"{{{TABLE}}}{name}")
    return 1 if written is None else max(1, whole_number(written, most=MOST_LINES))


class OdsRowReader:
    """Turns the rows of a table into rows as they are shown.

    Args:
        struck: names of styles that strike text out.
    """

    def __init__(self, struck: set[str]) -> None:
        self._struck = struck
        self._line = 0
        self._cells = 0

    def rows(self, pieces: Iterator[str], parse: Callable[[str], Iterator[Element]]) -> Iterator[SheetRow]:
        """Rows with content, of pieces that hold complete ones.

        Args:
            parse: the elements of a piece.

        Raises:
            Damaged, TooLarge: while rows are taken.
        """
        for piece in pieces:
            at = 0
            while not self._struck and (match := _REGULAR.match(piece, at)) is not None:
                row = self._regular(match[1])
                at = match.end()
                yield from self._counted(row, times=1)
            if at < len(piece):
                for element in parse(piece[at:]):
                    if element.tag == _ROW:
                        yield from self._counted(self._row(element), times=repeated(element, "number-rows-repeated"))

    def _counted(self, row: SheetRow, *, times: int) -> Iterator[SheetRow]:
        """The row as often as it stands there, if there is anything in it."""
        if not (row.cells or row.pictures):
            self._line += times
            return
        self._cells += len(row.cells) * times
        if self._cells > MOST_CELLS or self._line + times > MOST_LINES:
            raise TooLarge(f"a sheet of it has more than {MOST_CELLS:,} cells or {MOST_LINES:,} rows")
        for number in range(times):
            self._line += 1
            row.line = self._line
            yield row if number == times - 1 else replace(row, cells=dict(row.cells))

    def _regular(self, content: str) -> SheetRow:
        cells: dict[int, Value] = {}
        numbers: list[int] = []
        column = 0
        for times, number, shown in _REGULAR_CELLS.findall(content):
            if number:
                if number[0] != "0" and shown[:1] != "0" and shown[-1:] != "%":
                    cells[column] = number
                    numbers.append(column)
                else:
                    cells[column] = _number(number, shown)
            elif shown:
                cells[column] = _checked(entities(shown))
            column += int(times) if times else 1
        plain = all(type(value) is str for value in cells.values())
        return SheetRow(line=0, hidden=False, cells=cells, numbers=numbers, plain=plain)

    def _row(self, element: Element) -> SheetRow:
        hidden = element.get(f"{{{TABLE}}}visibility", "visible") != "visible"
        cells: dict[int, Value] = {}
        merged: list[Area] = []
        pictures: dict[int, tuple[str, ...]] = {}
        column = 0
        for cell in element:
            if cell.tag not in {_CELL, _COVERED}:
                continue
            times = repeated(cell, "number-columns-repeated")
            if len(cell) or cell.attrib:
                value = self._value(cell)
                if shown := tuple(_pictures(cell)):
                    pictures[column] = shown
                if value != "":
                    if column + times > MOST_COLUMNS:
                        raise TooLarge(f"a row of it has more than {MOST_COLUMNS:,} cells")
                    cells.update(dict.fromkeys(range(column, column + times), value))
                if (area := self._area(cell, column)) is not None:
                    merged.append(area)
            column += times
        return SheetRow(line=0, hidden=hidden, cells=cells, merged=merged, pictures=pictures)

    def _area(self, cell: Element, column: int) -> Area | None:
        down, across = (repeated(cell, f"number-{what}-spanned") for what in ("rows", "columns"))
        if down == across == 1:
            return None
        first = self._line + 1
        return Area(first_line=first, last_line=first + down - 1, first_column=column, last_column=column + across - 1)

    def _value(self, cell: Element) -> Value:
        formula = cell.get(_FORMULA)
        kind = cell.get(_TYPE)
        shown = _Paragraphs(cell, self._struck)
        if cell.get(_CALC_TYPE) == "error":
            return Cell(Kind.ERROR, shown.text[:20])
        if kind is None or (kind == "string" and not shown.text):
            text = tidy(cell.get(_STRING, "")) or shown.text
            if not text and formula is not None and kind is None:
                return Cell(Kind.UNSTORED, formula[:60])
            return text
        struck = shown.struck or cell.get(_STYLE_NAME) in self._struck
        if kind == "string":
            links = shown.links
            if formula is not None and (found := ADDRESS.match(formula)) is not None:
                links = (found[1].replace('""', '"'),)
            return Cell(Kind.TEXT, shown.text, struck=struck, links=links) if struck or links else shown.text
        return _typed(cell, kind, shown.text, struck=struck)


def _pictures(cell: Element) -> Iterator[str]:
    """Parts of the archive with the pictures in a cell; a chart is none."""
    for frame in cell.iter(_FRAME):
        if frame.find(_OBJECT) is None:
            found = [image.get(_HREF, "") for image in frame.iterfind(_IMAGE)]
            if found:
                part = next((one for one in found if not one.lower().endswith(_DRAWN)), found[0])
                yield "" if ":" in part or part.startswith(("/", "../")) else part.removeprefix("./")


def _typed(cell: Element, kind: str, shown: str, *, struck: bool) -> Cell:
    """A value that is no text."""
    match kind:
        case "boolean":
            return Cell(Kind.BOOLEAN, "true" if cell.get(_BOOLEAN) == "true" else "false", struck=struck)
        case "date":
            return Cell(Kind.DATE, cell.get(_DATE, "")[:30].replace("T", " "), struck=struck)
        case "time":
            seconds = _seconds(cell.get(_TIME, ""))
            return Cell(Kind.TIME, clock(seconds), seconds, struck=struck)
        case "float" | "currency" | "percentage":
            return _number(cell.get(_VALUE, ""), "%" if kind == "percentage" else shown, struck=struck)
    raise Damaged(f"a cell is of the kind {kind[:20]!r}, which there is not")


def _number(raw: str, shown: str, *, struck: bool = False) -> Cell:
    """A number; padded with zeros, or a percentage, where it is shown so."""
    if shown.endswith("%"):
        return number_cell(raw, Style(kind=Kind.PERCENT, struck=struck), since_1904=False)
    padded = re.fullmatch(r"0\d{1,29}", shown)
    return number_cell(raw, Style(zeros=len(shown) if padded else 0, struck=struck), since_1904=False)


def _checked(text: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise TooLarge(f"one of its texts has more than {LONGEST_TEXT:,} characters")
    return tidy(text)


def _seconds(written: str) -> int:
    match = _DURATION.fullmatch(written)
    if match is None:
        raise Damaged(f"{written[:20]!r} stands where a time belongs")
    time = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4]))
    return round(time.total_seconds()) * (-1 if match[1] else 1)


class _Paragraphs:
    """The text of a cell as it is shown, without its comment."""

    def __init__(self, cell: Element, struck: set[str]) -> None:
        self._styles = struck
        self._links: list[str] = []
        self.struck = False
        self.text = _checked("\n".join("".join(self._parts(part)) for part in cell if part.tag == _P))
        self.links = tuple(self._links)

    def _parts(self, element: Element) -> Iterator[str]:
        yield element.text or ""
        for part in element:
            match part.tag:
                case tag if tag == _S:
                    yield " " * whole_number(part.get(f"{{{TEXT}}}c", "1"), most=LONGEST_TEXT)
                case tag if tag == _TAB:
                    yield "\t"
                case tag if tag == _BREAK:
                    yield "\n"
                case tag if tag in {_ANNOTATION, _RUBY_TEXT}:
                    pass
                case tag:
                    if tag == _A:
                        self._links.append(part.get(_HREF, ""))
                    self.struck = self.struck or part.get(_TEXT_STYLE) in self._styles
                    yield from self._parts(part)
            yield part.tail or ""
