"""How batches, generations and costs look in a terminal, and the documents that lists of them are made of."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.batches import blocked_reasons
from cli.tables import facts_of, one_line, table_of
from domain.states import AttemptKind, GenerationState
from pipeline.characters.threshold_origin import describe_verdict, margin, other_text_model
from pipeline.resources import Resources
from pipeline.views import generations
from pipeline.views.generations import GenerationDetails
from pipeline.views.report import line_of
from pipeline.views.status import BatchStatus, OverdueJob
from reports.tries import sentences
from reports.wording import dollars, duration_text

_COLOURS = {
    GenerationState.COMPLETED: "green",
    GenerationState.REJECTED: "yellow",
    GenerationState.FAILED: "red",
    GenerationState.IN_DOUBT: "magenta",
    GenerationState.CANCELED: "dim",
    GenerationState.QUEUED: "dim",
}


def state_text(state: str) -> Text:
    return Text(state.replace("_", " "), style=_COLOURS.get(GenerationState(state), "cyan"))


def progress(found: BatchStatus) -> list[RenderableType]:
    """A batch's states and money, and what holds it up."""
    table = facts_of()
    table.columns[1].justify = "right"
    for state, number in found.progress.counts.items():
        if number:
            table.add_row(state_text(state), f"{number:,}")
    batch = found.batch
    money = {
        "spent": dollars(batch.charged_usd),
        "held": dollars(batch.held_usd) if batch.held_usd else None,
        "in doubt": dollars(batch.in_doubt_usd) if batch.in_doubt_usd else None,
        "budget": dollars(batch.limit_usd) if batch.limit_usd is not None else None,
        "remaining": dollars(found.remaining_usd) if batch.limit_usd is not None else None,
        "average cost": dollars(found.avg_cost_per_image_usd) if found.accepted else None,
        "wall time": duration_text(found.progress.wall_s),
    }
    for label, value in money.items():
        if value is not None:
            table.add_row(label, value)
    final = found.progress.total - found.progress.unfinished
    head = Text.assemble((batch.name, "bold"), (f"  {final:,} of {found.progress.total:,} final", "dim"))
    held_up = [*blocked_reasons.paused(found), *blocked_reasons.stopped(found)] if found.progress.unfinished else []
    return [head, table, *held_up]


def overdue_document(job: OverdueJob) -> dict[str, object]:
    """A job that takes too long, for `--json`."""
    return {"row": job.position, "lane": job.lane, "job_id": job.job_id, "age_s": round(job.age.total_seconds(), 1)}


def lines(
    name: str, page: Sequence[GenerationDetails], *, state: GenerationState | None, total: int, offset: int
) -> list[RenderableType]:
    """Generations, one a line, with what to type to see more; only those in `state` where one is named."""
    if not page:
        if offset:
            return [f"{name}: none of {total:,} generations from there on"]
        return [f"{name}: no generation of it is {state.replace('_', ' ')}" if state else f"{name}: it is empty"]
    said = "prompt or reason" if any(details.generation["error_message"] for details in page) else "prompt"
    columns = ("row", "state", "theme", "core", "cost", said)
    table = table_of(*columns, numbers=("row", "core", "cost"), giving=("theme", said))
    for details in page:
        row = details.generation
        table.add_row(
            str(row["position"]),
            state_text(row["state"]),
            one_line(row["theme"] or ""),
            _score(_best_verdict(details)),
            dollars(row["cost"]) if row["cost"] else "–",
            one_line(row["error_message"] or row["prompt"]),
        )
    last = offset + len(page)
    more = "" if last >= total else f"; `--offset {last}` goes on"
    shown = f"{offset + 1:,} to {last:,} of {total:,}{more}; `likeness show {name}/ROW` tells one's whole story"
    return [table, shown]


def lines_of_everything(page: Sequence[GenerationDetails], *, user: str) -> list[RenderableType]:
    """Generations of all batches, one a line, each with its id."""
    if not page:
        return [f"{user} has no such generation"]
    table = table_of("id", "made", "state", "cost", "prompt or reason", numbers=("cost",), giving=("prompt or reason",))
    for details in page:
        row = details.generation
        table.add_row(
            str(row["id"]),
            f"{row['created_at']:%Y-%m-%d %H:%M}",
            state_text(row["state"]),
            dollars(row["cost"]) if row["cost"] else "–",
            one_line(row["error_message"] or row["prompt"]),
        )
    return [table, "`likeness show ID` tells one's whole story"]


def _best_verdict(details: GenerationDetails) -> dict[str, Any] | None:
    every = [verdict for found in details.verdicts.values() for verdict in found]
    best = [asset["id"] for asset in details.assets if asset["best"]]
    chosen = [verdict for verdict in every if verdict["asset_id"] in best]
    return next(iter(chosen or sorted(every, key=lambda one: -one["core"])), None)


def _score(verdict: dict[str, Any] | None) -> Text:
    if verdict is None:
        return Text("–", style="dim")
    return Text(f"{verdict['core']:.3f}", style="green" if verdict["passed"] else "yellow")


def _picture(resources: Resources, asset: dict[str, Any]) -> str | None:
    """Where a person finds the picture: the file if it is on this machine, else its address."""
    if asset["r2_key"] is None:
        return None
    path = resources.store.path_of(asset["r2_key"])
    if path is not None and path.exists():
        return str(path)
    address: str | None = asset["cdn_url"]
    return address


def line_document(resources: Resources, details: GenerationDetails) -> dict[str, Any]:
    """One generation of a list: its own columns, its best verdict and picture."""
    told = generations.as_json(details)
    verdict = _best_verdict(details)
    best = [asset for asset in details.assets if asset["best"]]
    for name in ("attempts", "assets", "verdicts", "history", "acts"):
        del told[name]
    return {
        **told,
        "core": verdict["core"] if verdict else None,
        "style": verdict["style"] if verdict else None,
        "picture": _picture(resources, best[0]) if best else None,
    }


def document(resources: Resources, details: GenerationDetails) -> dict[str, Any]:
    """The whole story; each asset also says where its picture is."""
    told = generations.as_json(details)
    for asset, row in zip(told["assets"], details.assets, strict=True):
        asset["path"] = _picture(resources, row)
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


def act_document(one: Mapping[str, Any]) -> dict[str, Any]:
    about = one["generation_id"]
    return {**one, "at": one["at"].isoformat(), "generation_id": None if about is None else str(about)}


def acts_table(acts: Sequence[Mapping[str, Any]]) -> Table:
    """Which member did what, by which key."""
    table = table_of("when (UTC)", "who", "by key", "did", "with", giving=("with",))
    for one in acts:
        with_ = ", ".join(
            f"{name} {value}" for name, value in one["detail"].items() if value is not None and value != ""
        )
        when = one["at"].astimezone(UTC).strftime("%m-%d %H:%M:%S")
        table.add_row(when, one["actor"], one["key_name"] or "–", one["act"], Text(with_, overflow="fold"))
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
        where = _picture(resources, asset) or asset["missing_reason"] or "the file is not on this machine"
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
