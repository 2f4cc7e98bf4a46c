"""What a person may ask of a batch: the options that `enqueue` and `run` share, each named and explained once."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.escalation import MOST_TRIES, Escalation, read_steps, wishes
from pipeline.intake.workbooks.choose import WorkbookOptions

#: Between two addresses in one value; a comma inside an address is the address's own.
_BETWEEN_ADDRESSES = re.compile(r"[\s,]+(?=https?://)")
_CREF_URLS = "--cref-urls"
_ADDRESS = ("http://", "https://")


MaxTries = Annotated[
    int | None,
    typer.Option(min=1, max=MOST_TRIES, help="Try again after a rejection, up to so many tries; 1 is off, as without."),
]
Escalate = Annotated[
    str | None,
    typer.Option(
        metavar="STEPS", help=f"What a further try changes, in order: {','.join(Escalation)}; `model` only if named."
    ),
]


def policy_of(max_tries: int | None, escalate: str | None) -> dict[str, Any]:
    """What was said about further tries, as rows keep it.

    Raises:
        BadInput: a step that there is not.
    """
    return wishes(max_tries=max_tries, escalate=None if escalate is None else read_steps(escalate))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options as they were typed; `cli.options.taking` makes a command take every field of it."""

    prompts: Annotated[
        Path, typer.Argument(metavar="PROMPTS", help="A workbook, CSV, TSV, JSON, JSONL or a text file of prompts.")
    ]
    name: Annotated[str | None, typer.Option(help="Name of the batch; the file's stem by default.")] = None
    character: Annotated[
        list[str] | None, typer.Option(help="Character every picture must show; repeat for several in one picture.")
    ] = None
    provider: Annotated[str, typer.Option(help="Who makes the pictures.")] = "ttapi"
    model: Annotated[str | None, typer.Option(help="See `likeness models`.")] = None
    mode: Annotated[str | None, typer.Option(help="Midjourney's speed: relax, fast or turbo.")] = None
    cref_urls: Annotated[
        list[str] | None, typer.Option(help="Reference pictures by address, one or several, not the character's.")
    ] = None
    cref_weight: Annotated[int | None, typer.Option(min=0, max=100, help="How close to the references, 0 to 100.")] = (
        None
    )
    max_cost: Annotated[str | None, typer.Option(metavar="USD", help="Budget of the batch: a hard limit.")] = None
    max_image_cost: Annotated[str | None, typer.Option(metavar="USD", help="The most one call may cost.")] = None
    start: Annotated[int, typer.Option(help="First row, counted from 0.")] = 0
    end: Annotated[int | None, typer.Option(help="Row before which to stop.")] = None
    priority: Annotated[int | None, typer.Option(min=1, max=100, help="Share of the lanes; 2 gets twice of 1.")] = None
    approved_only: Annotated[bool, typer.Option("--approved-only", help="Only rows whose status is `approved`.")] = (
        False
    )
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME|N", help="Sheet of a workbook, by name or number, or a table in it.")
    ] = None
    hidden: Annotated[bool, typer.Option("--hidden", help="Read a workbook's hidden sheets, rows and columns too.")] = (
        False
    )
    fill_merged: Annotated[
        bool, typer.Option("--fill-merged", help="A merged cell holds for all rows that it spans.")
    ] = False
    check_prompts: Annotated[
        bool, typer.Option("--check-prompts", help="Ask the provider first, for nothing, which prompts it refuses.")
    ] = False
    times: Annotated[int, typer.Option(min=1, max=1000, help="How often each prompt is wanted.")] = 1
    category: Annotated[list[str] | None, typer.Option(help="Each prompt once in this category; repeat for more.")] = (
        None
    )
    max_tries: MaxTries = None
    escalate: Escalate = None

    @property
    def try_policy(self) -> dict[str, Any]:
        """What was said about further tries."""
        return policy_of(self.max_tries, self.escalate)

    @property
    def workbook(self) -> WorkbookOptions:
        """What was said about a workbook."""
        return WorkbookOptions(sheet=self.sheet, hidden=self.hidden, fill_merged=self.fill_merged)

    @property
    def settings(self) -> dict[str, Any]:
        """The batch's defaults; what was not asked for is absent, so that the provider's own default holds."""
        urls = [url for value in self.cref_urls or () for url in _addresses(value)]
        wished = {"mode": self.mode, "cref_urls": urls or None, "cref_weight": self.cref_weight}
        return {key: value for key, value in wished.items() if value is not None}


def _addresses(value: str) -> list[str]:
    """The addresses of one value; anything else in it is left for the service's own check to refuse."""
    return _BETWEEN_ADDRESSES.split(value.strip(" \t\n,"))


def one_address_each(arguments: Sequence[str]) -> Iterator[str]:
    """`--cref-urls A B` as `--cref-urls A --cref-urls B`: no file of prompts is named by an address of the web."""
    listing = value_due = False
    for argument in arguments:
        if value_due:
            value_due = False
        elif argument == _CREF_URLS or argument.startswith(f"{_CREF_URLS}="):
            listing, value_due = True, argument == _CREF_URLS
        elif listing and argument.startswith(_ADDRESS):
            yield _CREF_URLS
        else:
            listing = False
        yield argument
