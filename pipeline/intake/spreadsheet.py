"""CSV and TSV as spreadsheets write them: bytes to rows of named cells, each with its line.

Strict where leniency costs money: a quote that is never closed would swallow the prompts after it, so
it is an error that names the line where it opened. What makes a prompt of a row is not decided here.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import BinaryIO, Final

from domain.errors import BadInput
from pipeline.intake.cut_cells import Cuts
from pipeline.intake.findings import Findings, Kind

#: In order of preference; the one that finds the wanted column in a header is the one in use.
_DELIMITERS: Final = (",", ";", "\t")
#: What Excel takes as the word about the delimiter.
_SEPARATOR_LINE: Final = re.compile(r"sep=(.)", re.IGNORECASE)
#: A header is looked for below so many records.
_MOST_ABOVE: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that is read while its rows are taken.

    Args:
        columns: in the order of the header, renamed; empty for a file without any content.
        rows: (1-based line on which the row begins, cells). Empty lines are passed over; a row may
            have fewer cells than there are columns, never more.
    """

    columns: Sequence[str]
    rows: Iterator[tuple[int, list[str]]]


def read_table(source: BinaryIO, *, name: str, rename: Callable[[str], str], wanted: str, findings: Findings) -> Table:
    """The table in `source`, which must be seekable and is read from its start.

    The header is the first line that has the wanted column; a title above it is passed over.

    Args:
        source: the bytes.
        name: of the file, as errors call it.
        rename: from a column's name as written to the name it gets here.
        wanted: the column (as renamed) by which header and delimiter are recognised.
        findings: collects what is half understood.

    Raises:
        BadInput: here or while rows are taken: a column named twice, more cells than the header
            names, a quote never closed, a cell above the limit of the `csv` module, a NUL byte,
            bytes that are not UTF-8.
    """
    delimiter, above = _layout(source, name=name, rename=rename, wanted=wanted)
    records = _Records(source, name=name, delimiter=delimiter)
    rows = iter(records)
    line, header = next(rows, (1, []))
    for _ in range(above):
        line, header = next(rows)
    if above:
        findings.add(Kind.HEADER, f"the header of {name!r} is line {line}; what stands above it is passed over")
    columns = _columns(header, name=name, rename=rename, line=line)
    at = columns.index(wanted) if wanted in columns else len(columns)
    cuts = Cuts(columns, at=at, spaced=records.spaced(), findings=findings)

    def again(cells: list[str]) -> bool:
        return at < len(cells) and rename(cells[at]) == wanted and list(map(rename, cells))[: len(columns)] == columns

    return Table(columns=columns, rows=_body(rows, records, name=name, again=again, cuts=cuts))


def read_lines(source: BinaryIO, *, name: str) -> Iterator[str]:
    """Physical lines of `source` with their endings: UTF-8, with or without a byte order mark.

    Raises:
        BadInput: a NUL byte, or bytes that are not UTF-8, with the line and the offset.
    """
    source.seek(0)
    text = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")
    try:
        for number, line in enumerate(text, start=1):
            if "\0" in line:
                raise BadInput(
                    f"{name!r} contains a NUL byte, which no prompt can carry; "
                    "delete it, or save the file again as CSV UTF-8",
                    line=number,
                )
            yield line
    except UnicodeDecodeError:
        raise _not_utf8(source, name=name) from None
    finally:
        # Without this the wrapper, when collected, closes a file that is still in use.
        if not source.closed:
            text.detach()


def _body(
    rows: Iterator[tuple[int, list[str]]],
    records: "_Records",
    *,
    name: str,
    again: Callable[[list[str]], bool],
    cuts: Cuts,
) -> Iterator[tuple[int, list[str]]]:
    """The rows below the header, none wider than it.

    Args:
        again: whether a row is the header once more.
    """
    width = len(cuts.columns)
    for line, cells in rows:
        if again(cells):
            cuts.findings.add(Kind.HEADER, "the header comes again, and is passed over", line=line)
            continue
        # Spreadsheets pad rows with empty cells; a surplus cell with content is a prompt cut in two.
        if any(cell.strip() for cell in cells[width:]):
            raise BadInput(
                f"this row of {name!r} has {len(cells)} cells, but its header names {width}; "
                "put a cell that contains the separator into double quotes",
                line=line,
            )
        cuts.look(line, cells, records.raw)
        yield line, cells[:width]


def _layout(source: BinaryIO, *, name: str, rename: Callable[[str], str], wanted: str) -> tuple[str, int]:
    """The delimiter, and how many records stand above the header."""
    first = next(read_lines(source, name=name), "")
    if found := _SEPARATOR_LINE.fullmatch(first.strip("\r\n")):
        return found[1], 0
    best: tuple[bool, int, int] = (False, 0, 0)
    delimiter = _DELIMITERS[0]
    for one in _DELIMITERS:
        head: list[tuple[int, list[str]]] = []
        # With another delimiter the same quotes may make sense; if not, it is raised later.
        with suppress(BadInput):
            head.extend(islice(_Records(source, name=name, delimiter=one), _MOST_ABOVE + 1))
        at = next((at for at, (_, cells) in enumerate(head) if wanted in map(rename, cells)), None)
        width = len(head[at or 0][1]) if head else 0
        fitness = (at is not None, -(at or 0), width)
        if fitness > best:
            best, delimiter = fitness, one
    return delimiter, -best[1]


def _columns(header: list[str], *, name: str, rename: Callable[[str], str], line: int) -> list[str]:
    while header and not header[-1].strip():
        header = header[:-1]
    columns: list[str] = []
    for position, written in enumerate(header, start=1):
        column = rename(written) or f"column {position}"
        if column in columns:
            raise BadInput(f"{name!r} names the column {written.strip()!r} twice; rename one of the two", line=line)
        columns.append(column)
    return columns


class _Records:
    """Records as (line, cells), each with the text it was read from while it is the latest.

    A blank before a quote belongs to neither cell, as people write it by hand.
    """

    def __init__(self, source: BinaryIO, *, name: str, delimiter: str) -> None:
        self._source = source
        self._name = name
        self._delimiter = delimiter
        self._latest = ""
        #: The text of the latest record, or None where it has several lines or its commas separate nothing.
        self.raw: str | None = None

    def spaced(self) -> bool:
        """Whether the record that was read last has a blank behind a comma."""
        return ", " in (self.raw or "")

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._lines(), delimiter=self._delimiter, strict=True, skipinitialspace=True)
        begin = 1
        try:
            for cells in reader:
                self.raw = self._latest if reader.line_num == begin and self._delimiter == "," else None
                if cells and not (begin == 1 and _SEPARATOR_LINE.fullmatch(self._latest.strip("\r\n"))):
                    yield begin, cells
                begin = reader.line_num + 1
        except csv.Error as failure:
            reason = str(failure)
            region = list(islice(read_lines(self._source, name=self._name), begin - 1, reader.line_num))
            raise _broken(region, name=self._name, delimiter=self._delimiter, begin=begin, reason=reason) from failure

    def _lines(self) -> Iterator[str]:
        for line in read_lines(self._source, name=self._name):
            self._latest = line
            yield line


def _broken(region: list[str], *, name: str, delimiter: str, begin: int, reason: str) -> BadInput:
    """The sentence for a record that spans `region`, physical lines from line `begin` on."""
    limit = csv.field_size_limit()
    opened = _open_quote("".join(region), delimiter=delimiter)
    if opened is None and "limit" in reason:
        return BadInput(f"a cell of {name!r} has more than {limit:,} characters; shorten it", line=begin)
    if opened is None:
        return BadInput(f"{name!r} is not well-formed here ({reason}); save it again as CSV", line=begin)
    if "limit" in reason or "unexpected end" in reason:
        what = "is never closed" if "end" in reason else f"is not closed within {limit:,} characters"
        return BadInput(f"a double quote opened here in {name!r} {what}; close it, or remove it", line=begin + opened)
    return BadInput(
        f"a cell of {name!r} opens with a double quote here and goes on after the closing one in line "
        f'{begin + len(region) - 1}; close it in time, and write a quote inside a quoted cell as ""',
        line=begin + opened,
    )


def _open_quote(text: str, *, delimiter: str) -> int | None:
    """How many lines into `text` the first quote stands that is not closed at the end of a cell."""
    # Possessive, so that a quote that is never closed is found out in one pass.
    cell = re.compile(rf'(?: *"[^"]*+(?:""[^"]*+)*+"|(?!")[^{delimiter}\r\n]*+)(?:{delimiter}|\r\n|\r|\n|\Z)')
    position = 0
    while position < len(text):
        match = cell.match(text, position)
        if match is None:
            return len(re.findall(r"\r\n|\r|\n", text[:position]))
        position = match.end()
    return None


def _not_utf8(source: BinaryIO, *, name: str) -> BadInput:
    source.seek(0)
    content = source.read()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return BadInput(
            f"{name!r} is encoded as UTF-16; save it as CSV UTF-8, or run: iconv -f UTF-16 -t UTF-8", line=1
        )
    try:
        content.decode()
    except UnicodeDecodeError as failure:
        line = len(re.findall(rb"\r\n|\r|\n", content[: failure.start])) + 1
        return BadInput(
            f"byte 0x{content[failure.start]:02X} at offset {failure.start} of {name!r} is not UTF-8; "
            "save the file as CSV UTF-8, or, if it is Latin-1, run: iconv -f LATIN1 -t UTF-8",
            line=line,
        )
    return BadInput(f"{name!r} changed while it was read; try again")
