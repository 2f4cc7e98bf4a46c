"""Make the rows of a comparison: every prompt in every case, as often as wanted, as ordinary rows of a batch.

A repeat of all prompts in all cases comes before the next one, so that a budget that ends early leaves whole rounds.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from domain.errors import BadInput
from domain.ids import canonical
from pipeline.intake.columns import STEERING, misspelt
from pipeline.intake.prompt_rows import PromptRow, rows_of
from providers.catalogue import Catalogue, Model

#: Columns that a generation keeps with its row, by which its pictures are found again.
CASE: Final = "compared_case"
PROMPT: Final = "compared_prompt"

#: The weights of the reference test.
WEIGHTS: Final = (50, 75, 100)
#: Where a case's own wording has the prompt's place.
_PLACE: Final = "{}"
_MOST_CASES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCase:
    """One way to ask.

    Args:
        columns: of a prompt file, with the values of this case; the text of `prompt` may hold `{}` for the prompt.
    """

    name: str
    columns: Mapping[str, Any]


def five_cases(references: int) -> list[AskedCase]:
    """The reference test: no reference, one at each of three weights, several.

    Args:
        references: how many there are; with a single one the case of several is left out.
    """
    cases = [AskedCase(name="no reference", columns={"references": "none"})]
    cases += [
        AskedCase(name=f"weight {weight}", columns={"references": "1", "cref_weight": weight}) for weight in WEIGHTS
    ]
    if references > 1:
        several = {"references": "all", "cref_weight": WEIGHTS[-1]}
        cases.append(AskedCase(name=f"{references} references", columns=several))
    return cases


def read_case(text: str) -> AskedCase:
    """A case as it is typed: `NAME: COLUMN=VALUE COLUMN=VALUE`, the name optional, values with spaces in quotes.

    Raises:
        BadInput: it cannot be read.
    """
    head, colon, rest = text.partition(":")
    named = bool(colon) and "=" not in head
    try:
        words = shlex.split(rest if named else text)
    except ValueError as failure:
        raise BadInput(f"the case {text!r} cannot be read ({failure}); close its quotes") from failure
    columns = dict(word.partition("=")[::2] for word in words if "=" in word)
    if len(columns) != len(words) or not columns:
        raise BadInput(f"the case {text!r} is no list of COLUMN=VALUE; write it as in 'strong: cref_weight=100'")
    return AskedCase(name=head.strip() if named else " ".join(words), columns=columns)


def weighing_model(catalogue: Catalogue, provider: str, named: str | None) -> Model:
    """The model of a reference test: the named one, or the provider's that takes weights and several references.

    Raises:
        BadInput: it takes no weight.
    """
    weighing = [
        one for one in catalogue if one.served_by(provider) and one.references and one.references.style == "--cref"
    ]
    if named is None and weighing:
        return weighing[0]
    model = catalogue.get(named) if named is not None else catalogue.default(provider)
    if model in weighing:
        return model
    others = f"; use {' or '.join(repr(one.name) for one in weighing)}" if weighing else ""
    raise BadInput(
        f"model {model.name!r} takes no weight from 0 to 100{others}, or compare other things with `likeness compare`"
    )


def rows_of_cases(prompts: Sequence[PromptRow], cases: Sequence[AskedCase], *, repeats: int) -> Iterator[PromptRow]:
    """The rows of the comparison.

    Raises:
        BadInput: fewer than two cases, two of one name or that ask for the same, or a column or value that steers
            nothing.
    """
    _check(cases, prompts)
    settled = [
        (case, next(iter(rows_of([{"prompt": "any", **_without_prompt(case)}], name=case.name)))) for case in cases
    ]
    _check_differences(settled)
    position = 0
    for _ in range(repeats):
        for number, prompt in enumerate(prompts, start=1):
            for case, said in settled:
                yield _row(prompt, number, case, said, position=position)
                position += 1


def _check(cases: Sequence[AskedCase], prompts: Sequence[PromptRow]) -> None:
    names = [one.name for one in cases]
    if not 2 <= len(cases) <= _MOST_CASES:
        raise BadInput(f"a comparison has 2 to {_MOST_CASES} cases, and {len(cases)} are named; repeat --case")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"two cases are called {twice!r}; name them apart, as in 'soft: cref_weight=50'")
    for case in cases:
        text = case.columns.get("prompt")
        if text is not None and _PLACE not in str(text) and len(prompts) > 1:
            raise BadInput(f"the prompt of case {case.name!r} is the same for every row; write {{}} where each goes")


def _check_differences(settled: Sequence[tuple[AskedCase, PromptRow]]) -> None:
    """Refuse what would be paid for and compare nothing."""
    asked: dict[str, str] = {}
    for case, said in settled:
        for column in said.extra:
            usual = f"it may be {', '.join(sorted({'prompt', *STEERING}))}"
            what = next(misspelt([column]), f"the column {column!r} steers nothing; {usual}")
            raise BadInput(f"case {case.name!r}: {what}")
        key = canonical(
            {
                "prompt": case.columns.get("prompt", _PLACE),
                "settings": dict(said.settings),
                "who": [said.character, said.provider, said.model],
            }
        )
        if other := asked.get(key):
            raise BadInput(
                f"the cases {other!r} and {case.name!r} ask for the same, which would be paid for twice; let them"
                " differ, or take one out (--repeats makes more pictures of each)"
            )
        asked[key] = case.name


def _without_prompt(case: AskedCase) -> dict[str, Any]:
    return {column: value for column, value in case.columns.items() if column != "prompt"}


def _row(prompt: PromptRow, number: int, case: AskedCase, said: PromptRow, *, position: int) -> PromptRow:
    text = str(case.columns.get("prompt", _PLACE)).replace(_PLACE, prompt.prompt)
    own = " / ".join(part for part in (prompt.theme, prompt.variation) if part)
    return replace(
        prompt,
        position=position,
        prompt=text,
        index=None,
        theme=case.name,
        variation=own or f"prompt {number}",
        character=said.character or prompt.character,
        provider=said.provider or prompt.provider,
        model=said.model or prompt.model,
        settings={**prompt.settings, **said.settings},
        extra={**prompt.extra, **said.extra, CASE: case.name, PROMPT: f"{number}: {prompt.prompt}"},
    )
