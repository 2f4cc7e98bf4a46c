"""`report`, `export`: what a batch leaves behind as files for people."""

import json
import sys
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.batches.paper import write_pdf
from cli.installation import Opened, looked_at
from cli.options import AsJson, Batch
from cli.terminal import ENDED_OTHERWISE, Terminal, open_terminal
from domain.errors import BadInput
from pipeline.intake.workbooks.workbook_export import export_workbook
from pipeline.views import status
from pipeline.views.export import DEFAULT_TEMPLATE, Exported, ExportOptions, export, fit_name
from pipeline.views.report import report_of
from reports.contact_sheet import write_report
from reports.generation_log import write_log
from reports.records import Report
from reports.report_files import as_json as report_document
from reports.report_files import write_csv

_NAMED = 5


class Form(StrEnum):
    """What an export makes."""

    FOLDERS = "folders"
    XLSX = "xlsx"
    CSV = "csv"


class ReportForm(StrEnum):
    """What a report is written as."""

    HTML = "html"
    PDF = "pdf"
    CSV = "csv"
    JSON = "json"


def report_command(
    batch: Batch,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where it goes; `report` with the ending of its format by default, - for standard output (csv, json).",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        ReportForm, typer.Option("--format", help="html, pdf, csv or json.", show_choices=False)
    ] = ReportForm.HTML,
    as_json: AsJson = False,
) -> None:
    """Write a batch's report: pictures, scores, verdicts, cost, charts, in a page that needs no server or network."""
    with open_terminal(as_json=as_json) as terminal:
        if str(out) == "-":
            _refuse_no_text(form, as_json=as_json)
        _report(terminal, batch, out, form)


def _report(terminal: Terminal, batch: str, out: Path | None, form: ReportForm) -> None:
    with looked_at() as site:
        found = status.find(site.resources, batch, user_id=site.settings.user)
        record = report_of(site.resources, found.batch.id)
        if str(out) == "-":
            _print_report(record, form)
            return
        path = out or Path(f"report.{form.value}")
        folder = _write_report(record, path, form)
        terminal.document(
            {**found.as_json(), "report": str(path), "format": form.value, "pictures": folder and str(folder)}
        )
        terminal.note(f"report: {path}" + (f", with its pictures in {folder}" if folder else ""))


def _refuse_no_text(form: ReportForm, *, as_json: bool) -> None:
    """Refuse a report to standard output that is no text to read on, or stands beside another document there."""
    if form not in {ReportForm.CSV, ReportForm.JSON}:
        raise BadInput(f"a report as {form.value} goes to a file: name one, or say --format csv or --format json")
    if as_json:
        raise BadInput("--out - and --json both want standard output; leave one of them out")


def _print_report(record: Report, form: ReportForm) -> None:
    if form is ReportForm.CSV:
        write_csv(record, sys.stdout)
    else:
        sys.stdout.write(_json_text(record))


def _json_text(record: Report) -> str:
    return json.dumps(report_document(record), ensure_ascii=False, indent=1) + "\n"


def _write_report(record: Report, path: Path, form: ReportForm) -> Path | None:
    """Write it; returns the folder of pictures that belongs to a large page.

    Raises:
        BadInput: a PDF cannot be printed here.
        OSError: the file cannot be written.
    """
    if form is ReportForm.HTML:
        return write_report(record, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if form is ReportForm.PDF:
        write_pdf(record, path)
    elif form is ReportForm.CSV:
        with path.open("w", encoding="utf-8", newline="") as file:
            write_csv(record, file)
    else:
        path.write_text(_json_text(record), encoding="utf-8")
    return None


def export_command(
    batch: Batch,
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where the pictures go.", show_default=False)
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="The log alone: to DIR, or to standard output.")] = False,
    form: Annotated[
        Form,
        typer.Option("--format", help="Pictures in folders; or a workbook that is itself a prompt file; or the log."),
    ] = Form.FOLDERS,
    every: Annotated[bool, typer.Option("--all", help="Every picture, not only the accepted ones.")] = False,
    names: Annotated[
        str, typer.Option(metavar="TEMPLATE", help="Of paths below DIR, such as '{theme}_{variation}_{row}'.")
    ] = DEFAULT_TEMPLATE,
    link: Annotated[
        bool, typer.Option("--link", help="Hard links to the stored files, with the record beside them alone.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that hold something else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a batch's accepted pictures into DIR, by theme and variation, with a log; run again, it goes on.

    Where a picture comes from is written into its file and beside it; `likeness show FILE` reads it. The log of all
    generations is there as CSV and as JSON.
    """
    with open_terminal(as_json=as_json) as terminal:
        csv = csv or form is Form.CSV
        _refuse_no_target(folder, form, csv=csv, as_json=as_json)
        with looked_at() as site:
            found = status.find(site.resources, batch, user_id=site.settings.user)
            if csv:
                _write_log(terminal, site, found, folder)
                return
            assert folder is not None
            if form is Form.XLSX:
                _write_workbook(terminal, site, found, folder, overwrite=overwrite)
                return
            options = ExportOptions(every_picture=every, overwrite=overwrite, template=names, link=link)
            done = export(site.resources, found.batch.id, folder, options)
            _say(terminal, found, done, folder)


def _refuse_no_target(folder: Path | None, form: Form, *, csv: bool, as_json: bool) -> None:
    """Refuse an export that goes nowhere, or twice to standard output."""
    if folder is not None:
        return
    if form is Form.XLSX:
        raise BadInput("name the workbook, or the folder that it goes to")
    if not csv:
        raise BadInput("name the folder that the pictures go to, or say --csv for the log alone")
    if as_json:
        raise BadInput("--csv and --json both want standard output; name a file for the CSV")


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


def _write_workbook(
    terminal: Terminal, site: Opened, found: status.BatchStatus, target: Path, *, overwrite: bool
) -> None:
    """The workbook in the file or folder `target`, called like the batch, so that it resumes it."""
    name = found.batch.name
    path = target if target.suffix == ".xlsx" and not target.is_dir() else target / f"{fit_name(name)}.xlsx"
    done = export_workbook(site.resources, found.batch.id, path, overwrite=overwrite)
    terminal.document(
        {
            "batch_id": str(found.batch.id),
            "name": name,
            "workbook": str(path),
            "rows": done.rows,
            "pictures": done.pictures,
            "warnings": list(done.warnings),
        }
    )
    again = "" if path.stem == name else f"; running it again needs --name {name!r}"
    terminal.note(f"{done.rows:,} rows with {done.pictures:,} pictures: {path}{again}")
    for sentence in done.warnings:
        terminal.note(f"warning: {sentence}")


def _say(terminal: Terminal, found: status.BatchStatus, done: Exported, folder: Path) -> None:
    terminal.document(
        {
            "batch_id": str(found.batch.id),
            "name": found.batch.name,
            "folder": str(folder),
            "written": done.written,
            "kept": done.kept,
            "linked": done.linked,
            "unmarked": list(done.unmarked),
            "lost": list(done.lost),
            "leftovers": [str(one) for one in done.leftovers],
            "log": str(done.log),
            "document": str(done.document),
        }
    )
    kept = f", {done.kept:,} were there already" if done.kept else ""
    linked = f", {done.linked:,} as hard links" if done.linked else ""
    terminal.note(f"{done.written:,} pictures written below {folder}{linked}{kept}; log: {done.log}")
    for sentence in (*done.unmarked, *done.lost):
        terminal.note(sentence)
    if done.leftovers:
        terminal.note(_left(done.leftovers, folder))
    if done.lost:
        raise typer.Exit(ENDED_OTHERWISE)


def _left(leftovers: Sequence[Path], folder: Path) -> str:
    """What an earlier export left in the folder and this one would not write."""
    named = ", ".join(str(one.relative_to(folder)) for one in leftovers[:_NAMED])
    more = f" and {len(leftovers) - _NAMED:,} more" if len(leftovers) > _NAMED else ""
    pictures = "1 picture" if len(leftovers) == 1 else f"{len(leftovers):,} pictures"
    return (
        f"{pictures} of an earlier export would not be written now: {named}{more};"
        " nothing was deleted, so take away what you no longer want"
    )
