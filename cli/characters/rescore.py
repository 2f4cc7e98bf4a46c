"""`rescore`: judge finished generations again, by current thresholds or another model."""

from typing import Annotated, Any

import typer
from rich.console import RenderableType

from cli.characters.validate import progress
from cli.installation import opened
from cli.options import AsJson
from cli.tables import facts_of
from cli.terminal import OK, open_terminal
from pipeline.calibration.rescore import Rescored, rescore, total
from pipeline.characters import definitions
from pipeline.process.embedding_cache import KeptEmbeddings
from pipeline.views import status
from runtime.scoring import open_scoring

_NAMED = 10


def rescore_command(
    model: Annotated[str | None, typer.Option(help="Instead of CLIP_MODEL.", show_default=False)] = None,
    batch: Annotated[str | None, typer.Option(help="Only this batch, by name or id.", show_default=False)] = None,
    character: Annotated[str | None, typer.Option(help="Only this character.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option(help="Show what would change, without changing it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Judge finished generations again; completed and rejected may change, each with a line in its history.

    Stored embeddings are enough where only thresholds changed; where the model changed, the originals are embedded
    again in bulk. An interrupted run can be repeated, with the same result.
    """
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        resources = site.resources
        batch_id = status.find(resources, batch, user_id=site.settings.user).batch.id if batch else None
        character_id = definitions.find(resources, character).id if character else None
        kept = KeptEmbeddings(resources.database)
        count = total(resources, batch_id=batch_id, character_id=character_id)
        with (
            open_scoring(site.settings, kept=kept, say=terminal.note, model=model) as scoring,
            progress(terminal, total=count, what="judging") as advance,
        ):
            done = rescore(
                resources,
                scoring,
                batch_id=batch_id,
                character_id=character_id,
                dry_run=dry_run,
                each=advance,
            )
        terminal.document(document_of(done, dry_run=dry_run))
        terminal.show(*_shown(done, dry_run=dry_run))
        raise typer.Exit(OK)


def document_of(done: Rescored, *, dry_run: bool) -> dict[str, Any]:
    """The document of `--json`."""
    return {
        "model": done.model,
        "dry_run": dry_run,
        "looked": done.looked,
        "unchanged": done.unchanged,
        "verdicts": done.verdicts,
        "accepted": [str(one) for one in done.accepted],
        "rejected": [str(one) for one in done.rejected],
        "warnings": sorted(done.warnings),
        "left": [{"generation_id": str(one.generation_id), "why": one.why} for one in done.left],
    }


def _shown(done: Rescored, *, dry_run: bool) -> list[RenderableType]:
    would = "would be " if dry_run else ""
    facts = facts_of()
    facts.add_row("model", done.model)
    facts.add_row("looked at", f"{done.looked} generations")
    facts.add_row("unchanged", str(done.unchanged))
    facts.add_row(f"{would}judged anew", f"{done.verdicts} verdicts")
    facts.add_row(f"{would}accepted", str(len(done.accepted)))
    facts.add_row(f"{would}rejected", str(len(done.rejected)))
    parts: list[RenderableType] = [facts, *(f"warning: {one}" for one in sorted(done.warnings))]
    parts += [f"left as it is: generation {one.generation_id}: {one.why}" for one in done.left[:_NAMED]]
    if len(done.left) > _NAMED:
        parts.append(f"and {len(done.left) - _NAMED} more; --json names them all")
    return parts
