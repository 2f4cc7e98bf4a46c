"""CSV for people: a spreadsheet that opens it calculates nothing of what is in it.

A prompt, a theme or a service's message that begins like a formula would be run by Excel, LibreOffice and Google Sheets
when somebody opens the file. Every CSV of the product is written here; workbooks write texts as texts.
"""

import csv
import re
from collections.abc import Iterable
from typing import Any, Final, Protocol

#: Source: OWASP, "CSV Injection": what makes a cell a formula, blanks before it included.
_FORMULA: Final = re.compile(r"\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


class Writable(Protocol):
    def write(self, text: str, /) -> object: ...


class CellWriter:
    """Writes rows of CSV whose texts are never formulas."""

    def __init__(self, file: Writable, *, line_end: str = "\r\n") -> None:
        self._rows = csv.writer(file, lineterminator=line_end)

    def writerow(self, cells: Iterable[Any]) -> None:
        self._rows.writerow([as_text(cell) for cell in cells])

    def writerows(self, rows: Iterable[Iterable[Any]]) -> None:
        for row in rows:
            self.writerow(row)


def as_text(cell: Any) -> Any:
    """The cell, with an apostrophe in front of a text that a spreadsheet would calculate; numbers stay."""
    if cell is None or isinstance(cell, int | float):
        return cell
    text = str(cell)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
