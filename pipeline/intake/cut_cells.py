"""Find prompts that were cut in two at a comma of their text, where the row has not too many cells for it.

Half a prompt would be painted and paid for, and the other half would be sorted by.
"""

import re
from collections.abc import Sequence
from typing import Final

from pipeline.intake.columns import KNOWN
from pipeline.intake.findings import Findings, Kind

#: Known columns that hold text of any kind.
_TEXTS: Final = frozenset({"theme", "variation", "negative_prompt"})
_LONGEST_SHOWN: Final = 30
_OPENING: Final = re.compile("[“„«]")
_CLOSING: Final = re.compile("[”“»]")
_CELL: Final = re.compile(r' *"[^"]*+(?:""[^"]*+)*+" *(?:,|$)|[^,]*(?:,|$)')


class Cuts:
    """Looks at the prompt of every row and at the cell behind it.

    Args:
        columns: of the table.
        at: number of the prompt's column; one that there is not, for a table without prompts.
        spaced: people who write a blank behind every comma of the header mean nothing by it in a row.
    """

    def __init__(self, columns: Sequence[str], *, at: int, spaced: bool, findings: Findings) -> None:
        self.columns = columns
        self.findings = findings
        self._at = at
        # A blank before a number, a status or a name is how people write lists; before other text it is suspicious.
        following = columns[at + 1 : at + 2]
        self._text_follows = not spaced and any(one not in KNOWN or one in _TEXTS for one in following)

    def look(self, line: int, cells: Sequence[str], raw: str | None) -> None:
        """Check one row.

        Args:
            raw: the text it was read from, or None where that has several lines.

        Raises:
            BadInput: the prompt was cut, unless that is let pass.
        """
        at = self._at
        if at + 1 >= len(cells):
            return
        if raw is not None and self._text_follows and ", " in raw and _goes_on(raw, at):
            self._cut(line, cells, "put the whole prompt into double quotes")
        opened = _OPENING.search(cells[at])
        left_open = opened is not None and not _CLOSING.search(cells[at], opened.end())
        if left_open and any(_CLOSING.search(cell) for cell in cells[at + 1 :]):
            self._cut(line, cells, "curly quotes hold no cell together; put the prompt into straight double quotes")

    def _cut(self, line: int, cells: Sequence[str], advice: str) -> None:
        after = self._at + 1
        where = f"became the column {self.columns[after]!r}" if after < len(self.columns) else "is left over"
        rest = cells[after].strip()[:_LONGEST_SHOWN]
        self.findings.add(Kind.CUT, f"the prompt ends at a comma, and {rest!r} {where}; {advice}", line=line)


def _goes_on(raw: str, at: int) -> bool:
    """Whether the cell after number `at` begins with a blank, and neither of the two is quoted."""
    position = 0
    cells: list[str] = []
    text = raw.rstrip("\r\n")
    while len(cells) < at + 2 and (found := _CELL.match(text, position)) and found.end() > position:
        cells.append(found.group())
        position = found.end()
    if len(cells) < at + 2:
        return False
    prompt, following = cells[at], cells[at + 1]
    return (
        following.startswith(" ")
        and following.strip(" ,") != ""
        and '"' not in (prompt.lstrip()[:1], following.lstrip()[:1])
    )
