"""The options that `enqueue` and `run` share, each named and explained once, and the order that they make.

Light on purpose: a file or an option that cannot be used is told before the rest of the product is imported.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.escalation import MOST_TRIES, Escalation, read_steps, try_policy_of
from domain.finishing import FINISH
from domain.money import read_limit
from pipeline.intake.findings import Findings, read_kinds
from pipeline.intake.order import Order
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import PromptRows
from pipeline.intake.stage_wishes import read_switch, stage_wishes
from pipeline.intake.templates import read_variables
from pipeline.intake.workbooks.choose import WorkbookOptions
from providers.setting_values import OVERDUE_AFTER, POLL_EVERY

#: Between two addresses in one value; a comma inside an address is the address's own.
_BETWEEN_ADDRESSES = re.compile(r"[\s,]+(?=https?://)")

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
Finish = Annotated[
    str | None,
    typer.Option(
        metavar="STEPS", help="What is done to each accepted picture, and paid: upscale, background, or both."
    ),
]


def policy_of(max_tries: int | None, escalate: str | None) -> dict[str, Any]:
    """What was said about further tries, as rows keep it.

    Raises:
        BadInput: a step that there is not.
    """
    return try_policy_of(max_tries=max_tries, escalate=None if escalate is None else read_steps(escalate))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueOptions:
    """The options as they were typed; `cli.options.options_from` makes a command take every field of it."""

    prompts: Annotated[
        Path, typer.Argument(metavar="PROMPTS", help="A workbook, CSV, TSV, JSON, JSONL or a text file of prompts.")
    ]
    name: Annotated[str | None, typer.Option(help="Name of the batch; the file's stem by default.")] = None
    character: Annotated[
        list[str] | None, typer.Option(help="Character every picture must show; repeat for several in one picture.")
    ] = None
    provider: Annotated[str, typer.Option(help="Who makes the pictures.")] = "ttapi"
    model: Annotated[
        str | None, typer.Option(help="See `likeness models`; `auto` chooses among the provider's, `any` among all.")
    ] = None
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
    redo: Annotated[
        bool,
        typer.Option("--redo", help="Make rows again that the batch has with another mode, weight or reference link."),
    ] = False
    no_look: Annotated[
        bool, typer.Option("--no-look", help="Do not look at the addresses of references before enqueuing.")
    ] = False
    variables: Annotated[
        Path | None,
        typer.Option("--vars", metavar="FILE", help="Values of placeholders like {{animal}}: a CSV or JSON of lists."),
    ] = None
    strict: Annotated[bool, typer.Option("--strict", help="Refuse whatever would be a warning.")] = False
    lenient: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Warn instead of refusing what looks like this; repeat for more."),
    ] = None
    check_prompts: Annotated[
        bool, typer.Option("--check-prompts", help="Ask the provider first, for nothing, which prompts it refuses.")
    ] = False
    skip_refused: Annotated[
        bool, typer.Option("--skip-refused", help="Like --check-prompts, and leave out what the provider refuses.")
    ] = False
    times: Annotated[int, typer.Option(min=1, max=1000, help="How often each prompt is wanted.")] = 1
    category: Annotated[list[str] | None, typer.Option(help="Each prompt once in this category; repeat for more.")] = (
        None
    )
    max_tries: MaxTries = None
    escalate: Escalate = None
    timeout: Annotated[
        int | None,
        typer.Option(min=1, max=86_400, metavar="S", help="A job is overdue, and named, after so many seconds."),
    ] = None
    poll_interval: Annotated[
        int | None, typer.Option(min=1, max=3_600, metavar="S", help="Seconds between two looks at a job.")
    ] = None
    analysis: Annotated[
        str | None, typer.Option(help="Who looks at pictures in the column `image`: local, llm or off.")
    ] = None
    enhance: Annotated[str | None, typer.Option(help="Who writes prompts: off, local or llm; off for words alone.")] = (
        None
    )
    block: Annotated[str | None, typer.Option(help="Kept word for word in every prompt that is written: a brand.")] = (
        None
    )
    candidates: Annotated[int | None, typer.Option(min=1, max=16, help="So many prompts to choose from.")] = None
    persona: Annotated[str | None, typer.Option(help="Whose taste adds words to each prompt: a name, or auto.")] = None
    optimise: Annotated[
        str, typer.Option(metavar="on|off", help="Rank candidate prompts by what people have preferred.")
    ] = "on"
    finish: Finish = None

    def read(self) -> PromptRows:
        """The rows of the file that are wanted.

        Raises:
            RequestError: the file or an option is not usable.
        """
        findings = Findings(strict=self.strict, lenient=read_kinds(self.lenient or ()))
        return read_prompts(
            self.prompts,
            start=self.start,
            end=self.end,
            approved_only=self.approved_only,
            workbook=WorkbookOptions(sheet=self.sheet, hidden=self.hidden, fill_merged=self.fill_merged),
            variables=None if self.variables is None else read_variables(self.variables),
            findings=findings,
        )

    def order(self, prompts: PromptRows, *, user_id: str) -> Order:
        """What is wanted of these rows.

        Raises:
            RequestError: an option is not usable.
        """
        limit = None if self.max_cost is None else read_limit(self.max_cost, what="--max-cost")
        most = None if self.max_image_cost is None else read_limit(self.max_image_cost, what="--max-image-cost")
        return Order(
            name=self.name or self.prompts.stem,
            user_id=user_id,
            provider=self.provider,
            prompts=prompts,
            model=self.model,
            character=";".join(self.character or ()) or None,
            settings=self.settings,
            limit_usd=limit,
            max_image_cost=most,
            priority=self.priority,
            whole_file=self.start == 0 and self.end is None and not self.approved_only,
            times=self.times,
            categories=tuple(self.category or ()),
            try_policy=policy_of(self.max_tries, self.escalate),
            redo=self.redo,
            look=not self.no_look,
            preparation=stage_wishes(
                analysis=self.analysis,
                enhance=self.enhance,
                persona=self.persona,
                block=self.block,
                candidates=self.candidates,
                optimise=read_switch(self.optimise, what="--optimise"),
            ),
            folder=Path() if str(self.prompts) == "-" else self.prompts.parent,
            findings=prompts.findings,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The batch's defaults; what was not asked for is absent, so that the provider's own default holds."""
        urls = [url for value in self.cref_urls or () for url in addresses(value)]
        wished = {
            "mode": self.mode,
            "cref_urls": urls or None,
            "cref_weight": self.cref_weight,
            OVERDUE_AFTER: self.timeout,
            POLL_EVERY: self.poll_interval,
            FINISH: self.finish,
        }
        return {key: value for key, value in wished.items() if value is not None}


def addresses(value: str) -> list[str]:
    """The addresses of one value; anything else in it is left for the service's own check to refuse."""
    return _BETWEEN_ADDRESSES.split(value.strip(" \t\n,"))
