"""`validate`: check pictures of any origin against a character, immediately and without the queue."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from cli.installation import Opened, opened
from cli.options import AsJson
from cli.tables import one_line, table_of
from cli.terminal import ENDED_OTHERWISE, OK, Terminal, open_terminal
from domain.errors import BadInput
from domain.verdict import Verdict
from pipeline.characters import definitions
from pipeline.characters.check_files import Checked, CheckedPicture, Type, check, decided_by, of_files
from pipeline.characters.definitions import CharacterRow
from pipeline.characters.picture_files import picture_files
from pipeline.characters.threshold_origin import Weights, fitted_to, misfit
from pipeline.process.embedding_cache import KeptEmbeddings
from reports.csv_cells import CellWriter
from reports.wording import describe_thresholds, thresholds_origin
from runtime.scoring import open_scoring

Threshold = Annotated[
    float | None,
    typer.Option(min=-1, max=1, help="Overrides the character's threshold; a cosine.", show_default=False),
]
_CSV = (
    "path",
    "passed",
    "core",
    "core_threshold",
    "style",
    "style_threshold",
    "style_decides",
    "threshold_version",
    "thresholds_from",
    "nearest_reference",
    "crop",
    "error",
)


def validate_command(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGES", help="Files, folders, or patterns such as 'out/**/*.png'.")
    ],
    character: Annotated[
        str | None, typer.Option(help="Character that the pictures must show.", show_default=False)
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Instead: reference pictures, a folder or a pattern; repeat for more."),
    ] = None,
    decides: Annotated[
        Type | None, typer.Option("--type", help="The only score that decides: core or style.", show_choices=False)
    ] = None,
    core: Threshold = None,
    style: Threshold = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV line per picture on standard output.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check pictures against a character, or against reference files; nothing is enqueued and no worker is needed.

    Exit code 0 when all pass, 1 when some do not, and 2 when a file is not a picture or none is named; the others are
    checked all the same. Embeddings are cached, so that a second check is quick.
    """
    with open_terminal(as_json=as_json) as terminal:
        if as_csv and as_json:
            raise BadInput("--csv and --json both want standard output; leave one of them out")
        if (character is None) == (not reference):
            raise BadInput("name whom the pictures must show: either --character NAME or --reference FILE")
        if (core if decides is Type.STYLE else style if decides is Type.CORE else None) is not None:
            raise BadInput("--type says which score decides alone; leave out the other one's threshold")
        paths = picture_files(images)
        with opened() as site:
            found = decided_by(_against(site, character, reference), decides)
            done = _check(site, terminal, found, paths, core=core, style=style)
        terminal.document(document_of(done))
        if as_csv:
            _write_csv(done)
        else:
            terminal.show(*_shown(done))
        raise typer.Exit(_code(done))


def _against(site: Opened, character: str | None, reference: Sequence[str] | None) -> CharacterRow:
    if character is not None:
        return definitions.find(site.resources, character)
    settings = site.settings
    files = picture_files(reference or ())
    return of_files(files, core=settings.clip_threshold_core, style=settings.clip_threshold_style)


def _check(site: Opened, terminal: Terminal, found: CharacterRow, paths: Sequence[Path], **asked: Any) -> Checked:
    kept = KeptEmbeddings(site.resources.database)
    with (
        open_scoring(site.settings, kept=kept, say=terminal.note) as scoring,
        progress(terminal, total=len(paths) + len(found.references)) as each,
    ):
        return check(site.resources, scoring, found, paths, each=each, **asked)


def _code(done: Checked) -> int:
    if done.unreadable:
        return BadInput.exit_code
    return OK if done.passed == len(done.pictures) else ENDED_OTHERWISE


@contextmanager
def progress(terminal: Terminal, *, total: int, what: str = "embedding") -> Iterator[Callable[..., None]]:
    """A progress bar on standard error if it is a terminal; call it with the number of items done, default 1."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=terminal.err,
        transient=True,
        disable=not terminal.err.is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda more=1: bar.advance(task, more)


def document_of(done: Checked) -> dict[str, Any]:
    """The document of `--json`."""
    return {
        "character": done.character.name,
        "thresholds": {
            "version": done.thresholds.version,
            "origin": done.thresholds.origin,
            "style_decides": done.thresholds.style_decides,
            "in_words": describe_thresholds(done.thresholds),
        },
        "aggregation": done.character.aggregation,
        "model": {"name": done.origin.model, "revision": done.origin.revision, "dtype": done.origin.dtype},
        "passed": done.passed,
        "failed": len(done.pictures) - done.passed - done.unreadable,
        "unreadable": done.unreadable,
        "images": [_image(done, one) for one in done.pictures],
    }


def _image(done: Checked, one: CheckedPicture) -> dict[str, Any]:
    if one.verdict is None or one.detail is None:
        failure = one.failure or BadInput("not checked")
        return {"path": str(one.path), "passed": False, "error": {"code": failure.code, "message": str(failure)}}
    verdict, detail = one.verdict, one.detail
    return {
        "path": str(one.path),
        "passed": verdict.passed,
        "core": {
            "score": verdict.scores.core,
            "threshold": verdict.thresholds.core,
            "passed": verdict.core_passed,
            "corrected": detail.core_corrected,
        },
        "style": {
            "score": verdict.scores.style,
            "threshold": verdict.thresholds.style,
            "passed": verdict.style_passed,
            "decides": verdict.thresholds.style_decides,
            "raw": detail.style_raw,
        },
        "nearest_reference": done.character.references[detail.nearest].position,
        "crop": {"number": detail.crop, "of": detail.crops},
        "thresholds_origin": thresholds_origin(verdict.thresholds),
    }


def _write_csv(done: Checked) -> None:
    writer = CellWriter(sys.stdout, line_end="\n")
    writer.writerow(_CSV)
    for one in done.pictures:
        if one.verdict is None or one.detail is None:
            writer.writerow([one.path, "false", *[""] * (len(_CSV) - 3), one.failure])
            continue
        scores, thresholds = one.verdict.scores, one.verdict.thresholds
        writer.writerow(
            [
                one.path,
                str(one.passed).lower(),
                f"{scores.core:.6f}",
                thresholds.core,
                f"{scores.style:.6f}",
                thresholds.style,
                str(thresholds.style_decides).lower(),
                thresholds.version,
                thresholds_origin(thresholds),
                one.detail.nearest,
                one.detail.crop,
                "",
            ]
        )


def _shown(done: Checked) -> Sequence[RenderableType]:
    style = "style" if done.thresholds.style_decides else "style (advisory)"
    table = table_of("picture", "core", style, "verdict", numbers=("core", style), giving=("picture", "verdict"))
    for one in done.pictures:
        path = one_line(str(one.path))
        if one.verdict is None:
            table.add_row(path, "", "", Text(str(one.failure), style="red"))
            continue
        verdict = one.verdict
        word = _word(verdict)
        if one.detail is not None and one.detail.crops > 1:
            raised = verdict.thresholds.core > done.thresholds.core
            least = f", which must reach {verdict.thresholds.core:.3f}" if raised else ""
            word.append(f" (crop {one.detail.crop} of {one.detail.crops}{least})")
        table.add_row(path, f"{verdict.scores.core:.3f}", f"{verdict.scores.style:.3f}", word)
    summary = f"{done.passed} of {len(done.pictures)} pass as {done.character.name!r}"
    where = f"thresholds, version {done.thresholds.version}: {describe_thresholds(done.thresholds)}"
    return [table, summary, where, *_warnings(done)]


def _word(verdict: Verdict) -> Text:
    if verdict.passed:
        return Text("passed", style="green")
    style_fine = verdict.style_passed or not verdict.thresholds.style_decides
    missed = [name for name, fine in (("core", verdict.core_passed), ("style", style_fine)) if not fine]
    return Text(f"failed: {' and '.join(missed)}", style="red")


def _warnings(done: Checked) -> list[str]:
    scored_by = Weights(name=done.origin.model, revision=done.origin.revision)
    warning = misfit(done.character.name, fitted_to=fitted_to(done.character), scored_by=scored_by)
    return [] if warning is None else [warning]
