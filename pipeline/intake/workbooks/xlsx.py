"""An .xlsx or .xlsm: its sheets, and what each says beside its rows. Macros and links to other files are never opened.

A sheet's merged cells, links and tables stand behind its rows, and its hidden columns before them. Both ends are cut
out as bytes and parsed as a sheet without rows, so that rows are parsed once.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

from pipeline.intake.workbooks.contract import (
    Area,
    Damaged,
    Sheet,
    SheetFacts,
    SheetRow,
    TableObject,
    TooLarge,
    column_of,
)
from pipeline.intake.workbooks.number_formats import Style, style_of
from pipeline.intake.workbooks.package import Package, feed, local, parser, whole_number
from pipeline.intake.workbooks.shared_strings import SharedStrings, read_shared_strings
from pipeline.intake.workbooks.xlsx_pictures import PicturesInCells, over_cells
from pipeline.intake.workbooks.xlsx_rows import MOST_LINES, TRUE, RowReader
from pipeline.intake.workbooks.xml_pieces import Head, pieces

_MOST_TAIL_BYTES: Final = 64 << 20
_MOST_FACTS: Final = 1_000_000
_ROWS_BEGIN: Final = re.compile(rb"<([\w.-]+:)?sheetData\s*(/?)>")
_ROWS_END: Final = re.compile(rb"</(?:[\w.-]+:)?sheetData\s*>")
#: A closing tag may lie across two chunks.
_OVERLAP: Final = 64
_RANGE: Final = re.compile(r"\$?([A-Za-z]{1,3})\$?(\d{1,7})(?::\$?([A-Za-z]{1,3})\$?(\d{1,7}))?")


class XlsxWorkbook:
    """The sheets of a workbook. Close it: shared texts lie in a file of its own."""

    def __init__(self, package: Package) -> None:
        self._package = package
        main = (target for kind, target, _ in package.relations("").values() if kind == "officeDocument")
        self._part = next(main, "xl/workbook.xml")
        self._relations = package.relations(self._part)
        self._since_1904 = False
        self._named: list[tuple[str, bool, str]] = []
        package.parse(self._part, start=self._on_start)
        self.sheets: Sequence[Sheet] = [
            _XlsxSheet(self, part, name=name, hidden=hidden) for name, hidden, part in self._named
        ]

    def close(self) -> None:
        if "strings" in self.__dict__:
            self.strings.close()

    @property
    def package(self) -> Package:
        return self._package

    @property
    def since_1904(self) -> bool:
        return self._since_1904

    @cached_property
    def strings(self) -> SharedStrings:
        return read_shared_strings(self._package, self._related("sharedStrings"))

    @cached_property
    def styles(self) -> Sequence[Style]:
        part = self._related("styles")
        return _read_styles(self._package, part) if part is not None and self._package.has(part) else ()

    @cached_property
    def in_cells(self) -> PicturesInCells:
        return PicturesInCells(self._package, self._relations)

    def _related(self, kind: str) -> str | None:
        return next((target for found, target, _ in self._relations.values() if found == kind), None)

    def _on_start(self, tag: str, attributes: dict[str, str]) -> None:
        match local(tag):
            case "workbookPr":
                self._since_1904 = attributes.get("date1904") in TRUE
            case "sheet":
                known = self._relations.get(_relation_id(attributes))
                # Charts and sheets of macros are sheets too, and hold no rows.
                if known is not None and known[0] == "worksheet":
                    hidden = attributes.get("state", "visible") != "visible"
                    self._named.append((attributes.get("name", ""), hidden, known[1]))


class _XlsxSheet:
    def __init__(self, workbook: XlsxWorkbook, part: str, *, name: str, hidden: bool) -> None:
        self._workbook = workbook
        self._part = part
        self.name = name
        self.hidden = hidden

    def facts(self) -> SheetFacts:
        """What the sheet says before and behind its rows."""
        return self._frame.facts

    def rows(self) -> Iterator[SheetRow]:
        book = self._workbook
        head = Head(book.package.chunks(self._part), _ROWS_BEGIN)
        if head.empty:
            return iter(())
        reader = RowReader(
            prefix=head.prefix,
            strings=book.strings,
            styles=book.styles,
            since_1904=book.since_1904,
            in_cells=book.in_cells.part,
        )
        return reader.rows(pieces(head.rest(), unit=f"</{head.prefix}row>".encode(), stop=_ROWS_END))

    @cached_property
    def _frame(self) -> "_Frame":
        return _Frame(self._workbook.package, self._part)


class _Frame:
    """A sheet without its rows."""

    def __init__(self, package: Package, part: str) -> None:
        self._package = package
        self._relations = package.relations(part)
        self._hidden: list[tuple[int, int]] = []
        self._merged: list[Area] = []
        self._links: dict[tuple[int, int], str] = {}
        self._tables: list[TableObject] = []
        document = _without_rows(Head(package.chunks(part), _ROWS_BEGIN))
        for _ in feed(parser(start=self._start), iter([document])):
            pass
        pictures: dict[tuple[int, int], tuple[str, ...]] = {}
        for kind, target, outside in self._relations.values():
            if kind == "drawing" and not outside and package.has(target):
                for spot, picture in over_cells(package, target):
                    pictures[spot] = (*pictures.get(spot, ()), picture)
        self.facts = SheetFacts(
            hidden_columns=self._hidden,
            merged=self._merged,
            links=self._links,
            pictures=pictures,
            tables=self._tables,
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        match local(tag):
            case "col" if attributes.get("hidden") in TRUE:
                first, last = (whole_number(attributes.get(end, ""), most=MOST_LINES) - 1 for end in ("min", "max"))
                self._hidden.append((first, last))
            case "mergeCell":
                self._merged.append(area_of(attributes.get("ref", "")))
            case "hyperlink":
                self._link(attributes)
            case "tablePart":
                _, target, _ = self._relations.get(_relation_id(attributes), ("", "", False))
                if self._package.has(target):
                    self._tables.append(_table(self._package, target))
        if len(self._merged) + len(self._links) > _MOST_FACTS:
            raise TooLarge(f"a sheet of it has more than {_MOST_FACTS:,} links and merged cells")

    def _link(self, attributes: dict[str, str]) -> None:
        _, target, outside = self._relations.get(_relation_id(attributes), ("", "", False))
        if not outside:
            return  # a place in this workbook
        area = area_of(attributes.get("ref", ""))
        for line in range(area.first_line, area.last_line + 1):
            for column in range(area.first_column, area.last_column + 1):
                self._links[line, column] = target
                if len(self._links) > _MOST_FACTS:
                    raise TooLarge(f"a sheet of it has more than {_MOST_FACTS:,} links")


def area_of(reference: str) -> Area:
    """`B3:D7` or `B3`.

    Raises:
        Damaged: that is no range of cells.
    """
    match = _RANGE.fullmatch(reference)
    if match is None:
        raise Damaged(f"{reference[:20]!r} is no range of cells")
    first, second = column_of(match[1]), column_of(match[3] or match[1])
    upper, lower = int(match[2]), int(match[4] or match[2])
    return Area(
        first_line=min(upper, lower),
        last_line=min(max(upper, lower), MOST_LINES),
        first_column=min(first, second),
        last_column=max(first, second),
    )


def _relation_id(attributes: Mapping[str, str]) -> str:
    return next((value for name, value in attributes.items() if name == "id" or name.endswith(":id")), "")


def _without_rows(head: Head) -> bytes:
    """The document with all rows left out."""
    document = head.before + f"<{head.prefix}sheetData/>".encode()
    rest = head.rest()
    if head.empty:
        return document + _bounded(b"", rest)
    kept = b""
    for chunk in rest:
        kept = kept[-_OVERLAP:] + chunk
        if (end := _ROWS_END.search(kept)) is not None:
            return document + _bounded(kept[end.end() :], rest)
    raise Damaged("the rows of a sheet do not end")


def _bounded(begun: bytes, chunks: Iterator[bytes]) -> bytes:
    pieces, size = [begun], len(begun)
    for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size > _MOST_TAIL_BYTES:
            raise TooLarge(f"what stands behind the rows of a sheet has more than {_MOST_TAIL_BYTES:,} bytes")
    return b"".join(pieces)


def _table(package: Package, part: str) -> TableObject:
    found: list[TableObject] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if local(tag) == "table" and not found:
            totals = whole_number(attributes.get("totalsRowCount", "0"), most=MOST_LINES)
            name = attributes.get("displayName") or attributes.get("name", "")
            found.append(TableObject(name=name, area=area_of(attributes.get("ref", "")), totals=totals))

    package.parse(part, start=start)
    if not found:
        raise Damaged(f"its part {part!r} is no table")
    return found[0]


def _read_styles(package: Package, part: str) -> Sequence[Style]:
    codes: dict[int, str] = {}
    struck: list[bool] = []
    styles: list[Style] = []
    where = [""]

    def number(attributes: Mapping[str, str], name: str) -> int:
        return whole_number(attributes.get(name, "0"), most=MOST_LINES)

    def start(tag: str, attributes: dict[str, str]) -> None:
        match local(tag):
            case "fonts" | "cellXfs" | "cellStyleXfs" | "dxfs" as section:
                where[0] = section
            case "numFmt" if where[0] != "dxfs":
                codes[number(attributes, "numFmtId")] = attributes.get("formatCode", "")
            case "font" if where[0] == "fonts":
                struck.append(False)
            case "strike" if where[0] == "fonts" and struck:
                struck[-1] = attributes.get("val", "1") not in {"0", "false"}
            case "xf" if where[0] == "cellXfs":
                shape, font = number(attributes, "numFmtId"), number(attributes, "fontId")
                styles.append(style_of(shape, codes.get(shape), struck=font < len(struck) and struck[font]))

    package.parse(part, start=start)
    return styles
