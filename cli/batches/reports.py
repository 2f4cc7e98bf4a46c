"""`report`, `export`: what a batch leaves behind as files for people."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from cli.installation import Opened, looked_at
from cli.options import AsJson, Batch
from cli.terminal import ENDED_OTHERWISE, Terminal, speaking
from domain.errors import BadInput
from pipeline.views import status
from pipeline.views.export import Exported, export
from pipeline.views.report import report_of
from reports.contact_sheet import write_report
from reports.generation_log import write_log


def report_command(
    batch: Batch,
    out: Annotated[Path, typer.Option(help="Where the contact sheet goes; the log goes beside it.")] = Path(
        "report.html"
    ),
    as_json: AsJson = False,
) -> None:
    """Write a batch's contact sheet: pictures, scores, verdicts, cost, in one HTML file that needs no server."""
    with speaking(as_json=as_json) as terminal, looked_at() as site:
        found = status.find(site.resources, batch, user_id=site.settings.user)
        record = report_of(site.resources, found.batch.id)
        log = out.with_name("batch_generation_log.csv")
        write_report(record, out)
        write_log(record, log)
        terminal.document({**found.as_json(), "report": str(out), "log": str(log)})
        terminal.note(f"report: {out}, with {log.name} beside it")


def export_command(
    batch: Batch,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where the pictures go.", show_default=False)
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="The log alone: to DIR, or to standard output.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every picture, not only the accepted ones.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that hold something else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a batch's accepted pictures into DIR, by theme and variation, with a CSV log; run again, it goes on."""
    with speaking(as_json=as_json) as terminal:
        if folder is None and not csv:
            raise BadInput("name the folder that the pictures go to, or say --csv for the log alone")
        if folder is None and as_json:
            raise BadInput("--csv and --json both want standard output; name a file for the CSV")
        with looked_at() as site:
            found = status.find(site.resources, batch, user_id=site.settings.user)
            if csv:
                _write_log(terminal, site, found, folder)
                return
            assert folder is not None
            done = export(site.resources, found.batch.id, folder, every_picture=every, overwrite=overwrite)
            _say(terminal, found, done, folder)


def _write_log(terminal: Terminal, site: Opened, found: status.BatchStatus, target: Path | None) -> None:
    """The CSV log in the file or folder `target`, or on standard output."""
    record = report_of(site.resources, found.batch.id)
    if target is None:
        with tempfile.TemporaryDirectory() as folder:
            draft = Path(folder) / "log.csv"
            write_log(record, draft)
            sys.stdout.write(draft.read_bytes().decode())
        return
    log = target if target.suffix == ".csv" and not target.is_dir() else target / "batch_generation_log.csv"
    write_log(record, log)
    terminal.document({"batch_id": str(found.batch.id), "name": found.batch.name, "log": str(log)})
    terminal.note(f"log: {log}")


def _say(terminal: Terminal, found: status.BatchStatus, done: Exported, folder: Path) -> None:
    terminal.document(
        {
            "batch_id": str(found.batch.id),
            "name": found.batch.name,
            "folder": str(folder),
            "written": done.written,
            "kept": done.kept,
            "lost": list(done.lost),
            "log": str(done.log),
        }
    )
    kept = f", {done.kept:,} were there already" if done.kept else ""
    terminal.note(f"{done.written:,} pictures written below {folder}{kept}; log: {done.log}")
    for sentence in done.lost:
        terminal.note(sentence)
    if done.lost:
        raise typer.Exit(ENDED_OTHERWISE)
