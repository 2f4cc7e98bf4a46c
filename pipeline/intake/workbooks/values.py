"""What a cell is worth to a prompt: read, read with a warning, or refused, each with its cell.

What is understood is read, what is half understood is named, what would be paid for and cannot be meant is refused.
"""

from typing import Final

from domain.errors import BadInput
from pipeline.intake.columns import ADDRESSES as REFERENCE_COLUMNS
from pipeline.intake.columns import KNOWN, NUMBERS, SETTINGS, TRIES
from pipeline.intake.workbooks.contract import Cell, Kind, place
from pipeline.intake.workbooks.notices import Notices

#: Columns whose cells lead somewhere: a link counts, not the words that it is written on.
ADDRESSES: Final = REFERENCE_COLUMNS | {"image_url", "reference", "image"}
#: Those of them in which a picture is as good as its address.
TAKES_PICTURES: Final = (REFERENCE_COLUMNS | {"image"}) & KNOWN
#: What would steer a model, so that a date in it is a mistake.
_STEERING: Final = SETTINGS | TRIES | {"provider", "model", "character", "status", "approved"}
#: What is the owner's own and steers nothing, but names folders and rows.
_LABELS: Final = frozenset({"index", "theme", "variation"})
#: A scale from 0 to 100, on which 80% can only mean 80.
_SCALES: Final = frozenset({"cref_weight", "chaos"})
#: Columns in which a number is no number.
NOT_NUMBERS: Final = frozenset({"prompt", "aspect_ratio"})
_AS_TEXT: Final = "type it as text, with an apostrophe before it"
_MINUTE_S: Final = 60


class CellReader:
    """Reads the cells of one sheet that are more than plain text."""

    def __init__(self, sheet: str, notices: Notices, *, name: str) -> None:
        self._sheet = sheet
        self._notices = notices
        self._name = name

    def text(self, cell: Cell, column: str, *, line: int, at: int) -> str:
        """The cell as the text that a CSV would hold in its place.

        Args:
            column: its name.
            at: its place, from 0.

        Raises:
            BadInput: it cannot be meant.
        """
        kind = cell.kind
        if cell.links and column in ADDRESSES:
            return " ".join(cell.links)
        if cell.struck:
            self._say("struck-out text is read like any other; delete what should not be sent", line, at)
        if kind in {Kind.TEXT, Kind.PICTURE}:
            return cell.text
        return self._no_text(cell, column, line, at)

    def _no_text(self, cell: Cell, column: str, line: int, at: int) -> str:
        if cell.kind is Kind.NUMBER and not cell.inexact and column not in NOT_NUMBERS:
            return cell.text
        self._refuse_broken(cell, column, line, at)
        if column == "prompt":
            raise self._refusal(f"the prompt is no text but the {cell.kind} {cell.text}; {_AS_TEXT}", line, at)
        if column == "aspect_ratio":
            return self._ratio(cell, line, at)
        if column in NUMBERS:
            return self._setting(cell, column, line, at)
        return self._word(cell, column, line, at)

    def _refuse_broken(self, cell: Cell, column: str, line: int, at: int) -> None:
        if cell.kind is Kind.ERROR:
            raise self._refusal(f"{column!r} holds the error {cell.text}; correct its formula, or empty it", line, at)
        if cell.kind is Kind.UNSTORED:
            raise self._refusal(
                f"{column!r} holds the formula {cell.text} without a stored value; open the workbook in a spreadsheet"
                " program and save it, so that values are stored",
                line,
                at,
            )

    def _ratio(self, cell: Cell, line: int, at: int) -> str:
        """A ratio that a program took for a time of day, as the ratio that was typed."""
        if cell.kind is Kind.TIME and cell.number is not None and cell.number > 0:
            minutes, seconds = divmod(int(cell.number), _MINUTE_S)
            width, height = divmod(minutes, _MINUTE_S)
            if width and height and not seconds:
                return f"{width}:{height}"
        became = ", which 3:4 or 3/4 may have become" if cell.kind in {Kind.DATE, Kind.NUMBER} else ""
        raise self._refusal(f"aspect_ratio is the {cell.kind} {cell.text}{became}; {_AS_TEXT}: '16:9", line, at)

    def _setting(self, cell: Cell, column: str, line: int, at: int) -> str:
        """What stands where a whole number belongs."""
        if cell.kind is Kind.PERCENT and column in _SCALES:
            meant = cell.text.removesuffix("%")
            self._say(f"{column} is a percentage and read as {meant} of 100", line, at)
            return meant
        if cell.inexact:
            raise self._lost(column, cell, line, at)
        if cell.kind in {Kind.PERCENT, Kind.DATE, Kind.TIME}:
            raise self._refusal(
                f"{column} is the {cell.kind} {cell.text}; it must be a whole number from 0 to {NUMBERS[column]}",
                line,
                at,
            )
        return cell.text

    def _word(self, cell: Cell, column: str, line: int, at: int) -> str:
        """What stands where a text belongs."""
        dated = cell.kind in {Kind.DATE, Kind.TIME}
        if dated and column in _STEERING:
            raise self._refusal(f"{column} is the {cell.kind} {cell.text}; {_AS_TEXT}", line, at)
        if dated and column in _LABELS:
            self._say(
                f"{column} is a {cell.kind}, read as {cell.text}; if something else was typed, {_AS_TEXT}", line, at
            )
        if cell.inexact and (column in _STEERING or column == "index"):
            raise self._lost(column, cell, line, at)
        if cell.inexact:
            self._say(f"{column!r} has more digits than a spreadsheet keeps; the rest are lost", line, at)
        return cell.text

    def _lost(self, column: str, cell: Cell, line: int, at: int) -> BadInput:
        return self._refusal(
            f"{column} is {cell.text}: more digits than a spreadsheet keeps, and the rest are lost; {_AS_TEXT}",
            line,
            at,
        )

    def _say(self, sentence: str, line: int, at: int) -> None:
        self._notices.add(sentence, place(self._sheet, line, at))

    def _refusal(self, sentence: str, line: int, at: int) -> BadInput:
        return BadInput(f"{sentence} (in {self._name!r})", line=line, cell=place(self._sheet, line, at))
