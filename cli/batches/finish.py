"""`finish`: accepted pictures made larger, or without their background."""

from typing import Annotated

import typer

from cli.installation import opened
from cli.options import AsJson
from cli.terminal import open_terminal
from domain.finishing import FinishStep
from domain.money import show
from pipeline.operator import events, finish_pictures
from pipeline.operator.finish_pictures import Asked


def finish_command(
    target: Annotated[
        str,
        typer.Argument(metavar="BATCH|GENERATION", help="A batch, BATCH/ROW with rows from 0, or a generation's id."),
    ],
    upscale: Annotated[bool, typer.Option("--upscale", help="Make the accepted pictures larger.")] = False,
    remove_background: Annotated[
        bool, typer.Option("--remove-background", help="Cut them out; after --upscale, if both.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Who does it, of the catalogue; see docs/from-image.md.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also where the same was done, and paid, before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count and price them; nothing is asked for.")] = False,
    as_json: AsJson = False,
) -> None:
    """Finish accepted pictures: each call is paid, and each finished picture checked; the originals stay."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        wanted = {FinishStep.UPSCALE: upscale, FinishStep.BACKGROUND: remove_background}
        steps = tuple(step for step, said in wanted.items() if said)
        user = site.settings.user
        asked = finish_pictures.ask(
            site.resources, target, user_id=user, steps=steps, model=model, again=again, dry_run=dry_run
        )
        if not dry_run:
            detail = {"steps": list(steps), "asked": asked.new, "model": model}
            events.note_act_here(site.resources, user, "finished", batch_id=asked.status.batch.id, detail=detail)
        money = {"at_most_usd": show(asked.at_most_usd), "short_usd": show(asked.short_usd)}
        terminal.document({**asked.status.as_json(), "asked": asked.new, "dry_run": dry_run, **money})
        terminal.note(_in_words(asked, dry_run=dry_run))


def _in_words(asked: Asked, *, dry_run: bool) -> str:
    name = asked.status.batch.name
    pictures = f"{asked.new:,} picture{'' if asked.new == 1 else 's'} of {name!r}"
    price = f"for at most {show(asked.at_most_usd)} USD"
    said = f"{pictures} {'would' if dry_run else 'will'} be finished, {price}"
    if asked.short_usd:
        said += f"; the batch's budget is {show(asked.short_usd)} USD short of that, and what does not fit is not made"
    if not asked.new:
        said += "; what was finished before is left as it is, unless you say --again"
    return f"{said}; nothing was asked for" if dry_run else f"{said}; `likeness watch {name}` sees them through"
