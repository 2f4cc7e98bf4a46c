"""How batches, generations and costs look in a terminal, and the documents that lists of them are made of."""

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cli.batches import blocked_reasons
from cli.tables import facts_of, one_line, table_of
from domain.states import GenerationState
from pipeline.resources import Resources
from pipeline.views import generations
from pipeline.views.generations import GenerationDetails
from pipeline.views.status import BatchStatus, OverdueJob
from reports.wording import dollars, duration_text

_COLOURS = {
    GenerationState.COMPLETED: "green",
    GenerationState.REJECTED: "yellow",
    GenerationState.FAILED: "red",
    GenerationState.IN_DOUBT: "magenta",
    GenerationState.CANCELED: "dim",
    GenerationState.QUEUED: "dim",
}


#: What a line for people says of a generation beside its own row; a document says all.
TOLD_IN_LINES: Final = frozenset({"assets", "verdicts"})


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
        "per accepted picture": dollars(found.avg_cost_per_image_usd) if found.accepted else None,
        "per call": dollars(found.usd_per_call) if found.progress.paid else None,
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


def picture_of(resources: Resources, asset: dict[str, Any]) -> str | None:
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
        "picture": picture_of(resources, best[0]) if best else None,
    }


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
