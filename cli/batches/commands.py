"""`enqueue`, `run`, `watch`: prompts in, and looking on until they are done.

Light on purpose: a mistake that the file, an option or the catalogue shows is told before the rest of the product is
imported, and before a server is started.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.batches.enqueue_options import EnqueueOptions
from cli.options import AsJson, options_from
from cli.terminal import Terminal, open_terminal

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and price everything; enqueue nothing.")]
LogPath = Annotated[
    Path, typer.Option("--log", help="Gets a line as each generation ends; a crash leaves whole lines.")
]
_LOG = Path("reports/batch_generation_log.csv")
Workers = Annotated[
    bool, typer.Option("--workers", help="Bring workers of this command's own, although DATABASE_URL is set.")
]
ReportPath = Annotated[Path, typer.Option(help="Where the contact sheet goes.")]


@options_from("options", EnqueueOptions)
def enqueue_command(options: EnqueueOptions, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Turn a file of prompts into generations; workers do the rest."""
    with open_terminal(as_json=as_json) as terminal:
        _enqueue(options, terminal, dry_run=dry_run, then_watch=False, report=None)


@options_from("options", EnqueueOptions)
def run_command(
    options: EnqueueOptions,
    dry_run: DryRun = False,
    report: ReportPath = Path("report.html"),
    log: LogPath = _LOG,
    workers: Workers = False,
    as_json: AsJson = False,
) -> None:
    """Enqueue a file of prompts, watch them to the end, and write a report."""
    with open_terminal(as_json=as_json) as terminal:
        if not dry_run:
            log.parent.mkdir(parents=True, exist_ok=True)  # a folder that cannot be is said before anything is enqueued
        _enqueue(options, terminal, dry_run=dry_run, then_watch=True, report=report, log=log, workers=workers)


def watch_command(
    batches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BATCH]...",
            help="Names or ids; by default those of the latest 100 that are under way.",
            show_default=False,
        ),
    ] = None,
    report: ReportPath = Path("report.html"),
    log: LogPath = _LOG,
    as_json: AsJson = False,
) -> None:
    """Watch batches until nothing moves any more; keys pause, resume, cancel, open the report, and quit.

    Of a single batch that is named, log and report are written too; of several, the key writes a report.
    """
    from cli.batches.enqueueing import watch_many, watch_to_the_end
    from cli.installation import opened

    with open_terminal(as_json=as_json) as terminal, opened() as site:
        if batches is None or len(batches) != 1:
            raise typer.Exit(watch_many(site, batches or [], terminal))
        raise typer.Exit(watch_to_the_end(site, batches[0], terminal, report, log=log))


def _enqueue(
    options: EnqueueOptions,
    terminal: Terminal,
    *,
    dry_run: bool,
    then_watch: bool,
    report: Path | None,
    log: Path | None = None,
    workers: bool = False,
) -> None:
    if options.model is not None:
        from providers.catalogue import load

        load().get(options.model).check_usable(datetime.now(UTC).date())
    prompts = options.read()
    from cli.batches.enqueueing import enqueue

    enqueue(options, prompts, terminal, dry_run=dry_run, then_watch=then_watch, report=report, log=log, workers=workers)
