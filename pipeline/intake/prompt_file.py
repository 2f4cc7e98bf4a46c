"""A file of prompts becomes rows: a workbook, CSV, TSV, JSON, JSON lines, or plain text with one prompt a line.

The whole file is checked before the first row is returned, so that a bad line 150,000 means that
nothing is enqueued. What a setting is worth to a model is not decided here, nor is any price.
"""

import io
import json
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, overload

from domain.errors import BadInput
from domain.escalation import MOST_TRIES, read_steps, wishes
from pipeline.intake.columns import KNOWN, NUMBERS, SETTINGS, TRIES, WORDS, column_name
from pipeline.intake.json_rows import read_json_array, read_json_lines
from pipeline.intake.spreadsheet import read_lines, read_table
from pipeline.intake.workbooks.choose import WorkbookOptions
from pipeline.intake.workbooks.reading import WorkbookFile, is_workbook

#: The longest prompt that any service of the catalogue accepts (OpenAI's image models: 32,000 characters).
LONGEST_PROMPT = 32_000

#: One for all rows without settings: 200,000 empty dictionaries are worth a second of the garbage collector.
_NOTHING: Mapping[str, Any] = {}

_YES = frozenset({"approved", "yes", "y", "true", "1", "x"})
_TABLES = frozenset({".csv", ".tsv"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRow:
    """One prompt with everything its row says about it.

    Args:
        position: from 0, among the usable rows of the file; what `--start` and `--end` count in.
        line: 1-based line of the file on which the row begins.
        prompt: without white space at its ends, never empty.
        index: the owner's own number of the row, as written.
        character: one name, or several with semicolons between.
        settings: recognised columns that steer a model, under their canonical names; `seed`,
            `cref_weight`, `stylize`, `chaos`, `weird` are whole numbers, the others text.
        extra: all other columns that are not blank, under their own names.
        try_policy: what the row says about further tries, as `domain.escalation.wishes` writes it.
    """

    position: int
    line: int
    prompt: str
    index: str | None = None
    theme: str | None = None
    variation: str | None = None
    character: str | None = None
    provider: str | None = None
    model: str | None = None
    settings: Mapping[str, str | int]
    extra: Mapping[str, Any]
    try_policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRows(Sequence[PromptRow]):
    """The rows asked for, and what was passed over on the way to them.

    Args:
        rows: in the order of the file.
        blank: rows passed over because their prompt is blank.
        unapproved: rows passed over because only approved ones were asked for.
        usable: rows of the whole file that are neither; more than `len(self)` where a range was asked for.
        warnings: what is half understood or was passed over, as sentences with their cells.
        workbook: the workbook that the rows are from, which knows their cells.
    """

    rows: list[PromptRow]
    blank: int
    unapproved: int
    usable: int
    warnings: Sequence[str] = ()
    workbook: WorkbookFile | None = None

    @contextmanager
    def located(self) -> Iterator[None]:
        """What is wrong with a row inside is said with its cell, where the file has cells."""
        try:
            yield
        except BadInput as failure:
            raise (failure if self.workbook is None else self.workbook.located(failure)) from failure.__cause__

    @overload
    def __getitem__(self, place: int) -> PromptRow: ...
    @overload
    def __getitem__(self, place: slice) -> list[PromptRow]: ...
    def __getitem__(self, place: int | slice) -> PromptRow | list[PromptRow]:
        return self.rows[place]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[PromptRow]:
        return iter(self.rows)


def read_prompts(
    path: Path,
    *,
    start: int = 0,
    end: int | None = None,
    approved_only: bool = False,
    workbook: WorkbookOptions | None = None,
) -> PromptRows:
    """The rows of the prompt file at `path`; `-` is standard input.

    Rows with a blank prompt are passed over and counted. Indexes must differ among the usable rows.

    Args:
        path: the ending names the format; without one the content does.
        start: first row wanted, counted from 0 among the usable rows.
        end: row before which to stop, or None for all.
        approved_only: only rows whose `status` or `approved` column says so.
        workbook: what holds for a workbook; of any other file it cannot be asked.

    Raises:
        BadInput: the file, a row of it, or the range cannot be used. Nothing is returned in part.
    """
    if start < 0:
        raise BadInput(f"--start {start} is before the first row; rows count from 0")
    if end is not None and end <= start:
        raise BadInput(f"--start {start} --end {end} is no range; rows count from 0, and the end comes after the start")
    name = "standard input" if str(path) == "-" else path.name
    with _opened(path) as source:
        book = _workbook(source, path=path, name=name, options=workbook or WorkbookOptions())
        columns, raw = _raw_rows(source, path=path, name=name) if book is None else (book.columns, book.rows())
        sieve = _Sieve(name=name, columns=columns, approved_only=approved_only)
        try:
            rows = list(sieve.rows(raw))
        except BadInput as failure:
            raise (failure if book is None else book.located(failure, sieve.column)) from failure.__cause__
    sieve.refuse_if_empty(len(rows))
    if start >= len(rows) or (end is not None and end > len(rows)):
        asked = f"--start {start}" if start >= len(rows) else f"--end {end}"
        raise BadInput(f"{name!r} has {len(rows)} usable rows, so {asked} is out of range; rows count from 0")
    return PromptRows(
        rows=rows[start:end],
        blank=sieve.blank,
        unapproved=sieve.unapproved,
        usable=len(rows),
        warnings=() if book is None else book.warnings,
        workbook=book,
    )


def rows_of(prompts: Iterable[str | Mapping[str, Any]], *, name: str = "prompts") -> PromptRows:
    """The rows of a script: each a prompt, or a mapping with the columns of a file; checked like a file.

    Args:
        name: what sentences call them; their lines count from 1.

    Raises:
        BadInput: a row cannot be used, or there is none. Nothing is returned in part.
    """
    lines: list[str] = []
    for number, prompt in enumerate(prompts, start=1):
        try:
            lines.append(json.dumps(prompt if isinstance(prompt, str) else dict(prompt)))
        except (TypeError, ValueError):
            what = f"{type(prompt).__name__} {prompt!r:.60}"
            raise BadInput(
                f"{name!r} holds the {what}; write a text or a mapping of texts and numbers", line=number
            ) from None
    raw = read_json_lines(io.BytesIO("\n".join(lines).encode()), name=name, rename=column_name)
    sieve = _Sieve(name=name, columns=None, approved_only=False)
    rows = list(sieve.rows(raw))
    if not (rows or sieve.blank):
        raise BadInput(f"{name!r} holds nothing; give at least one prompt")
    sieve.refuse_if_empty(len(rows))
    return PromptRows(rows=rows, blank=sieve.blank, unapproved=0, usable=len(rows))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A seekable source of the bytes; pipes and standard input are read whole first."""
    if str(path) == "-":
        yield io.BytesIO(sys.stdin.buffer.read())
        return
    try:
        if path.is_dir():
            raise BadInput(f"{str(path)!r} is a directory; name a file in it")
        with path.open("rb") as file:
            regular = stat.S_ISREG(path.stat().st_mode)
            yield file if regular else io.BytesIO(file.read())
    except FileNotFoundError:
        raise BadInput(f"there is no file {str(path)!r}; check the name, or give the whole path") from None
    except PermissionError:
        raise BadInput(f"{str(path)!r} may not be read by this user; change its permissions (chmod u+r)") from None
    except OSError as failure:
        raise BadInput(f"{str(path)!r} cannot be read: {failure.strerror}; copy it to a local folder") from failure


def _workbook(source: BinaryIO, *, path: Path, name: str, options: WorkbookOptions) -> WorkbookFile | None:
    """The workbook that the file is, or None for any other kind."""
    head = source.read(8)
    source.seek(0)
    if is_workbook(head, path):
        return WorkbookFile(source, path=path, name=name, options=options)
    if options.asked:
        raise BadInput(f"{name!r} is no workbook; leave out --sheet, --hidden and --fill-merged")
    return None


def _raw_rows(
    source: BinaryIO, *, path: Path, name: str
) -> tuple[Sequence[str] | None, Iterator[tuple[int, dict[str, Any]]]]:
    """Columns, where the format names them beforehand, and the rows as (line, values by column)."""
    head = source.read(65_536)
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        raise BadInput(f"{name!r} is empty; write a header with a column 'prompt' and one row a prompt")
    match _format(path, head, name=name):
        case "json":
            return None, read_json_array(source, name=name, rename=column_name)
        case "jsonl":
            return None, read_json_lines(source, name=name, rename=column_name)
        case "text":
            lines = enumerate(read_lines(source, name=name), start=1)
            return ["prompt"], ((line, {"prompt": text}) for line, text in lines if not text.isspace())
    table = read_table(source, name=name, rename=column_name, wanted="prompt")
    _check_columns(table.columns, name=name)
    return table.columns, (
        (line, {column: cell for column, cell in zip(table.columns, cells, strict=False) if cell})
        for line, cells in table.rows
    )


def _format(path: Path, head: bytes, *, name: str) -> str:
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        return "table"
    if suffix == ".json":
        return "json"
    if suffix in {".jsonl", ".ndjson"}:
        return "jsonl"
    if suffix not in {".txt", ""}:
        raise BadInput(
            f"{name!r} ends in {suffix!r}, which is not read; give a .xlsx, .ods, .csv, .tsv, .json, .jsonl or .txt"
        )
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().splitlines()[0].decode(errors="replace")
    if not suffix and first.startswith(("[", "{")):
        return "json" if first.startswith("[") else "jsonl"
    # A spreadsheet's "tab-delimited text" ends in .txt; its header must not become a paid prompt.
    cells = [column_name(cell.strip('"')) for cell in re.split(r"[,;\t]", first)]
    return "table" if "prompt" in cells else "text"


def _check_columns(columns: Sequence[str], *, name: str) -> None:
    if "prompt" in columns:
        return
    near = [column for column in columns if column not in KNOWN and "prompt" in column.casefold()]
    near = near or get_close_matches("prompt", columns, n=2, cutoff=0.6)
    advice = (
        f"rename {near[0]!r} to 'prompt'"
        if near
        else "name the column that holds the prompts 'prompt' in the first line"
    )
    found = ", ".join(repr(column[:60]) for column in columns[:12]) + (", ..." if len(columns) > 12 else "")
    raise BadInput(f"{name!r} has no column 'prompt' (found: {found}); {advice}", line=1)


class _Sieve:
    """One pass over the rows of a file: keeps the usable ones, counts the others, refuses the wrong ones."""

    def __init__(self, *, name: str, columns: Sequence[str] | None, approved_only: bool) -> None:
        self.blank = 0
        self.unapproved = 0
        #: The column that is looked at, for whoever says where something is wrong.
        self.column: str | None = None
        self._name = name
        self._approved_only = approved_only
        self._says_approval = columns is not None and not {"status", "approved"}.isdisjoint(columns)
        self._lines_of_index: dict[str, int] = {}
        self._words_seen: Counter[str] = Counter()
        if approved_only and columns is not None and not self._says_approval:
            raise self._no_approval()

    def rows(self, raw: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[PromptRow]:
        position = 0
        for line, fields in raw:
            self.column = None
            prompt = self._prompt(fields, line)
            if not prompt:
                self.blank += 1
            elif self._approved_only and not self._approved(fields, line):
                self.unapproved += 1
            else:
                yield self._row(prompt, fields, line=line, position=position)
                position += 1

    def refuse_if_empty(self, kept: int) -> None:
        if kept:
            return
        if self.unapproved and not self._says_approval:
            raise self._no_approval()
        if self.unapproved:
            words = ", ".join(f"{word or 'blank'!r} ({count})" for word, count in self._words_seen.most_common(5))
            raise BadInput(f"no row of {self._name!r} is approved (found: {words}); write 'approved' as its status")
        if self.blank:
            raise BadInput(f"all {self.blank} prompts of {self._name!r} are blank; fill the column 'prompt'")
        raise BadInput(f"{self._name!r} has a header and no row; add one row a prompt below it")

    def _no_approval(self) -> BadInput:
        return BadInput(
            f"--approved-only needs a column 'status' or 'approved', and {self._name!r} has neither; "
            "add one, or leave the option out"
        )

    def _prompt(self, fields: dict[str, Any], line: int) -> str:
        prompt = fields.pop("prompt", "")
        if prompt is None:
            return ""
        if not isinstance(prompt, str):
            raise BadInput(f"the prompt in {self._name!r} is no text but {prompt!r:.40}; put it into quotes", line=line)
        prompt = prompt.strip()
        if len(prompt) > LONGEST_PROMPT:
            raise BadInput(
                f"the prompt in {self._name!r} has {len(prompt):,} characters, and {LONGEST_PROMPT:,} is the most "
                "that any model reads; shorten it",
                line=line,
            )
        return prompt

    def _approved(self, fields: dict[str, Any], line: int) -> bool:
        present = [column for column in ("status", "approved") if column in fields]
        self._says_approval = self._says_approval or bool(present)
        words = [self._text(fields[column], column, line).casefold() for column in present]
        said = [word for word in words if word]
        self._words_seen[said[0] if said else ""] += 1
        # Where both columns speak they must agree: a picture that nobody wanted costs money.
        return bool(said) and all(word in _YES for word in said)

    def _row(self, prompt: str, fields: dict[str, Any], *, line: int, position: int) -> PromptRow:
        words: dict[str, str] = {}
        settings: dict[str, str | int] = {}
        extra: dict[str, Any] = {}
        policy: dict[str, Any] = {}
        for column, value in fields.items():
            self.column = column
            if column in WORDS:
                if word := self._text(value, column, line):
                    words[column] = word
            elif column in NUMBERS or column in SETTINGS:
                if text := self._text(value, column, line):
                    settings[column] = self._setting(text, column, line)
            elif column in TRIES:
                if text := self._text(value, column, line):
                    policy |= self._policy(text, column, line)
            elif value is not None and not (isinstance(value, str) and not value.strip()):
                extra[column] = value
        self.column = "index"
        if (index := words.get("index")) is not None:
            self._refuse_twice(index, line)
        return PromptRow(
            position=position,
            line=line,
            prompt=prompt,
            settings=settings or _NOTHING,
            extra=extra or _NOTHING,
            try_policy=policy or _NOTHING,
            **words,
        )

    def _refuse_twice(self, index: str, line: int) -> None:
        first = self._lines_of_index.get(index)
        self._lines_of_index[index] = line
        if first is not None:
            raise BadInput(
                f"index {index!r} stands in line {first} of {self._name!r} already; number one of the two anew",
                line=line,
            )

    def _text(self, value: Any, column: str, line: int) -> str:
        """A cell as text; JSON may hold a number, a truth value, or, for several URLs, an array of strings."""
        if isinstance(value, str):
            return value.strip()
        if value is None:
            return ""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            return str(int(value)) if value.is_integer() else repr(value)
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            return (";" if column == "character" else " ").join(part.strip() for part in value)
        raise BadInput(f"{column!r} in {self._name!r} holds {value!r:.40}; write text or a number", line=line)

    def _policy(self, text: str, column: str, line: int) -> dict[str, Any]:
        try:
            if column == "escalate":
                return wishes(escalate=read_steps(text))
            return wishes(max_tries=self._number(text, column, line, most=MOST_TRIES))
        except BadInput as failure:
            raise BadInput(f"{failure} (in {self._name!r})", line=line) if failure.line is None else failure from None

    def _setting(self, text: str, column: str, line: int) -> str | int:
        if column == "aspect_ratio":
            # Spreadsheets take 16:9 for a time of day and save 16:09 or 16:09:00.
            ratio = re.fullmatch(r"(\d{1,5}) *[:x/] *(\d{1,5})(?::00)?", text)
            return f"{int(ratio[1])}:{int(ratio[2])}" if ratio else text
        most = NUMBERS.get(column)
        return text if most is None else self._number(text, column, line, most=most)

    def _number(self, text: str, column: str, line: int, *, most: int) -> int:
        number = re.fullmatch(r"(\d{1,12})(?:\.0+)?", text)
        if number is None or int(number[1]) > most:
            raise BadInput(
                f"{column} in {self._name!r} is {text!r}; it must be a whole number from 0 to {most}", line=line
            )
        return int(number[1])
