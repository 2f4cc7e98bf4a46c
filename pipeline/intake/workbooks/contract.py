"""What both kinds of workbook are read as: sheets, their rows, and cells that say what they are and what they show.

A cell of plain text is a `str`, since nearly all are; everything else is a `Cell`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol


class Kind(StrEnum):
    """What a program for spreadsheets took the content of a cell for."""

    TEXT = "text"
    NUMBER = "number"
    PERCENT = "percentage"
    DATE = "date"
    TIME = "time"
    BOOLEAN = "truth value"
    ERROR = "error"
    UNSTORED = "formula without a stored value"
    PICTURE = "picture"


class Cell(NamedTuple):
    """One cell that is more than plain text. A tuple: 200,000 frozen dataclasses take three times as long to make.

    Args:
        text: what the cell shows, as plainly as it can be written: `7` for 7.0, `000007` where it is padded so.
        number: the stored number of a PERCENT (0.8 for 80%), the seconds of a TIME; else None.
        inexact: more digits were typed than a spreadsheet keeps, and the rest are lost.
        struck: the text, or a part of it, is struck out.
        links: addresses that the cell leads to; `text` is their caption then.
        pictures: parts of the archive that hold what the cell shows; "" for one that is only linked.
    """

    kind: Kind
    text: str
    number: float | None = None
    inexact: bool = False
    struck: bool = False
    links: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()

    @property
    def odd(self) -> bool:
        """Whether there is more to it than what it shows."""
        return self.inexact or self.struck


Value = str | Cell

MOST_COLUMNS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A rectangle of cells, both ends inclusive; lines count from 1, columns from 0."""

    first_line: int
    last_line: int
    first_column: int
    last_column: int

    def covers(self, line: int, column: int) -> bool:
        return self.first_line <= line <= self.last_line and self.first_column <= column <= self.last_column


@dataclass(slots=True, kw_only=True)
class SheetRow:
    """A row of a sheet as stored.

    Args:
        line: 1-based.
        hidden: by hand or by a filter.
        cells: by 0-based column; cells without content are absent.
        merged: areas that begin in this row, where the format stores them so.
        pictures: by column, those that are anchored in this row, where the format stores them so; as a cell's.
        numbers: columns whose text is that of a whole number which shows as it is stored, and no `Cell` was made of.
        plain: every cell is a text, or such a number.
    """

    line: int
    hidden: bool
    cells: dict[int, Value]
    merged: Sequence[Area] = ()
    pictures: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    numbers: Sequence[int] = ()
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableObject:
    """A table that the workbook itself declares, header included; `totals` are its last lines."""

    name: str
    area: Area
    totals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetFacts:
    """What a sheet says beside its rows.

    Args:
        hidden_columns: pairs of 0-based columns, both inclusive.
        merged, pictures: as a row's, where the format stores them apart from the rows; pictures by (line, column).
        links: addresses by (line, column), where they are stored apart from the cells.
    """

    hidden_columns: Sequence[tuple[int, int]] = ()
    merged: Sequence[Area] = ()
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)
    pictures: Mapping[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    tables: Sequence[TableObject] = ()

    def hides(self, column: int) -> bool:
        return any(first <= column <= last for first, last in self.hidden_columns)


class Sheet(Protocol):
    """One sheet of cells. Its rows are read anew at each call and never held together."""

    @property
    def name(self) -> str: ...
    @property
    def hidden(self) -> bool: ...
    def facts(self) -> SheetFacts: ...
    def rows(self) -> Iterator[SheetRow]: ...


class Damaged(Exception):
    """The file is not what its format asks for; the text says where, without a full stop."""


class TooLarge(Exception):
    """The file asks for more than is read; the text names the limit."""


def letters(column: int) -> str:
    """`C` for the column 2."""
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(65 + rest) + name
    return name


def column_of(name: str) -> int:
    """2 for `C`.

    Raises:
        Damaged: that is no column.
    """
    if not (name.isascii() and name.isalpha() and len(name) <= 3):
        raise Damaged(f"{name[:20]!r} is no column")
    column = 0
    for letter in name.upper():
        column = column * 26 + ord(letter) - 64
    return column - 1


def place(sheet: str, line: int, column: int | None = None) -> str:
    """`Prompts!C14`, as spreadsheets write it; a name with blanks or signs stands in quotes."""
    quoted = sheet if sheet.isidentifier() else "'" + sheet.replace("'", "''") + "'"
    return f"{quoted}!{letters(column)}{line}" if column is not None else f"{quoted}!{line}:{line}"
