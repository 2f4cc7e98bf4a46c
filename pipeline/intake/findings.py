"""What is odd about rows: each oddity has a kind, and the kind says whether it is a warning or a refusal.

What would be paid for and cannot be meant is refused; what is half understood is a warning that names its lines.
`--strict` makes refusals of warnings, and `--lenient KIND` makes warnings of one kind's refusals.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from domain.errors import BadInput

#: So many lines of one sentence are named; the others are counted.
_NAMED: Final = 3


class Kind(StrEnum):
    """What can be odd, under the name by which `--lenient` lets it pass."""

    BRACES = "template"  # a placeholder that nobody filled
    BULLET = "bullet"  # bullets, numbers and quotes around a prompt, which were taken off
    COLUMN = "column"  # a column that steers nothing and looks as if it should
    COMMENT = "comment"  # comment and ruler lines of a text file, which were passed over
    CUT = "cut-cell"  # a cell that looks cut in half at a comma
    ERROR_MARK = "error-mark"  # what a spreadsheet writes where a formula failed
    HEADER = "header"  # a header that is not in the first line, or comes again
    MOJIBAKE = "mojibake"  # text that was read in the wrong encoding
    NO_PROMPT = "placeholder"  # a dash, a question mark or the like where a prompt should stand
    OPTION = "option"  # what the catalogue, a service or a character says about what is asked for
    WORKBOOK = "workbook"  # what of a workbook was passed over or is half understood
    TEXT = "prompt"  # what a service's adapter says about the text of a prompt


#: Refused unless `--lenient` names them: their pictures would be paid for, and are not what anybody wants.
REFUSED: Final = frozenset({Kind.BRACES, Kind.CUT, Kind.ERROR_MARK, Kind.MOJIBAKE})


@dataclass(slots=True)
class Findings:
    """The oddities of one order, collected while its rows are read and checked.

    Args:
        strict: refuse whatever would be a warning.
        lenient: kinds whose refusals are warnings instead.
    """

    strict: bool = False
    lenient: frozenset[Kind] = frozenset()
    _lines: dict[str, list[int]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: Kind, sentence: str, *, line: int | None = None) -> None:
        """Note an oddity; the same sentence about several lines becomes one warning.

        Raises:
            BadInput: its kind is refused.
        """
        if self.strict:
            raise BadInput(f"{sentence} (refused because of --strict)", line=line)
        if kind in REFUSED and kind not in self.lenient:
            raise BadInput(f"{sentence}, or let it pass with --lenient {kind}", line=line)
        self._counts[sentence] = self._counts.get(sentence, 0) + 1
        lines = self._lines.setdefault(sentence, [])
        if line is not None and len(lines) < _NAMED and line not in lines:
            lines.append(line)

    def add_all(self, kind: Kind, sentences: Iterable[str], *, line: int | None = None) -> None:
        for sentence in sentences:
            self.add(kind, sentence, line=line)

    def note(self, sentence: str) -> None:
        """Say something that is no oddity, and that `--strict` does not refuse."""
        self._counts.setdefault(sentence, 1)
        self._lines.setdefault(sentence, [])

    def sentences(self) -> Iterator[str]:
        """Every warning once, those about lines in the order of the file, before the others."""
        told = sorted(self._lines.items(), key=lambda one: (not one[1], one[1][:1]))
        for sentence, lines in told:
            yield _named(lines, more=self._counts[sentence] - len(lines)) + sentence


def read_kinds(names: Iterable[str]) -> frozenset[Kind]:
    """The kinds that a person names.

    Raises:
        BadInput: there is none of a name, or none that is refused.
    """
    known = sorted(REFUSED)
    for name in names:
        if name not in known:
            raise BadInput(f"--lenient knows no {name!r}; it takes one of {', '.join(known)}")
    return frozenset(map(Kind, names))


def _named(lines: list[int], *, more: int) -> str:
    if not lines:
        return ""
    if more:
        return f"lines {', '.join(map(str, lines))} and {more:,} more: "
    return f"line {lines[0]}: " if len(lines) == 1 else f"lines {', '.join(map(str, lines[:-1]))} and {lines[-1]}: "
