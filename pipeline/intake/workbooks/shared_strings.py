"""The texts that the cells of an .xlsx share, kept on disk, so that 200,000 prompts take no more memory than ten."""

import os
import re
import tempfile
import weakref
from array import array
from functools import lru_cache
from typing import Final
from xml.etree.ElementTree import Element

from pipeline.intake.workbooks.contract import Cell, Damaged, Kind, TooLarge, Value
from pipeline.intake.workbooks.package import Package
from pipeline.intake.workbooks.xml_pieces import Head, entities, parsed, pieces

#: As the `csv` module's own limit; the longest prompt that any service reads has a quarter of it.
LONGEST_TEXT: Final = 131_072
OFF: Final = frozenset({"0", "false"})
_WINDOW: Final = 1 << 18
_STRUCK, _PLAIN = b"\1", b"\0"
_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNUSUAL: Final = re.compile("[\r\u00a0\u2007\u202f]")
_TEXTS_BEGIN: Final = re.compile(rb"<([\w.-]+:)?sst\b[^>]*?(/?)>")
_TEXTS_END: Final = re.compile(rb"</(?:[\w.-]+:)?sst\s*>")
#: A text as nearly every program writes it: in one run.
_REGULAR: Final = re.compile(r'\s*<si><t(?: xml:space="preserve")?>([^<]*)</t></si>')


def tidy(text: str) -> str:
    """Line ends as line feeds, blanks that do not break as blanks: they look alike, and would part equal rows."""
    if not _UNUSUAL.search(text):
        return text
    return re.sub("[\u00a0\u2007\u202f]", " ", text.replace("\r\n", "\n").replace("\r", "\n"))


def unescaped(text: str) -> str:
    """`_x000D_` and its like, by which .xlsx writes what XML cannot hold. NUL and surrogates stay as written.

    Raises:
        TooLarge: the text is longer than any cell's.
    """
    if len(text) > LONGEST_TEXT:
        raise TooLarge(f"one of its texts has more than {LONGEST_TEXT:,} characters")
    return tidy(_ESCAPED.sub(_character, text) if "_x" in text else text)


def _character(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return chr(code) if code and not 0xD800 <= code <= 0xDFFF else match[0]


def rich_text(element: Element) -> tuple[str, bool]:
    """The text of an `<si>` or `<is>` without East Asian reading aids, and whether any of it is struck out."""
    texts, struck = [], False
    for part in element:
        match part.tag.rpartition("}")[2]:
            case "t":
                texts.append(part.text or "")
            case "r":
                for inner in part:
                    name = inner.tag.rpartition("}")[2]
                    if name == "t":
                        texts.append(inner.text or "")
                    elif name == "rPr":
                        struck = struck or any(
                            mark.tag.endswith("}strike") and mark.get("val") not in OFF for mark in inner
                        )
    return unescaped("".join(texts)), struck


class SharedStrings:
    """The texts by their number. Reading goes mostly forwards, as programs number texts where they first stand."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=_WINDOW)  # noqa: SIM115 -- closed by `close`
        self._ends = array("Q", [0])
        self._window, self._begin = b"", 0
        self.get = lru_cache(maxsize=4096)(self._get)
        #: Also when a damaged part ends the reading, before anybody could close this.
        self.close = weakref.finalize(self, self._file.close)

    def add(self, text: str, *, struck: bool) -> None:
        record = (_STRUCK if struck else _PLAIN) + text.encode(errors="replace")
        self._file.write(record)
        self._ends.append(self._ends[-1] + len(record))

    def _get(self, number: str) -> Value:
        if not (number.isascii() and number.isdigit() and len(number) < 10 and int(number) < len(self._ends) - 1):
            raise Damaged(f"a cell names the text number {number[:20]!r}, which there is not")
        begin, end = self._ends[int(number)], self._ends[int(number) + 1]
        if not self._begin <= begin <= end <= self._begin + len(self._window):
            self._file.flush()
            self._begin = begin
            self._window = os.pread(self._file.fileno(), max(_WINDOW, end - begin), begin)
        record = self._window[begin - self._begin : end - self._begin]
        text = record[1:].decode()
        return Cell(Kind.TEXT, text, struck=True) if record[:1] == _STRUCK else text


def read_shared_strings(package: Package, part: str | None) -> SharedStrings:
    """All texts of the part; none where the workbook has no such part."""
    strings = SharedStrings()
    if part is None or not package.has(part):
        return strings
    chunks = package.chunks(part)
    head = Head(chunks, _TEXTS_BEGIN)
    if head.empty:
        return strings
    opening = f'<{head.prefix}sst xmlns{":" + head.prefix[:-1] if head.prefix else ""}="sst">'
    for piece in pieces(head.rest(), unit=f"</{head.prefix}si>".encode(), stop=_TEXTS_END):
        at = 0
        while (match := _REGULAR.match(piece, at)) is not None:
            strings.add(unescaped(entities(match[1])), struck=False)
            at = match.end()
        if at < len(piece):
            for element in parsed(opening, piece[at:], f"</{head.prefix}sst>"):
                text, struck = rich_text(element)
                strings.add(text, struck=struck)
    return strings
