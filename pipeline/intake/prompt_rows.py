"""Rows of prompts, wherever they come from: a file, a script, a request.

The columns of each become a `PromptRow`, one at a time, or one sentence that says what is wrong with it. How a file is
taken apart into columns is decided elsewhere, and so is what a setting is worth to a model.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, overload

from domain.errors import BadInput
from domain.escalation import MOST_TRIES, read_steps, try_policy_of
from pipeline.intake.cell_text import Tidying, broken_letters, error_mark, is_placeholder
from pipeline.intake.columns import (
    INPUTS,
    NUMBERS,
    SETTINGS,
    TRIES,
    WORDS,
    YES,
    column_name,
    read_number,
    read_setting,
    read_text,
)
from pipeline.intake.findings import Findings, Kind
from pipeline.intake.json_rows import checked_fields
from pipeline.intake.stage_wishes import placeholder
from pipeline.intake.templates import MOST, alternatives, filled, folded, may_hold_placeholders, placeholders
from pipeline.intake.workbooks.reading import WorkbookFile
from pipeline.process.spool import Spool

#: The longest prompt that any service of the catalogue accepts (OpenAI's image models: 32,000 characters).
LONGEST_PROMPT: Final = 32_000

#: One for all rows without settings, so that they can be told apart from others without being compared.
NOTHING: Final[Mapping[str, Any]] = {}

_STATUSES_NAMED: Final = 5


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
        try_policy: what the row says about further tries, as `domain.escalation.try_policy_of` writes it.
        preparation: what the row wishes of the stages before the picture; wins over its order's, key by key.
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
    preparation: Mapping[str, Any] = field(default_factory=dict)


_FIELDS: Final = tuple(PromptRow.__dataclass_fields__)


class PromptRows(Sequence[PromptRow]):
    """The rows asked for, and what was passed over on the way to them; kept on disk where they are many.

    Args:
        rows: in the order of the file.
        blank: rows passed over because their prompt is blank.
        unapproved: what stood as the status of rows that are not approved; "" for a blank one. They are passed over
            where only approved ones were asked for.
        approved: rows whose status is `approved`; with `unapproved` all that a file with such a column has.
        usable: rows of the whole file that are neither; more than `len(self)` where a range was asked for.
        providers: those that rows name; None is among them where a row names none.
        findings: what is odd about them.
        workbook: that the rows are from, which knows their cells.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.workbook: WorkbookFile | None = None
        self._spool: Spool[tuple[Any, ...]] = Spool()
        self.blank = 0
        self.unapproved: Counter[str] = Counter()
        self.approved = 0
        self.approved_only = False
        self.usable = 0
        self.providers: set[str | None] = set()

    def append(self, row: PromptRow) -> None:
        self._spool.append(tuple(getattr(row, name) for name in _FIELDS))
        self.providers.add(row.provider)

    @property
    def warnings(self) -> list[str]:
        """What is odd about them, in sentences."""
        return list(self.findings.sentences())

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
    if not kept:
        said = "the prompt is" if reader.blank == 1 else f"all {reader.blank} prompts are"
        raise BadInput(f"{said} blank, or only a placeholder; say what the picture should show")


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
        self,
        *,
        name: str,
        columns: Sequence[str] | None,
        findings: Findings,
        approved_only: bool = False,
        variables: Mapping[str, Sequence[str]] = NOTHING,
    ) -> None:
        self.blank = 0
        #: The column that is looked at, for whoever says where something is wrong.
        self.column: str | None = None
        #: What stood as the status of the rows that were not approved.
        self.unapproved: Counter[str] = Counter()
        self.approved = 0
        self._name = name
        self._findings = findings
        self.approved_only = approved_only
        self._says_approval = columns is not None and not {"status", "approved"}.isdisjoint(columns)
        self._lines_of_index: dict[str, int] = {}
        self._tidying = Tidying()
        self._variables = variables
        if approved_only and columns is not None and not self._says_approval:
            raise self._no_approval()

    def rows(self, raw: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[PromptRow]:
        position = 0
        for line, fields in raw:
            self.column = None
            prompt = self._prompt(fields, line)
            inputs = self._inputs(fields, line)
            if not prompt and not inputs:
                self.blank += 1
                continue
            if not self._approved(fields, line) and self.approved_only:
                continue
            if is_placeholder(prompt):
                self.blank += 1
                self._findings.add(Kind.NO_PROMPT, f"{prompt!r} is no prompt, and its row is passed over", line=line)
                continue
            wordless = [(placeholder(inputs), NOTHING)] if not prompt else []
            for text, values in wordless or self._filled(self._checked(prompt, line), fields, line):
                own = {**fields, **values} if values else fields
                wishes = {**inputs, "prompt": None} if wordless else inputs
                yield self._row(text, own, line=line, position=position, preparation=wishes)
                position += 1

    def refuse_if_empty(self, kept: int) -> None:
        """Where no row is left, say why.

        Raises:
            BadInput: there is none.
        """
        if kept:
            return
        if self.approved_only and self.unapproved and not self._says_approval:
            raise self._no_approval()
        if self.approved_only and self.unapproved:
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
            said = (
                f"has {len(prompt):,} characters, and {LONGEST_PROMPT:,} is the most that any model reads; shorten it"
            )
            raise BadInput(f"the prompt in {self._name!r} {said}", line=line)
        return prompt

    def _inputs(self, fields: dict[str, Any], line: int) -> Mapping[str, Any]:
        """What the row hands in beside words, as it stands there."""
        if fields.keys().isdisjoint(INPUTS):
            return NOTHING
        given = {name: fields.pop(name) for name in INPUTS if name in fields}
        read = {name: one if isinstance(one, dict) else self._text(one, name, line) for name, one in given.items()}
        return {name: one for name, one in read.items() if one}

    def _checked(self, prompt: str, line: int) -> str:
        """The prompt without what stands around it; what cannot be meant is refused."""
        self._refuse_error_mark(prompt, "prompt", line)
        if broken := broken_letters(prompt):
            self._findings.add(Kind.MOJIBAKE, f"the prompt's text {broken}; save the file again as UTF-8", line=line)
        tidied = self._tidying.tidied(prompt)
        if tidied != prompt:
            self._findings.add(Kind.BULLET, "a bullet, a number or quotes around the prompt are taken off", line=line)
        return tidied

    def _filled(self, prompt: str, fields: Mapping[str, Any], line: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The prompt with its placeholders filled: one row, or one for every choice of values."""
        if not may_hold_placeholders(prompt):
            yield prompt, NOTHING
            return
        choices = alternatives(prompt)
        if choices and not self._variables:
            said = f"the prompt leaves a choice open, {choices[0][0]!r}; write a row for each, or say --vars FILE"
            self._findings.add(Kind.BRACES, said, line=line)
            choices = []
        found = [*placeholders(prompt), *((written, name) for written, name, _ in choices)]
        own = {folded(name): text for name, value in fields.items() if (text := self._text(value, name, line))}
        lists = {**self._variables, **{name: parts for _, name, parts in choices}}
        values = {name: [own[name]] if name in own else lists.get(name, ()) for _, name in found}
        missing = [written for written, name in found if not values[name]]
        if missing:
            self._findings.add(
                Kind.BRACES,
                f"the prompt holds {', '.join(map(repr, missing))}, which nobody filled; add a column of that name, or"
                " name the file of its values with --vars",
                line=line,
            )
            yield prompt, NOTHING
            return
        for number, (text, chosen) in enumerate(filled(prompt, found, values)):
            if number == MOST:
                raise BadInput(f"the lists of --vars make more than {MOST:,} prompts of this row", line=line)
            yield text, {name: value for name, value in chosen.items() if name not in own}

    def _approved(self, fields: dict[str, Any], line: int) -> bool:
        present = [column for column in ("status", "approved") if column in fields]
        if not (present or self._says_approval or self.approved_only):
            return True
        self._says_approval = self._says_approval or bool(present)
        words = [self._approval(fields[column], column, line).casefold() for column in present]
        said = [word for word in words if word]
        # Where both columns speak they must agree: a picture that nobody wanted costs money.
        if said and all(word in YES for word in said):
            self.approved += 1
            return True
        self.unapproved[next((word for word in said if word not in YES), "")] += 1
        return False

    def _approval(self, value: Any, column: str, line: int) -> str:
        """The word of a column that must be a text only where it decides."""
        return self._text(value, column, line) if self.approved_only or isinstance(value, str) else str(value)

    def _row(
        self, prompt: str, fields: dict[str, Any], *, line: int, position: int, preparation: Mapping[str, Any]
    ) -> PromptRow:
        words: dict[str, Any] = {}
        settings: dict[str, str | int] = {}
        extra: dict[str, Any] = {}
        policy: dict[str, Any] = {}
        for column, value in fields.items():
            self.column = column
            if column in WORDS:
                if word := self._text(value, column, line):
                    self._refuse_error_mark(word, column, line)
                    words[column] = word
            elif column in NUMBERS or column in SETTINGS:
                if text := self._text(value, column, line):
                    settings |= self._setting(text, column, line)
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
            settings=settings or NOTHING,
            extra=extra or NOTHING,
            try_policy=policy or NOTHING,
            preparation=preparation or NOTHING,
            **words,
        )

    def _refuse_twice(self, index: str, line: int) -> None:
        first = self._lines_of_index.get(index)
        self._lines_of_index[index] = line
        # The rows that one row with placeholders becomes share its number.
        if first is not None and (first != line or not self._variables):
            raise BadInput(
                f"index {index!r} stands in line {first} of {self._name!r} already; number one of the two anew",
                line=line,
            )

    def _text(self, value: Any, column: str, line: int) -> str:
        return read_text(value, column, name=self._name, line=line)

    def _policy(self, text: str, column: str, line: int) -> dict[str, Any]:
        try:
            if column == "escalate":
                return try_policy_of(escalate=read_steps(text))
            number = read_number(text, f"{column} in {self._name!r}", line=line, most=MOST_TRIES)
            return try_policy_of(max_tries=number)
        except BadInput as failure:
            raise BadInput(f"{failure} (in {self._name!r})", line=line) if failure.line is None else failure from None

    def _refuse_error_mark(self, text: str, column: str, line: int) -> None:
        if mark := error_mark(text):
            self._findings.add(
                Kind.ERROR_MARK,
                f"{column!r} holds {mark!r}, which a failed formula left; mend it in the sheet",
                line=line,
            )

    def _setting(self, text: str, column: str, line: int) -> dict[str, str | int]:
        """The setting that a cell says; none for a switch that says no."""
        self._refuse_error_mark(text, column, line)
        return read_setting(text, column, where=f"{column} in {self._name!r}", line=line)
