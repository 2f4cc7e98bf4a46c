"""Which table of a workbook holds the prompts: the visible one with a column `prompt`, wherever on its sheet it begins.

Where several could be meant, all are named and none is taken.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.errors import BadInput
from pipeline.intake.columns import KNOWN, column_name
from pipeline.intake.workbooks.contract import (
    MOST_COLUMNS,
    Area,
    Cell,
    Sheet,
    SheetFacts,
    SheetRow,
    TableObject,
    letters,
    place,
)

#: A header stands among the first rows that hold anything; titles, dates and remarks above it are passed over.
_HEADER_WITHIN: Final = 100
#: How many rows behind a possible header may turn out to be the better one.
_BETTER_WITHIN: Final = 10
_NAMED: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkbookOptions:
    """What a person says about a workbook.

    Args:
        sheet: name or 1-based number of a sheet, or the name of a table that the workbook declares.
        hidden: read hidden sheets, rows and columns too.
        fill_merged: a merged cell's content holds for all rows that it spans.
    """

    sheet: str | None = None
    hidden: bool = False
    fill_merged: bool = False

    @property
    def asked(self) -> bool:
        return self != WorkbookOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A table with a column `prompt`.

    Args:
        area: from the header's line on; the table ends where a declared one does, else with the sheet.
        header: names as written, by column.
        totals: how many of the area's last lines hold totals.
        passed_over: hidden sheets that hold prompts too, as sentences.
    """

    sheet: Sheet
    facts: SheetFacts
    area: Area
    header: Mapping[int, str]
    declared: str | None = None
    totals: int = 0
    passed_over: Sequence[str] = ()

    @property
    def shown(self) -> str:
        """Sheet and table as a person would name them."""
        table = "" if self.declared is None else f", table {self.declared!r}"
        return f"{self.sheet.name!r}{table}"


def choose(sheets: Sequence[Sheet], options: WorkbookOptions, *, name: str) -> Candidate:
    """The one table that is meant.

    Raises:
        BadInput: none has a column `prompt`, or several have and none was named.
    """
    asked = options.sheet
    wanted = list(_wanted(sheets, asked)) if asked is not None else []
    named = None if wanted else asked
    looked_at = wanted or [sheet for sheet in sheets if options.hidden or not sheet.hidden or named is not None]
    found = [one for sheet in looked_at for one in _candidates(sheet)]
    if named is not None:
        found = [one for one in found if one.declared is not None and one.declared.casefold() == named.casefold()]
        if not found:
            every = ", ".join(repr(sheet.name) for sheet in sheets[:_NAMED])
            raise BadInput(f"{name!r} has no sheet and no table {named!r}; its sheets are {every}")
    if len(found) == 1:
        unseen = [] if asked is not None else [sheet for sheet in sheets if sheet not in looked_at]
        return replace(found[0], passed_over=list(_hidden_prompts(unseen)))
    if found:
        which = "; ".join(one.shown for one in found[:_NAMED])
        raise BadInput(
            f"{name!r} has {len(found)} tables with a column 'prompt': {which}; name the one that is meant with --sheet"
        )
    raise _no_prompt(sheets, looked_at, name=name)


def _hidden_prompts(sheets: Sequence[Sheet]) -> Iterator[str]:
    """What stands on hidden sheets, counted."""
    for sheet in sheets:
        for one in _candidates(sheet):
            column = next(at for at, text in one.header.items() if column_name(text) == "prompt")
            lines = range(one.area.first_line + 1, one.area.last_line - one.totals + 1)
            count = sum(row.line in lines and column in row.cells for row in sheet.rows())
            yield f"the hidden sheet {sheet.name!r} has {count:,} prompts, which are passed over; --sheet reads them"


def _wanted(sheets: Sequence[Sheet], asked: str) -> Iterator[Sheet]:
    """The sheet of that name, else of that number."""
    folded = asked.strip().casefold()
    matching = [sheet for sheet in sheets if sheet.name.strip().casefold() == folded]
    if not matching and folded.isascii() and folded.isdigit() and 1 <= int(folded[:6]) <= len(sheets):
        matching = [sheets[int(folded) - 1]]
    return iter(matching[:1])


def _candidates(sheet: Sheet) -> Iterator[Candidate]:
    """Declared tables with a column `prompt`; where there is none, the table below the first row that has one."""
    facts = sheet.facts()
    last_begin = max((table.area.first_line for table in facts.tables), default=0)
    declared: list[Candidate] = []
    best: tuple[int, SheetRow] | None = None
    since = 0
    for seen, row in enumerate(sheet.rows()):
        here = (table for table in facts.tables if table.area.first_line == row.line)
        declared += (one for table in here if (one := _declared(sheet, facts, table, row)) is not None)
        known = _known(row)
        if known and (best is None or known > best[0]):
            best, since = (known, row), seen
        over = seen >= _HEADER_WITHIN or (best is not None and seen - since >= _BETTER_WITHIN)
        if over and row.line >= last_begin:
            break
    if declared:
        yield from declared
    elif best is not None:
        row = best[1]
        yield Candidate(
            sheet=sheet,
            facts=facts,
            area=Area(first_line=row.line, last_line=1 << 30, first_column=0, last_column=MOST_COLUMNS - 1),
            header=_header(row),
        )


def _declared(sheet: Sheet, facts: SheetFacts, table: TableObject, row: SheetRow) -> Candidate | None:
    names = {column: text for column, text in _header(row).items() if table.area.covers(row.line, column)}
    if "prompt" not in map(column_name, names.values()):
        return None
    return Candidate(sheet=sheet, facts=facts, area=table.area, header=names, declared=table.name, totals=table.totals)


def _known(row: SheetRow) -> int:
    """How many known columns a row would name as a header; 0 without a prompt."""
    names = [column_name(text) for text in _header(row).values()]
    return sum(name in KNOWN for name in names) if "prompt" in names else 0


def _header(row: SheetRow) -> dict[int, str]:
    texts = {column: value.text if isinstance(value, Cell) else value for column, value in row.cells.items()}
    return {column: text.strip() for column, text in sorted(texts.items()) if text.strip()}


def _no_prompt(sheets: Sequence[Sheet], looked_at: Sequence[Sheet], *, name: str) -> BadInput:
    hidden = [sheet for sheet in sheets if sheet not in looked_at]
    if with_prompts := [sheet.name for sheet in hidden if next(_candidates(sheet), None) is not None]:
        return BadInput(
            f"the column 'prompt' of {name!r} stands on the hidden sheet {with_prompts[0]!r}; show that sheet, or say"
            " --hidden"
        )
    first = next((row for sheet in looked_at for row in sheet.rows() if _header(row)), None)
    if first is None:
        return BadInput(f"{name!r} is empty; write a header with a column 'prompt' and one row a prompt")
    sheet = next(sheet for sheet in looked_at if next((True for row in sheet.rows() if _header(row)), False))
    found = ", ".join(
        f"{text[:40]!r} ({letters(column)}{first.line})" for column, text in list(_header(first).items())[:_NAMED]
    )
    return BadInput(
        f"no sheet of {name!r} has a column 'prompt' (the first row of {sheet.name!r} holds {found}); name the column"
        " that holds the prompts 'prompt'",
        line=first.line,
        cell=place(sheet.name, first.line),
    )
