"""An .ods, as a stream: its tables, and their rows with the values and the texts that LibreOffice stores side by side.

All tables lie in one document, which is looked through once for where each begins.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Final
from xml.etree.ElementTree import Element

from pipeline.intake.workbooks.contract import Damaged, Sheet, SheetFacts, SheetRow, TooLarge
from pipeline.intake.workbooks.ods_rows import TABLE, TEXT, OdsRowReader, repeated
from pipeline.intake.workbooks.package import Package, feed, local, parser
from pipeline.intake.workbooks.xml_pieces import Head, parsed, pieces

_CONTENT: Final = "content.xml"
_MANIFEST: Final = "META-INF/manifest.xml"
_LOCKED: Final = (b"encryption-data", b"encrypted-package")
_TABLE_BEGINS: Final = re.compile(rb"<table:table(\s[^<>]*?)?(/?)>")
_TABLE_ENDS: Final = re.compile(rb"</table:table\s*>")
_ROWS_BEGIN: Final = re.compile(rb"<(?:/?)(table:)table(?:-row(?=[\s/>])|\s*>)()")
_ROW_ENDS: Final = b"</table:table-row>"
#: Groups around rows and columns are no more than their outline; a row that one hides says so itself.
_GROUPS: Final = re.compile(
    r"</?(?:table:table-(?:row-group|header-rows|rows|columns|header-columns|column-group)|text:soft-page-break)\b[^<>]*>"
)
_NAMESPACES: Final = re.compile(rb'\sxmlns:[\w.-]+="[^"<>]*"')
_ROOT: Final = re.compile(rb"<office:document-content\b[^<>]*>")
_LONGEST_TAG: Final = 1 << 16
_MOST_SHEETS: Final = 10_000


class OdsWorkbook:
    """The tables of a workbook.

    Raises:
        Damaged: it is locked with a password, or no workbook.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        if package.has(_MANIFEST) and any(mark in package.content(_MANIFEST) for mark in _LOCKED):
            raise Damaged("it is locked with a password; save it without one")
        head = Head(package.chunks(_CONTENT), re.compile(rb"<(table:)table(?=[\s/>])()"))
        root = _ROOT.search(head.before)
        if root is None or TABLE.encode() not in root[0] or TEXT.encode() not in root[0]:
            raise Damaged("its content does not begin as that of an .ods does")
        self.namespaces = b"".join(_NAMESPACES.findall(root[0])).decode()
        self._hidden_styles: set[str] = set()
        self.struck: set[str] = set()
        self._style = ""
        for _ in feed(parser(start=self._on_style), iter([head.before]), whole=False):
            pass
        self.sheets: Sequence[Sheet] = list(self._sheets())

    def close(self) -> None:
        """Nothing is kept open."""

    def _on_style(self, tag: str, attributes: dict[str, str]) -> None:
        match local(tag):
            case "style":
                self._style = attributes.get("style:name", "")
            case "table-properties" if attributes.get("table:display") == "false":
                self._hidden_styles.add(self._style)
            case "text-properties" if any(
                name.startswith("style:text-line-through-") and value not in {"none", ""}
                for name, value in attributes.items()
                if name.endswith(("-style", "-type"))
            ):
                self.struck.add(self._style)

    def _sheets(self) -> Iterator[Sheet]:
        for number, (end, tag) in enumerate(self._tables()):
            if number >= _MOST_SHEETS:
                raise TooLarge(f"it has more than {_MOST_SHEETS:,} sheets")
            table = parsed(f"<o{self.namespaces}>", tag.rstrip("/>") + "/>", "</o>")[0]
            name = table.get(f"{{{TABLE}}}name")
            if name is not None:  # without one it is the memory of a link to another file
                hidden = table.get(f"{{{TABLE}}}style-name", "") in self._hidden_styles
                yield _OdsSheet(self, end, name=name, hidden=hidden, empty=tag.endswith("/>"))

    def _tables(self) -> Iterator[tuple[int, str]]:
        """(offset behind the opening tag, the tag) of each table."""
        kept, offset = b"", 0
        for chunk in self.package.chunks(_CONTENT):
            kept += chunk
            for match in _TABLE_BEGINS.finditer(kept):
                yield offset + match.end(), match[0].decode(errors="replace")
            cut = kept.rfind(b"<")
            cut = len(kept) if cut < 0 or len(kept) - cut > _LONGEST_TAG or b">" in kept[cut:] else cut
            offset += cut
            kept = kept[cut:]


class _OdsSheet:
    def __init__(self, workbook: OdsWorkbook, begin: int, *, name: str, hidden: bool, empty: bool) -> None:
        self._workbook = workbook
        self._begin = begin
        self._empty = empty
        self.name = name
        self.hidden = hidden

    def facts(self) -> SheetFacts:
        """What stands before the rows; merged cells, links and pictures stand in them."""
        return SheetFacts(hidden_columns=self._hidden_columns)

    def rows(self) -> Iterator[SheetRow]:
        if self._empty:
            return iter(())
        reader = OdsRowReader(self._workbook.struck)
        return reader.rows(pieces(self._chunks(), unit=_ROW_ENDS, stop=_TABLE_ENDS), self._elements)

    @cached_property
    def _hidden_columns(self) -> Sequence[tuple[int, int]]:
        if self._empty:
            return ()
        before = Head(self._chunks(), _ROWS_BEGIN).before
        column, hidden = 0, []
        for element in self._elements(before.decode(errors="replace")):
            if element.tag == f"{{{TABLE}}}table-column":
                width = repeated(element, "number-columns-repeated")
                if element.get(f"{{{TABLE}}}visibility", "visible") != "visible":
                    hidden.append((column, column + width - 1))
                column += width
        return hidden

    def _chunks(self) -> Iterator[bytes]:
        chunks = self._workbook.package.chunks(_CONTENT)
        left = self._begin
        for chunk in chunks:
            if left < len(chunk):
                return chain([chunk[left:]], chunks)
            left -= len(chunk)
        raise Damaged("it breaks off before a sheet begins")

    def _elements(self, piece: str) -> Iterator[Element]:
        yield from parsed(f"<o{self._workbook.namespaces}>", _GROUPS.sub("", piece), "</o>")
