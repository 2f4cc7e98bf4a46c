"""`audit`: check the books for consistency, and against the services' job lists."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.installation import opened
from cli.options import AsJson
from cli.terminal import ENDED_OTHERWISE, OK, Terminal, open_terminal
from domain.errors import ServiceMissing
from domain.money import show
from pipeline.views import audit
from pipeline.views.audit import LaneFigures


def audit_command(
    offline: Annotated[bool, typer.Option("--offline", help="Check the books alone; ask no service.")] = False,
    days: Annotated[int, typer.Option(min=1, max=90, metavar="N", help="Compare jobs of the last N days.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Compare balances, ledger, attempts, states and the services' lists; list the differences and exit 1 on any."""
    with open_terminal(as_json=as_json) as terminal:
        with opened() as site:
            found = audit.of_books(site.resources)
            lanes = [] if offline else audit.with_services(site.resources, window=timedelta(days=days))
        found += [difference for lane in lanes for difference in lane.differences]
        terminal.document({"differences": found, "lanes": [_document(lane) for lane in lanes]})
        if not terminal.as_json:
            _tell(terminal, found, lanes)
        unreachable = any(lane.unreachable is not None for lane in lanes)
        raise typer.Exit(ENDED_OTHERWISE if found else ServiceMissing.exit_code if unreachable else OK)


def _document(lane: LaneFigures) -> dict[str, Any]:
    return {
        "lane": lane.lane,
        "listed": lane.listed,
        "jobs": lane.booked_jobs,
        "booked_usd": show(lane.booked_usd),
        "service_usd": show(lane.said_usd),
        "strangers": lane.strangers,
        "unreachable": lane.unreachable,
    }


def _tell(terminal: Terminal, found: Sequence[str], lanes: Sequence[LaneFigures]) -> None:
    for difference in found:
        terminal.out.print(difference, markup=False, highlight=False)
    if lanes:
        table = Table(box=None, pad_edge=False)
        for name in ("lane", "our jobs", "booked", "by the service", "others' jobs"):
            table.add_column(name, justify="left" if name == "lane" else "right")
        for lane in lanes:
            table.add_row(lane.lane, *_row(lane))
        terminal.out.print(table)
    for lane in lanes:
        if lane.unreachable is not None:
            terminal.note(f"lane {lane.lane!r} was not compared: {lane.unreachable}")
    if not found:
        terminal.out.print("the books add up: batches, ledger, attempts and states tell one story")


def _row(lane: LaneFigures) -> tuple[str, ...]:
    if not lane.listed:
        return ("–", "–", "lists nothing", "–")
    if lane.unreachable is not None:
        return ("–", "–", "no answer", "–")
    amount = "names no money" if lane.said_usd is None else f"${show(lane.said_usd)}"
    return (f"{lane.booked_jobs:,}", f"${show(lane.booked_usd)}", amount, f"{lane.strangers:,}")
