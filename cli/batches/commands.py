"""`enqueue`, `run`, `watch`: prompts in, and looking on until they are done.

Light on purpose: a mistake that the catalogue can name is said before the rest of the product is imported.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.batches.enqueue_options import Wish
from cli.options import AsJson, options_from
from cli.terminal import open_terminal
from providers.catalogue import load

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and price everything; enqueue nothing.")]
ReportPath = Annotated[Path, typer.Option(help="Where the contact sheet goes.")]


def refuse_what_is_gone(wish: Wish) -> None:
    """Look the model up before a server is started for it.

    Raises:
        UnknownThing: there is no such model.
        ModelRetired: it was shut down; the sentence names its successor.
    """
    if wish.model is not None:
        load().get(wish.model).check_usable(datetime.now(UTC).date())


@options_from("wish", Wish)
def enqueue_command(wish: Wish, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Turn a file of prompts into generations; workers do the rest."""
    with open_terminal(as_json=as_json) as terminal:
        refuse_what_is_gone(wish)
        from cli.batches.enqueueing import enqueue_wish

        enqueue_wish(wish, terminal, dry_run=dry_run, then_watch=False, report=None)


@options_from("wish", Wish)
def run_command(
    wish: Wish, dry_run: DryRun = False, report: ReportPath = Path("report.html"), as_json: AsJson = False
) -> None:
    """Enqueue a file of prompts, watch them to the end, and write a report."""
    with open_terminal(as_json=as_json) as terminal:
        refuse_what_is_gone(wish)
        from cli.batches.enqueueing import enqueue_wish

        enqueue_wish(wish, terminal, dry_run=dry_run, then_watch=True, report=report)


def watch_command(
    batch: Annotated[str, typer.Argument(help="Name or id.")],
    report: ReportPath = Path("report.html"),
    as_json: AsJson = False,
) -> None:
    """Watch a batch until nothing moves any more, and write its report."""
    from cli.batches.enqueueing import watch_to_the_end
    from cli.installation import opened

    with open_terminal(as_json=as_json) as terminal, opened() as site:
        raise typer.Exit(watch_to_the_end(site, batch, terminal, report))
