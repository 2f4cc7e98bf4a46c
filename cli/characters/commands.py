"""`character add|set|list|show|remove|export|import`: manage characters, their references and thresholds."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.characters.reference_agreement import agreement_document, agreement_lines, measured_agreement, stored_agreement
from cli.installation import Opened, opened
from cli.options import AsJson
from cli.tables import one_line, table_of
from cli.terminal import open_terminal
from domain.errors import BadInput
from domain.verdict import DEFAULT
from pipeline.calibration import calibrate
from pipeline.calibration.calibrate import ThresholdVersion
from pipeline.characters import character_folder, definitions
from pipeline.characters.definitions import CharacterRow, NewCharacter
from pipeline.characters.threshold_origin import local_weights
from reports.wording import describe_thresholds, thresholds_origin
from runtime.settings import Settings
from validation.base import Aggregation

app = typer.Typer(help="Characters: reference pictures and thresholds.", invoke_without_command=True)


@app.callback()
def alone(context: typer.Context) -> None:
    """Characters: reference pictures and thresholds."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")
        raise typer.Exit(BadInput.exit_code)


Name = Annotated[str, typer.Argument(metavar="NAME", help="Name, as used by `--character` and the column `character`.")]
Threshold = Annotated[
    float | None, typer.Option(min=-1, max=1, help="Threshold instead of the default; a cosine.", show_default=False)
]
Over = Annotated[
    Aggregation | None,
    typer.Option(
        help="Score against the nearest reference or the mean of all; initially max.",
        show_default=False,
    ),
]


@app.command("add")
def add_command(
    name: Name,
    references: Annotated[list[Path], typer.Argument(metavar="PICTURES", help="Reference pictures, best first.")],
    description: Annotated[str, typer.Option(help="For people.")] = "",
    core: Threshold = None,
    style: Threshold = None,
    aggregation: Over = None,
    check: Annotated[bool, typer.Option(help="Compare the references with each other.")] = True,
    as_json: AsJson = False,
) -> None:
    """Add a character, or replace the references or thresholds of an existing one."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        new = _new(site.settings, name, references, description=description, core=core, style=style)
        made = definitions.add(site.resources, replace(new, aggregation=aggregation), by=site.actor)
        spread = measured_agreement(site, made, terminal) if check else None
        terminal.document({**_document(site, made), "spread": agreement_document(spread)})
        terminal.note(f"character {made.name!r} has {len(made.references)} references; {_thresholds(made)}")
        before = calibrate.versions(site.resources, made.id)[1:2]
        if made.thresholds.origin == DEFAULT and before and before[0].model is not None:
            terminal.note(f"its calibration was for the former references; run `likeness calibrate {made.name}`")
        for line in agreement_lines(spread):
            terminal.note(line)


@app.command("set")
def set_command(
    name: Name,
    core: Threshold = None,
    style: Threshold = None,
    aggregation: Over = None,
    as_json: AsJson = False,
) -> None:
    """Change a character's thresholds; they become a new version, and `rescore` applies it to finished generations."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        if core is None and style is None and aggregation is None:
            raise BadInput("say what to set: --core, --style or --aggregation")
        made = definitions.set_thresholds(
            site.resources, name, core=core, style=style, aggregation=aggregation, by=site.actor
        )
        terminal.document(_document(site, made))
        terminal.note(f"character {made.name!r} has version {made.thresholds.version}; {_thresholds(made)}")


def _new(
    settings: Settings,
    name: str,
    references: list[Path],
    *,
    description: str,
    core: float | None,
    style: float | None,
) -> NewCharacter:
    return NewCharacter(
        name=name,
        description=description,
        references=references,
        core=settings.clip_threshold_core if core is None else core,
        style=settings.clip_threshold_style if style is None else style,
        origin=DEFAULT if core is None and style is None else "set by a person",
    )


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the characters."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = definitions.list_characters(site.resources)
        terminal.document({"characters": [_document(site, one) for one in found]})
        terminal.show(_table(found))


@app.command("show")
def show_command(name: Name, as_json: AsJson = False) -> None:
    """Show a character's references, its thresholds and their origin."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = definitions.find(site.resources, name)
        versions = calibrate.versions(site.resources, found.id)
        spread = stored_agreement(site, found)
        told = {"threshold_versions": [_version(one) for one in versions], "spread": agreement_document(spread)}
        terminal.document({**_document(site, found), **told})
        terminal.show(*_whole(site, found), *agreement_lines(spread), "", _versions(versions))


@app.command("remove")
def remove_command(name: Name, as_json: AsJson = False) -> None:
    """Remove a character: no new prompt can name it. Generations that name it are still checked against it."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        gone = definitions.remove(site.resources, name, by=site.actor)
        terminal.document({"id": str(gone.id), "name": gone.name, "removed": True})
        terminal.note(f"character {gone.name!r} is removed; its name is free")


@app.command("export")
def export_command(
    name: Name,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Empty, or with an earlier export of it.")],
    as_json: AsJson = False,
) -> None:
    """Write a character into a folder: references, thresholds, calibration, description."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = character_folder.export_folder(site.resources, name, folder)
        terminal.document({**_document(site, found), "folder": str(folder)})
        terminal.note(f"character {found.name!r} with {len(found.references)} references: {folder}")


@app.command("import")
def import_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="As `character export` writes it.")],
    name: Annotated[str | None, typer.Option(help="Another name than its own.", show_default=False)] = None,
    replace_: Annotated[bool, typer.Option("--replace", help="Also where there is one of that name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read a character from a folder, after checking that its references are the ones that were exported."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        made = character_folder.import_folder(site.resources, folder, name=name, replace=replace_, by=site.actor)
        warning = character_folder.misfit_of(made, scored_by=local_weights(site.settings.clip_model))
        terminal.document({**_document(site, made), "warning": warning})
        terminal.note(f"character {made.name!r} has {len(made.references)} references; {_thresholds(made)}")
        if warning is not None:
            terminal.note(f"warning: {warning}")


def _document(site: Opened, one: CharacterRow) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "description": one.description,
        "thresholds": {
            "core": one.thresholds.core,
            "style": one.thresholds.style,
            "version": one.thresholds.version,
            "origin": one.thresholds.origin,
            "style_decides": one.thresholds.style_decides,
            "in_words": describe_thresholds(one.thresholds),
            "aggregation": one.aggregation,
        },
        "references": [
            {
                "path": _path(site, reference.r2_key),
                "sha256": reference.sha256,
                "media_type": reference.media_type,
                "width": reference.width,
                "height": reference.height,
            }
            for reference in one.references
        ],
    }


def _version(one: ThresholdVersion) -> dict[str, Any]:
    return {**asdict(one), "created_at": one.created_at.isoformat()}


def _versions(versions: Sequence[ThresholdVersion]) -> RenderableType:
    numbers = ("version", "core", "style")
    table = table_of(*numbers, "over", "since", "thresholds from", numbers=numbers, giving=("thresholds from",))
    for one in versions:
        table.add_row(
            str(one.version),
            f"{one.core:.3f}",
            f"{one.style:.3f}",
            one.aggregation,
            one.created_at.astimezone(UTC).strftime("%Y-%m-%d"),
            Text(thresholds_origin(one.thresholds)),
        )
    return table


def _path(site: Opened, key: str) -> str | None:
    path = site.resources.store.path_of(key)
    return None if path is None else str(path)


def _thresholds(one: CharacterRow) -> str:
    return f"thresholds: {describe_thresholds(one.thresholds)}"


def _table(found: list[CharacterRow]) -> RenderableType:
    if not found:
        return "no character yet; add one with `likeness character add NAME PICTURES...`"
    numbers = ("references", "core", "style")
    table = table_of("character", *numbers, "thresholds from", numbers=numbers, giving=("character", "thresholds from"))
    for one in found:
        told = one.thresholds
        table.add_row(
            one_line(one.name),
            str(len(one.references)),
            f"{told.core:.3f}",
            f"{told.style:.3f}",
            Text(thresholds_origin(told)),
        )
    return table


def _whole(site: Opened, one: CharacterRow) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(one.name, style="bold")]
    if one.description:
        parts.append(Text(one.description))
    parts.append(Text(_thresholds(one)))
    if one.fitted_to is not None:
        parts.append(f"fitted to {one.fitted_to}")
    for reference in one.references:
        where = _path(site, reference.r2_key) or reference.r2_key
        parts.append(f"{reference.width} x {reference.height}  {where}")
    return parts
