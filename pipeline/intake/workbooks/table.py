"""The rows of the chosen table, as those of any other prompt file, with everything that was passed over named."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from domain.errors import BadInput
from pipeline.intake.columns import column_name
from pipeline.intake.workbooks.choose import Candidate, WorkbookOptions
from pipeline.intake.workbooks.contract import Area, Cell, Kind, SheetRow, Value, letters, place
from pipeline.intake.workbooks.notices import Notices
from pipeline.intake.workbooks.pictures import WorkbookPictures
from pipeline.intake.workbooks.values import ADDRESSES, NOT_NUMBERS, TAKES_PICTURES, CellReader

#: What the row below a table says where it adds the others up.
_TOTALS: Final = frozenset(
    {"total", "totals", "grand total", "subtotal", "sum", "average", "count", "summe", "gesamt", "mittelwert"}
)
_LONGEST_TOTAL: Final = 20
#: The column that an export puts its small pictures in.
PICTURE_COLUMN: Final = "picture"


class Table:
    """One table of a workbook, read while its rows are taken."""

    def __init__(
        self, candidate: Candidate, options: WorkbookOptions, *, name: str, pictures: WorkbookPictures
    ) -> None:
        self._pictures = pictures
        self._chosen = candidate
        self._options = options
        self._name = name
        self._sheet = candidate.sheet.name
        self.notices = Notices()
        #: Pictures that rows take along, by their column.
        self.taken = Notices()
        self._cells = CellReader(self._sheet, self.notices, name=name)
        self._names = self._named()
        self._at = {column: at for at, column in self._names.items()}
        self._wordy = {at for at, column in self._names.items() if column in NOT_NUMBERS}
        self._addresses = {at: column for at, column in self._names.items() if column in ADDRESSES}
        self._merged: dict[int, list[Area]] = {}
        for area in candidate.facts.merged:
            self._merged.setdefault(area.first_line, []).append(area)
        self._spanning: list[tuple[Area, Value | None]] = []

    @property
    def passed_over(self) -> Sequence[str]:
        """Hidden sheets that hold prompts too."""
        return self._chosen.passed_over

    @property
    def columns(self) -> Sequence[str]:
        return list(self._names.values())

    def where(self, line: int, column: str | None = None) -> str:
        """A cell of that line, as spreadsheets write it; that of the prompt where nothing is known of the column."""
        return place(self._sheet, line, self._at.get(column or "prompt", self._at["prompt"]))

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Lines with their cells by column, as text; cells without content are absent.

        Raises:
            BadInput: a cell cannot be meant.
        """
        prompt = self._at["prompt"]
        last = self._chosen.area.last_line
        for row in self._chosen.sheet.rows():
            if row.line <= self._chosen.area.first_line:
                continue
            self._complete(row)
            if row.hidden and not self._options.hidden:
                if prompt in row.cells:
                    self._say("hidden or filtered rows are passed over; --hidden reads them", row.line)
            elif row.line > last:
                if prompt in row.cells:
                    self._say("rows below the table are passed over", row.line)
            elif row.line > last - self._chosen.totals or self._adds_up(row, prompt):
                self._say("a row of totals is passed over", row.line)
            elif row.cells:
                yield row.line, self._fields(row) if prompt in row.cells else {}

    def _complete(self, row: SheetRow) -> None:
        """Give the row what is stored apart from its cells, or in a row above it."""
        if row.pictures or self._chosen.facts.pictures:
            self._lay_pictures(row)
        if self._merged or row.merged or self._spanning:
            self._span(row)

    def _named(self) -> dict[int, str]:
        """Columns by their place, without hidden ones."""
        hidden = [at for at in self._chosen.header if self._chosen.facts.hides(at) and not self._options.hidden]
        line = self._chosen.area.first_line
        names: dict[int, str] = {}
        for at, written in self._chosen.header.items():
            column = column_name(written)
            if at in hidden:
                self._name_hidden(column, at)
                continue
            if column in names.values():
                first = next(known for known, name in names.items() if name == column)
                raise BadInput(
                    f"{self._name!r} names the column {written!r} twice, first in {place(self._sheet, line, first)};"
                    " rename one of the two",
                    line=line,
                    cell=place(self._sheet, line, at),
                )
            names[at] = column
        return names

    def _name_hidden(self, column: str, at: int) -> None:
        line = self._chosen.area.first_line
        if column == "prompt":
            raise BadInput(
                f"the column 'prompt' of {self._name!r} is hidden; show it, or say --hidden",
                line=line,
                cell=place(self._sheet, line, at),
            )
        self.notices.add("hidden columns are not read; --hidden reads them", place(self._sheet, line, at))

    def _fields(self, row: SheetRow) -> dict[str, str]:
        for at in row.numbers:
            if at in self._wordy:
                row.cells[at], row.plain = Cell(Kind.NUMBER, str(row.cells[at])), False
        if row.plain and not self._addresses:
            names = self._names
            simple = {names[at]: value for at, value in row.cells.items() if at in names and type(value) is str}
            if len(simple) == len(row.cells):
                return simple
        return self._each(row)

    def _each(self, row: SheetRow) -> dict[str, str]:
        """The row cell by cell, where something is more than plain text below a name."""
        fields: dict[str, str] = {}
        names = self._names
        for at, value in row.cells.items():
            column = names.get(at)
            if column is None:
                if at in self._chosen.header or not self._chosen.area.covers(row.line, at) or self._hides(at):
                    continue
                column = f"column {letters(at)}"
            if type(value) is str:
                fields[column] = value
            elif isinstance(value, Cell):
                if value.kind is Kind.NUMBER and not value.odd and column not in NOT_NUMBERS:
                    fields[column] = value.text
                    continue
                if value.kind is Kind.PICTURE and not value.links:
                    if at in names:
                        fields[column] = self._picture(value, column, line=row.line, at=at)
                    continue
                fields[column] = self._cells.text(value, column, line=row.line, at=at)
        if self._addresses:
            self._follow_links(row.line, fields)
        return fields

    def _hides(self, at: int) -> bool:
        return self._chosen.facts.hides(at) and not self._options.hidden

    def _follow_links(self, line: int, fields: dict[str, str]) -> None:
        links: Mapping[tuple[int, int], str] = self._chosen.facts.links
        for at, column in self._addresses.items():
            if (link := links.get((line, at))) is not None and column in fields:
                fields[column] = link

    def _lay_pictures(self, row: SheetRow) -> None:
        """What lies over a cell is in it where nothing else is; beside an address it counts for nothing."""
        over = dict(row.pictures)
        if self._chosen.facts.pictures:
            over |= {
                at: parts
                for at in self._names
                if (parts := self._chosen.facts.pictures.get((row.line, at))) is not None
            }
        for at, parts in over.items():
            if at not in self._names:
                continue
            if at not in row.cells and self._names[at] in ADDRESSES:
                row.cells[at], row.plain = Cell(Kind.PICTURE, "", pictures=parts), False
            else:
                self._pass_picture_over(row.line, at)

    def _pass_picture_over(self, line: int, at: int) -> None:
        if self._names[at] != PICTURE_COLUMN:
            self.notices.add("pictures steer nothing here", place(self._sheet, line, at))

    def _picture(self, cell: Cell, column: str, *, line: int, at: int) -> str:
        """The address of the picture that a cell is, where its column takes one.

        Raises:
            BadInput: the row would be paid for without it.
        """
        where = place(self._sheet, line, at)
        if column not in ADDRESSES:
            self._pass_picture_over(line, at)
            return ""
        if column not in TAKES_PICTURES:
            raise BadInput(
                f"{column!r} holds a picture and steers nothing; call the column 'cref_urls', or put pictures into one"
                f" called 'picture' (in {self._name!r})",
                line=line,
                cell=where,
            )
        try:
            found = self._pictures.addresses(cell.pictures)
        except BadInput as failure:
            said = f"{column!r} holds a picture, which is not sent: {failure.sentence} (in {self._name!r})"
            raise BadInput(said, line=line, cell=where) from failure
        self.taken.add(f"a picture goes along as {column}", where)
        return found

    def _adds_up(self, row: SheetRow, prompt: int) -> bool:
        said = row.cells.get(prompt)
        if said is not None:
            return len(said) <= _LONGEST_TOTAL and isinstance(said, str) and said.strip(" :").casefold() in _TOTALS
        return any(isinstance(one, str) and one.strip(" :").casefold() in _TOTALS for one in row.cells.values())

    def _span(self, row: SheetRow) -> None:
        """Keep what merged cells hold for the rows that they span, and give it to this row where that was asked for."""
        for area in (*self._merged.get(row.line, ()), *row.merged):
            if area.first_column in self._names and area.last_line > area.first_line:
                self._spanning.append((area, row.cells.get(area.first_column)))
                if not self._options.fill_merged:
                    sentence = "a merged cell counts for its first row only; --fill-merged fills it down"
                    span = (
                        f"{place(self._sheet, row.line, area.first_column)}:{letters(area.last_column)}{area.last_line}"
                    )
                    self.notices.add(sentence, span)
        if not self._spanning:
            return
        self._spanning = [(area, value) for area, value in self._spanning if area.last_line >= row.line]
        if self._options.fill_merged:
            for area, value in self._spanning:
                if value is not None:
                    row.cells.setdefault(area.first_column, value)

    def _say(self, sentence: str, line: int) -> None:
        self.notices.add(sentence, self.where(line))
