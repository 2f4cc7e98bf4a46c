"""`cref-test` and `compare`: the same prompts asked for in several ways, and which way is better."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.batches.comparison_run import Wanted, carry_out, opened_for
from cli.batches.enqueue_options import EnqueueOptions, addresses
from cli.options import AsJson, options_from
from cli.terminal import open_terminal
from domain.errors import BadInput
from domain.money import read_limit
from pipeline.characters import definitions
from pipeline.comparison.cases import five_cases, read_case, rows_of_cases, weighing_model
from pipeline.intake.order import Order, pictures_of
from pipeline.intake.prompt_rows import PromptRow, rows_of
from providers.catalogue import load

ActualRun = Annotated[
    bool, typer.Option("--actual-run/--dry-run", help="Make the pictures and pay for them, or only say what it costs.")
]
Repeats = Annotated[int, typer.Option(min=1, max=100, help="Pictures of each prompt in each case.")]
MaxCost = Annotated[str | None, typer.Option(metavar="USD", help="Budget: a hard limit.")]
Mode = Annotated[str | None, typer.Option(help="Midjourney's speed: relax, fast or turbo.")]
Name = Annotated[str | None, typer.Option(help="Name of the batch; the same name goes on with it.")]
Out = Annotated[Path, typer.Option(help="Where the page goes.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrefTestOptions:
    """The options of `cref-test` as they were typed."""

    character: Annotated[str, typer.Argument(metavar="CHARACTER", help="Whose references are tested.")]
    actual_run: ActualRun = False
    prompt: Annotated[list[str] | None, typer.Option(help="What is asked for; repeat for several.")] = None
    prompts: Annotated[Path | None, typer.Option(metavar="FILE", help="The same, as a file of prompts.")] = None
    repeats: Repeats = 1
    cref_urls: Annotated[
        list[str] | None, typer.Option(help="Reference pictures by address, one or several, not the character's.")
    ] = None
    provider: Annotated[str, typer.Option(help="Who makes the pictures.")] = "ttapi"
    model: Annotated[str | None, typer.Option(help="One that takes weights, such as midjourney-v6.1.")] = None
    mode: Mode = None
    max_cost: MaxCost = None
    name: Name = None
    out: Out = Path("cref-test.html")

    def asked(self) -> Sequence[PromptRow]:
        """The prompts.

        Raises:
            BadInput: they are named in two ways, or cannot be used.
        """
        if self.prompt and self.prompts is not None:
            raise BadInput("--prompt and --prompts both name what is asked for; leave one of them out")
        if self.prompts is not None:
            return EnqueueOptions(prompts=self.prompts).read()
        usual = f"{self.character}, full body, facing the viewer, plain background"
        return list(rows_of(self.prompt or [usual], name="--prompt"))

    @property
    def settings(self) -> dict[str, Any]:
        urls = [url for value in self.cref_urls or () for url in addresses(value)]
        wished = {"mode": self.mode, "cref_urls": urls or None}
        return {key: value for key, value in wished.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """The options of `compare` as they were typed."""

    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="A file of prompts, as for `run`.")]
    case: Annotated[
        list[str],
        typer.Option(
            metavar="'NAME: COLUMN=VALUE …'", help="One way to ask, by columns of a prompt file; repeat for each."
        ),
    ]
    actual_run: ActualRun = False
    character: Annotated[list[str] | None, typer.Option(help="Whom every picture must show.")] = None
    repeats: Repeats = 1
    provider: Annotated[str, typer.Option(help="Who makes the pictures, where a case names nobody.")] = "ttapi"
    model: Annotated[str | None, typer.Option(help="See `likeness models`.")] = None
    mode: Mode = None
    start: Annotated[int, typer.Option(help="First row, counted from 0.")] = 0
    end: Annotated[int | None, typer.Option(help="Row before which to stop.")] = None
    max_cost: MaxCost = None
    name: Name = None
    out: Out = Path("comparison.html")

    def asked(self) -> Sequence[PromptRow]:
        """The prompts.

        Raises:
            BadInput: the file cannot be used.
        """
        return EnqueueOptions(prompts=self.prompts, start=self.start, end=self.end).read()


@options_from("options", CrefTestOptions)
def cref_test_command(options: CrefTestOptions, as_json: AsJson = False) -> None:
    """Find the reference weight for a character: no reference, weights 50, 75 and 100, and several references.

    Spends nothing unless --actual-run is given. The page shows the pictures side by side and says which case to use,
    or that the pictures are too few to say.
    """
    with open_terminal(as_json=as_json) as terminal:
        asked = options.asked()
        with opened_for([options.provider], actual_run=options.actual_run) as (site, beside):
            found = definitions.find(site.resources, options.character)
            cases = five_cases(len(options.settings.get("cref_urls", ())) or len(found.references))
            order = _order(
                options,
                name=options.name or f"cref-test-{found.name}",
                user_id=site.settings.user,
                prompts=list(rows_of_cases(asked, cases, repeats=options.repeats)),
                pictures=pictures_of(asked),
                model=weighing_model(load(), options.provider, options.model).name,
                character=found.name,
                settings=options.settings,
            )
            wanted = Wanted(order=order, cases=cases, prompts=len(asked), repeats=options.repeats, page=options.out)
            raise typer.Exit(carry_out(site, wanted, terminal, actual_run=options.actual_run, beside=beside))


@options_from("options", CompareOptions)
def compare_command(options: CompareOptions, as_json: AsJson = False) -> None:
    """Ask for the same prompts in several ways, and find the better way: weights, models, modes, wordings.

    Spends nothing unless --actual-run is given. Cases are compared on the same prompts. The page names a winner only
    where its lead is beyond chance.
    """
    with open_terminal(as_json=as_json) as terminal:
        cases = [read_case(text) for text in options.case]
        asked = options.asked()
        rows = list(rows_of_cases(asked, cases, repeats=options.repeats))
        providers = sorted({row.provider or options.provider for row in rows})
        with opened_for(providers, actual_run=options.actual_run) as (site, beside):
            order = _order(
                options,
                name=options.name or f"compare-{options.prompts.stem}",
                user_id=site.settings.user,
                prompts=rows,
                pictures=pictures_of(asked),
                model=options.model,
                character=";".join(options.character or ()) or None,
                settings={} if options.mode is None else {"mode": options.mode},
            )
            wanted = Wanted(order=order, cases=cases, prompts=len(asked), repeats=options.repeats, page=options.out)
            raise typer.Exit(carry_out(site, wanted, terminal, actual_run=options.actual_run, beside=beside))


def _order(
    options: CrefTestOptions | CompareOptions, *, prompts: Sequence[PromptRow], settings: dict[str, Any], **more: Any
) -> Order:
    """The batch that a comparison is: an ordinary one, whose rows know their case."""
    return Order(
        provider=options.provider,
        prompts=prompts,
        settings=settings,
        only_priced=not options.actual_run,
        limit_usd=None if options.max_cost is None else read_limit(options.max_cost, what="--max-cost"),
        whole_file=False,
        **more,
    )
