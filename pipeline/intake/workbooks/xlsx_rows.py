"""The rows of one .xlsx sheet, as a stream: XML to cells, each as its style shows it."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element

from pipeline.intake.workbooks.contract import Cell, Damaged, Kind, SheetRow, TooLarge, Value, column_of
from pipeline.intake.workbooks.number_formats import Style, number_cell
from pipeline.intake.workbooks.package import whole_number
from pipeline.intake.workbooks.shared_strings import SharedStrings, rich_text, unescaped
from pipeline.intake.workbooks.xml_pieces import entities, parsed

MOST_LINES: Final = 1_048_576
#: 200,000 rows of 100 cells, or a million of 20.
MOST_CELLS: Final = 20_000_000
TRUE: Final = frozenset({"1", "true"})
#: What a formula is read for: the address that it makes a caption or a picture of.
ADDRESS: Final = re.compile(
    r"""\s*(?:of:)?=?\s*(?:_xlfn\.)?(?:HYPERLINK|IMAGE)\(\s*"((?:[^"]|"")*)"\s*[,;)]""", re.IGNORECASE
)
#: Cells as nearly every program writes them: no formula, and a text in one run.
_CELL: Final = (
    r'<c r="([A-Z]{1,3})[0-9]{1,7}"(?: s="([0-9]{1,6})")?(?: t="([snb]|inlineStr)")?'
    r'(?:/>|><v>([^<&]{0,64})</v></c>|><is><t(?: xml:space="preserve")?>([^<]*)</t></is></c>)'
)
_ROW: Final = re.compile(r'\s*<row r="([0-9]{1,7})"([^<>]*[^<>/]|)>')
_ROW_ENDS: Final = "</row>"
#: How many tags a cell has: empty, with a stored value, with a text of its own.
_EMPTY_TAGS, _STORED_TAGS, _INLINE_TAGS = 1, 4, 6
_CELLS: Final = re.compile(_CELL)
_HIDDEN: Final = re.compile(r'\bhidden="(?:1|true)"|\bht="0(?:\.0+)?"')
_PLAIN: Final = Style()
_EXACT_DIGITS: Final = 15


class RowReader:
    """Turns rows as they are stored into rows as they are shown.

    Args:
        in_cells: the part with the picture of a cell, by the number of its rich value; None for a rich value that is
            no picture.
    """

    def __init__(
        self,
        *,
        prefix: str,
        strings: SharedStrings,
        styles: Sequence[Style],
        since_1904: bool,
        in_cells: Callable[[str], str | None],
    ) -> None:
        self._in_cells = in_cells
        self._strings, self._since_1904 = strings, since_1904
        self._styles = {str(number): style for number, style in enumerate(styles)}
        self._struck = {number for number, style in self._styles.items() if style.struck}
        #: Styles, and no style at all, that show whole numbers as they are stored.
        self._plain = {"", *(number for number, style in self._styles.items() if style == _PLAIN)}
        self._columns: dict[str, int] = {}
        self._opening = f'<{prefix}sheetData xmlns{":" + prefix[:-1] if prefix else ""}="rows">'
        self._closing = f"</{prefix}sheetData>"
        self._line = 0
        self._cells = 0

    def rows(self, pieces: Iterator[str]) -> Iterator[SheetRow]:
        """The rows of pieces that hold complete ones.

        Raises:
            Damaged, TooLarge: while rows are taken.
        """
        for piece in pieces:
            at = 0
            while (match := _ROW.match(piece, at)) is not None:
                end = piece.find(_ROW_ENDS, match.end())
                content = piece[match.end() : end]
                cells = _CELLS.findall(content)
                if end < 0 or not _is_all(cells, content):
                    break
                yield self._regular(int(match[1]), match[2], cells)
                at = end + len(_ROW_ENDS)
            if at < len(piece):
                for element in parsed(self._opening, piece[at:], self._closing):
                    yield self._irregular(element)

    def _regular(self, line: int, attributes: str, found: Sequence[tuple[str, str, str, str, str]]) -> SheetRow:
        row = self._row(line, hidden=attributes != "" and _HIDDEN.search(attributes) is not None)
        cells, columns, strings, struck = row.cells, self._columns, self._strings.get, self._struck
        numbers: list[int] = []
        for name, style, kind, stored, inline in found:
            if not (stored or inline):
                continue
            column = columns.get(name)
            if column is None:
                column = columns[name] = column_of(name)
            value: Value
            if kind == "s":
                value = strings(stored) if style not in struck else self._struck_out(strings(stored), style)
            elif inline:
                value = self._struck_out(unescaped(entities(inline)), style)
            elif kind == "b":
                value = Cell(Kind.BOOLEAN, "true" if stored in TRUE else "false")
            elif style in self._plain and stored.isdigit() and stored[0] != "0" and len(stored) <= _EXACT_DIGITS:
                value = stored
                numbers.append(column)
            else:
                value = number_cell(stored.strip(), self._styles.get(style, _PLAIN), since_1904=self._since_1904)
            if value != "":
                cells[column] = value
        row.numbers, row.plain = numbers, all(type(value) is str for value in cells.values())
        self._count(len(cells))
        return row

    def _irregular(self, element: Element) -> SheetRow:
        attributes = element.attrib
        hidden = attributes.get("hidden") in TRUE or attributes.get("ht") in {"0", "0.0"}
        written = attributes.get("r")
        line = self._line + 1 if written is None else whole_number(written, most=MOST_LINES)
        row = self._row(line, hidden=hidden)
        column = -1
        for cell in element:
            if not cell.tag.endswith("}c"):
                continue
            written = cell.get("r")
            column = column + 1 if written is None else column_of(written.rstrip("0123456789"))
            value = self._struck_out(self._value(cell), cell.get("s", ""))
            if value != "":
                row.cells[column] = value
        self._count(len(element))
        return row

    def _struck_out(self, value: Value, style: str) -> Value:
        return Cell(Kind.TEXT, value, struck=True) if style in self._struck and value and type(value) is str else value

    def _row(self, line: int, *, hidden: bool) -> SheetRow:
        if not self._line < line <= MOST_LINES:
            raise Damaged(f"row {line} comes after row {self._line}")
        self._line = line
        return SheetRow(line=line, hidden=hidden, cells={})

    def _count(self, cells: int) -> None:
        self._cells += cells
        if self._cells > MOST_CELLS:
            raise TooLarge(f"a sheet of it has more than {MOST_CELLS:,} cells")

    def _value(self, cell: Element) -> Value:
        kind = cell.get("t", "n")
        stored = formula = inline = None
        for part in cell:
            match part.tag.rpartition("}")[2]:
                case "v":
                    stored = part.text or ""
                case "f":
                    formula = part.text or ""
                case "is":
                    inline = part
        if kind == "inlineStr":
            text, struck = ("", False) if inline is None else rich_text(inline)
            return Cell(Kind.TEXT, text, struck=True) if struck else text
        links = _links(formula)
        if kind == "e" and (rich := cell.get("vm")) is not None:
            picture = self._in_cells(rich)
            if links or picture is not None:
                return Cell(Kind.PICTURE, "", links=links, pictures=() if picture is None else (picture,))
        if stored is None or (not stored.strip() and kind != "str"):
            return "" if formula is None else Cell(Kind.UNSTORED, f"={formula[:60]}", links=links)
        return self._stored(kind, stored, style=cell.get("s", ""), links=links)

    def _stored(self, kind: str, stored: str, *, style: str, links: tuple[str, ...]) -> Value:
        match kind:
            case "s":
                return self._strings.get(stored.strip())
            case "n":
                return number_cell(stored.strip(), self._styles.get(style, _PLAIN), since_1904=self._since_1904)
            case "str":
                text = unescaped(stored)
                return Cell(Kind.TEXT, text, links=links) if links else text
            case "b":
                return Cell(Kind.BOOLEAN, "true" if stored.strip() in TRUE else "false")
            case "e":
                return Cell(Kind.ERROR, stored.strip()[:20])
            case "d":
                return Cell(Kind.DATE, stored.strip()[:30])
        raise Damaged(f"a cell is of the kind {kind[:20]!r}, which there is not")


def _is_all(cells: Sequence[tuple[str, str, str, str, str]], content: str) -> bool:
    """Whether these cells are all that a row holds: no tag is left over."""
    tags = content.count("<")
    if tags == _STORED_TAGS * len(cells):
        return all(cell[3] for cell in cells)
    return tags == sum(_STORED_TAGS if cell[3] else _INLINE_TAGS if cell[4] else _EMPTY_TAGS for cell in cells)


def _links(formula: str | None) -> tuple[str, ...]:
    found = ADDRESS.match(formula) if formula else None
    return (found[1].replace('""', '"'),) if found else ()
