"""Rows of prompts, wherever they come from: a file, a script, a request.

The columns of each become a `PromptRow`, one at a time, or one sentence that says what is wrong with it. How a file is
taken apart into columns is decided elsewhere, and so is what a setting is worth to a model.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, overload

from domain.errors import BadInput
from domain.escalation import MOST_TRIES, read_steps, wishes
from pipeline.intake.columns import NUMBERS, SETTINGS, TRIES, WORDS, column_name
from pipeline.intake.findings import Findings
from pipeline.intake.json_rows import checked_fields
from pipeline.intake.spool import Spool

#: The longest prompt that any service of the catalogue accepts (OpenAI's image models: 32,000 characters).
LONGEST_PROMPT: Final = 32_000

#: One for all rows without settings, so that they can be told apart from others without being compared.
NOTHING: Final[Mapping[str, Any]] = {}

_STATUSES_NAMED: Final = 5
_YES: Final = frozenset({"approved", "yes", "y", "true", "1", "x"})


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


_FIELDS: Final = tuple(PromptRow.__dataclass_fields__)


class PromptRows(Sequence[PromptRow]):
    """The rows asked for, and what was passed over on the way to them; kept on disk where they are many.

    Args:
        rows: in the order of the file.
        blank: rows passed over because their prompt is blank.
        unapproved: what stood as the status of rows passed over because only approved ones were asked for; "" for a
            blank one.
        usable: rows of the whole file that are neither; more than `len(self)` where a range was asked for.
        providers: those that rows name; None is among them where a row names none.
        findings: what is odd about them.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self._spool: Spool[tuple[Any, ...]] = Spool()
        self.blank = 0
        self.unapproved: Counter[str] = Counter()
        self.usable = 0
        self.providers: set[str | None] = set()

    def append(self, row: PromptRow) -> None:
        self._spool.append(tuple(getattr(row, name) for name in _FIELDS))
        self.providers.add(row.provider)

    @overload
    def __getitem__(self, place: int) -> PromptRow: ...
    @overload
    def __getitem__(self, place: slice) -> list[PromptRow]: ...
    def __getitem__(self, place: int | slice) -> PromptRow | list[PromptRow]:
        """One row, or several; who wants them all iterates, since each look begins at the first."""
        if isinstance(place, slice):
            return list(self)[place]
        at = range(len(self))[place]
        return next(islice(self, at, None))

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> Iterator[PromptRow]:
        for values in self._spool:
            yield PromptRow(**dict(zip(_FIELDS, values, strict=True)))


def rows_of(
    prompts: Iterable[str | Mapping[str, Any]], *, name: str = "prompts", findings: Findings | None = None
) -> Iterator[PromptRow]:
    """The rows of a script or a request, each a prompt or a mapping with the columns of a file; checked like a file.

    They are taken and checked one by one, as the iterator is.

    Args:
        name: what sentences call them; their lines count from 1.
        findings: collects what is odd about them.

    Raises:
        BadInput: a row cannot be used, or there is none.
    """
    reader = RowReader(name=name, columns=None, findings=findings or Findings())
    kept = 0
    for row in reader.rows(_fields(prompts, name=name)):
        kept += 1
        yield row
    if not (kept or reader.blank):
        raise BadInput(f"{name!r} holds nothing; give at least one prompt")
    reader.refuse_if_empty(kept)


def _fields(prompts: Iterable[str | Mapping[str, Any]], *, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, prompt in enumerate(prompts, start=1):
        yield line, checked_fields(prompt, name=name, line=line, rename=column_name)


def by_status(counted: Mapping[str, int]) -> str:
    """Rows that are not approved, by what stands as their status."""
    ordered = sorted(counted.items(), key=lambda one: -one[1])
    return ", ".join(f"{word or 'blank'!r} ({count})" for word, count in ordered[:_STATUSES_NAMED])


class RowReader:
    """One pass over the rows of a file: makes the usable ones, counts the others, refuses the wrong ones."""

    def __init__(
        self, *, name: str, columns: Sequence[str] | None, findings: Findings, approved_only: bool = False
    ) -> None:
        self.blank = 0
        #: What stood as the status of the rows that were not approved.
        self.unapproved: Counter[str] = Counter()
        self._name = name
        self._findings = findings
        self._approved_only = approved_only
        self._says_approval = columns is not None and not {"status", "approved"}.isdisjoint(columns)
        self._lines_of_index: dict[str, int] = {}
        if approved_only and columns is not None and not self._says_approval:
            raise self._no_approval()

    def rows(self, raw: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[PromptRow]:
        position = 0
        for line, fields in raw:
            prompt = self._prompt(fields, line)
            if not prompt:
                self.blank += 1
            elif not self._approved_only or self._approved(fields, line):
                yield self._row(prompt, fields, line=line, position=position)
                position += 1

    def refuse_if_empty(self, kept: int) -> None:
        """Where no row is left, say why.

        Raises:
            BadInput: there is none.
        """
        if kept:
            return
        if self.unapproved and not self._says_approval:
            raise self._no_approval()
        if self.unapproved:
            words = by_status(self.unapproved)
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
        # Where both columns speak they must agree: a picture that nobody wanted costs money.
        if said and all(word in _YES for word in said):
            return True
        self.unapproved[next((word for word in said if word not in _YES), "")] += 1
        return False

    def _row(self, prompt: str, fields: dict[str, Any], *, line: int, position: int) -> PromptRow:
        words: dict[str, str] = {}
        settings: dict[str, str | int] = {}
        extra: dict[str, Any] = {}
        policy: dict[str, Any] = {}
        for column, value in fields.items():
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
        if (index := words.get("index")) is not None:
            self._refuse_twice(index, line)
        return PromptRow(
            position=position,
            line=line,
            prompt=prompt,
            settings=settings or NOTHING,
            extra=extra or NOTHING,
            try_policy=policy or NOTHING,
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
