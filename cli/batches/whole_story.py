"""`show`: one generation's whole story, from the prompt to the verdicts; `generate` ends with it too."""

from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.batches.picture_record import show_file
from cli.batches.views import acts_table, picture_of, state_text
from cli.installation import looked_at
from cli.options import AsJson
from cli.tables import facts_of, table_of
from cli.terminal import open_terminal
from domain.states import AttemptKind
from pipeline.characters.threshold_origin import describe_verdict, margin, other_text_model
from pipeline.resources import Resources
from pipeline.views import generations
from pipeline.views.generations import GenerationDetails
from pipeline.views.report import line_of
from pipeline.views.stages import stages_of
from reports.tries import sentences
from reports.wording import dollars, duration_text


def show_command(
    generation: Annotated[
        str,
        typer.Argument(
            metavar="GENERATION",
            help="Its id, or BATCH/ROW with rows counted from 0; or a picture file, wherever it is.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """The whole story of a generation: its attempts, its pictures, their verdicts, its cost.

    Of a picture file it tells what its record says, without this installation, and ends with 1 where the picture is no
    longer the one that the record is about.
    """
    with open_terminal(as_json=as_json) as terminal:
        if Path(generation).is_file():
            show_file(Path(generation), terminal)
            return
        with looked_at() as site:
            details = generations.find(site.resources, generation, user_id=site.settings.user)
            terminal.document({**document(site.resources, details), "stages": stages_of(details)})
            terminal.show(*whole(site.resources, details))


def document(resources: Resources, details: GenerationDetails) -> dict[str, Any]:
    """The whole story; each asset also says where its picture is."""
    told = generations.as_json(details)
    for asset, row in zip(told["assets"], details.assets, strict=True):
        asset["path"] = picture_of(resources, row)
    told["tries"] = sentences(line_of(resources, details))
    return told


def whole(resources: Resources, details: GenerationDetails) -> list[RenderableType]:
    """The whole story, from the prompt to the verdicts."""
    row = details.generation
    facts = facts_of()
    facts.add_row("state", state_text(row["state"]))
    for label, value in {
        "prompt": row["prompt"],
        "theme": " / ".join(filter(None, (row["theme"], row["variation"]))),
        "model": f"{row['model']} by {row['provider']}",
        "settings": ", ".join(f"{key} {value}" for key, value in row["settings"].items()),
        "cost": dollars(row["cost"]),
        "error": f"{row['error_code']}: {row['error_message']}" if row["error_code"] else "",
        "id": str(row["id"]),
    }.items():
        if value:
            facts.add_row(label, Text(value))
    parts: list[RenderableType] = [facts]
    if details.attempts:
        parts += ["", _attempts(details)]
    if details.assets:
        parts += ["", *_assets(resources, details)]
    if details.finishings:
        parts += ["", _finishings(details)]
    if details.history:
        parts += ["", _history(details)]
    if details.feedback:
        parts += ["", _feedback(details)]
    if details.acts:
        parts += ["", acts_table(details.acts)]
    if said := sentences(line_of(resources, details)):
        parts += ["", *(Text(sentence) for sentence in said)]
    return parts


def _finishings(details: GenerationDetails) -> Table:
    """What was to be done to the accepted picture, and what came of it."""
    table = table_of("finish", "is", "picture", "why", giving=("why",))
    labels = generations.labels(details)
    for one in details.finishings:
        state = one["outcome"] or ("at work" if one["attempt_id"] else "waiting")
        made = labels.get(one["asset_id"], "–") if one["asset_id"] != one["original_id"] else "–"
        table.add_row(one["wanted"], state.replace("_", " "), made, Text(one["said"] or "–", overflow="fold"))
    return table


def _history(details: GenerationDetails) -> Table:
    """Who asked for what."""
    table = table_of("when (UTC)", "who", "from", "to", "why", giving=("why",))
    for one in details.history:
        table.add_row(
            one["at"].astimezone(UTC).strftime("%m-%d %H:%M:%S"),
            one["actor"],
            one["from_state"].replace("_", " "),
            one["to_state"].replace("_", " "),
            Text(one["reason"], overflow="fold"),
        )
    return table


def _feedback(details: GenerationDetails) -> Table:
    """What people said, about which picture."""
    table = table_of("when (UTC)", "who", "picture", "said", giving=("said",))
    labels = generations.labels(details)
    for one in details.feedback:
        rating = f"{one['rating']} of 5" if one["rating"] is not None else ""
        said = ", ".join(filter(None, (one["feedback_type"], rating, one["comment"])))
        when = one["created_at"].astimezone(UTC).strftime("%m-%d %H:%M:%S")
        table.add_row(when, one["user_id"], labels.get(one["asset_id"], "–"), Text(said, overflow="fold"))
    return table


def _attempts(details: GenerationDetails) -> Table:
    columns = ("attempt", "lane", "state", "money", "took", "job")
    table = table_of(*columns, numbers=("attempt", "took"), giving=("job",))
    for one in details.attempts:
        charged = one["charged_usd"]
        money = f"{dollars(one['hold_usd'])} {one['hold_state']}" if charged is None else f"{dollars(charged)} charged"
        late = ", found late" if one["found_late_at"] else ""
        ended, begun = one["finished_at"], one["intent_at"]
        table.add_row(
            f"finish {one['number']}" if one["kind"] == AttemptKind.FINISH else str(one["number"]),
            one["lane"],
            (one["outcome"] or one["state"]).replace("_", " ") + late,
            money.replace("_", " "),
            duration_text((ended - begun).total_seconds()) if ended and begun else "–",
            Text(one["error_message"] or one["job_id"] or "–", overflow="fold"),
        )
    return table


def _assets(resources: Resources, details: GenerationDetails) -> list[RenderableType]:
    numbers = ("picture", "core", "style", "prompt")
    table = table_of("picture", "size", "core", "style", "prompt", "verdict", numbers=numbers)
    files: list[RenderableType] = []
    labels = generations.labels(details)
    for asset in details.assets:
        label = labels[asset["id"]]
        # Of several characters the one that it meets least well, which is the one that decides.
        verdict = min(details.verdicts.get(asset["id"], []), key=margin, default=None)
        size = f"{asset['width']} x {asset['height']}" if asset["width"] else "–"
        where = picture_of(resources, asset) or asset["missing_reason"] or "the file is not on this machine"
        table.add_row(
            label,
            size,
            _against(verdict, "core"),
            _against(verdict, "style"),
            "–" if asset["text_alignment"] is None else f"{asset['text_alignment']:.3f}",
            _said(verdict, best=asset["best"]),
        )
        if (by := other_text_model(asset, verdict)) is not None:
            files.append(f"{label:>7}  its prompt was read by {by!r}, and it is judged by another model")
        if asset["near_duplicate_of"] is not None:
            alike = f"cosine {asset['near_duplicate_score']:.3f} with picture {asset['near_duplicate_of']}"
            files.append(f"{label:>7}  too like another of this batch: {alike}")
        files.append(f"{label:>7}  {where}")
    return [table, *_thresholds(details), *files]


def _thresholds(details: GenerationDetails) -> list[RenderableType]:
    """Against what the pictures were held, and where that comes from; mostly one line."""
    lines = {
        f"{one['character']}, version {one['threshold_version']}: {describe_verdict(one)}": None
        for verdicts in details.verdicts.values()
        for one in verdicts
    }
    return [Text(f"thresholds of {line}") for line in lines]


def _against(verdict: dict[str, Any] | None, what: str) -> str:
    if verdict is None:
        return "–"
    if what == "style" and not verdict["style_decides"]:
        return f"{verdict[what]:.3f} advisory"
    return f"{verdict[what]:.3f} / {verdict[f'{what}_threshold']:.2f}"


def _said(verdict: dict[str, Any] | None, *, best: bool) -> Text:
    said = "not checked" if verdict is None else "passed" if verdict["passed"] else "not passed"
    if verdict is not None and (verdict["crops"] or 1) > 1:
        said += f" by crop {verdict['crop']} of {verdict['crops']}"
    return Text(said + (", best" if best else ""), style="green" if verdict and verdict["passed"] else "")
