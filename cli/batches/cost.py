"""`cost`: what was paid, per batch and in all, or by anything else that a studio asks about."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.installation import Opened, looked_at
from cli.options import AsJson
from cli.tables import one_line, table_of
from cli.terminal import Terminal, open_terminal
from domain.errors import BadInput
from domain.money import show
from pipeline.views import forecast, generations, spending_sums
from pipeline.views.forecast import LEAST_FINISHED, Forecast
from pipeline.views.generations import Cost
from pipeline.views.spending_sums import By, Spending, StorageCost
from reports.csv_cells import CellWriter
from reports.wording import dollars

#: In tables; null in documents and an empty cell in CSV, which are no character's name.
_NO_CHARACTER = "(no character)"


class Form(StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def cost_command(
    by: Annotated[
        By | None, typer.Option(help="Sum by batch, provider, model, user, day or character.", show_choices=False)
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only batches made on that day (UTC) or later; with --by, bookings."),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="table, json or csv.", show_choices=False)] = Form.TABLE,
    as_json: AsJson = False,
) -> None:
    """What your batches have cost: each, in all, and on average for one charged call; with --by, also what is to come.

    The batches are those of LIKENESS_USER; only --by user covers all users. Without --by it also says what running
    batches will probably still cost, as their finished generations were charged.
    """
    as_json = as_json or form is Form.JSON
    with open_terminal(as_json=as_json) as terminal:
        if as_json and form is Form.CSV:
            raise BadInput("--json and --format csv both want standard output; leave one of them out")
        with looked_at() as site:
            day = None if since is None else since.replace(tzinfo=UTC)
            if by is None and form is not Form.CSV:
                _per_batch(terminal, site, since=day)
            else:
                _by(terminal, site, by or By.BATCH, since=day, as_csv=form is Form.CSV)


def _by(terminal: Terminal, site: Opened, by: By, *, since: datetime | None, as_csv: bool) -> None:
    user = None if by is By.USER else site.settings.user
    parts = spending_sums.spending(site.resources, by, user_id=user, since=since)
    everything = spending_sums.total(parts)
    if as_csv:
        _write_csv(parts, by)
        return
    bucket = spending_sums.storage(site.resources)
    terminal.document(
        {
            "by": by.value,
            "user_id": user,
            "since": None if since is None else since.date().isoformat(),
            "parts": [spending_sums.as_json(one) for one in parts],
            "total": spending_sums.as_json(everything),
            "storage": {
                "bytes": bucket.bytes,
                "files": bucket.files,
                "month_usd": show(bucket.month_usd),
                "writes_usd": show(bucket.writes_usd),
                "billed_month_usd": show(bucket.billed_month_usd),
                "billed_writes_usd": show(bucket.billed_writes_usd),
                "source": bucket.source,
            },
        }
    )
    if not parts:
        terminal.show("nothing was paid, and nothing is set aside")
        return
    terminal.show(_table(parts, everything, by, user=user))
    if bucket.files:
        terminal.show(
            f"bucket: {bucket.files:,} files of {bucket.bytes / 10**9:,.2f} GB, {dollars(bucket.month_usd)} a month at"
            f" R2's prices and {dollars(bucket.writes_usd)} for their uploads; after what is free, {_billed(bucket)}"
        )


def _billed(bucket: StorageCost) -> str:
    return f"{dollars(bucket.billed_month_usd)} a month and {dollars(bucket.billed_writes_usd)}"


def _whose(user: str | None) -> str:
    """The label of a total: two that differ may be about different users."""
    return "all users" if user is None else f"all of {user}"


def _table(parts: Sequence[Spending], everything: Spending, by: By, *, user: str | None) -> RenderableType:
    numbers = ("calls", "paid", "held", "doubt", "back", "to come", "accepted", "each")
    table = table_of(by.value, *numbers, numbers=numbers, giving=(by.value,))
    for one in parts:
        table.add_row(*_cells(one, one.key or _NO_CHARACTER))
    table.add_section()
    table.add_row(*_cells(everything, _whose(user)), style="bold")
    return table


def _cells(one: Spending, label: str) -> list[RenderableType]:
    amounts = (one.charged_usd, one.held_usd, one.in_doubt_usd, one.released_usd, one.to_come_usd)
    return [
        one_line(label),
        f"{one.calls:,}",
        *(dollars(amount) if amount else "–" for amount in amounts),
        f"{one.accepted:,}",
        dollars(spending_sums.per_accepted(one)),
    ]


def _write_csv(parts: Sequence[Spending], by: By) -> None:
    documents = [spending_sums.as_json(one) for one in parts]
    columns = [name for name in spending_sums.as_json(spending_sums.total(parts)) if name not in {"key", "numbers"}]
    writer = CellWriter(sys.stdout, line_end="\n")
    writer.writerow([by.value, *columns])
    writer.writerows(
        [one["key"] or "", *("" if one[name] is None else one[name] for name in columns)] for one in documents
    )


def _per_batch(terminal: Terminal, site: Opened, *, since: datetime | None) -> None:
    user = site.settings.user
    costs = generations.costs(site.resources, user_id=user, since=since)
    everything = generations.summed(costs)
    foretold = forecast.forecasts(site.resources, user_id=user)
    terminal.document(
        {
            "user_id": user,
            **_document(everything),
            "batches": [_of_batch(one) for one in costs],
            "forecasts": [forecast.as_json(one) for one in foretold],
        }
    )
    terminal.show(_batches(costs, everything, user=user, since=since), *(Text(_foretold(one)) for one in foretold))


def _foretold(one: Forecast) -> str:
    """How much more the batch will cost, and how far that is known."""
    if one.rest_usd is None:
        return (
            f"{one.name}: too few of its generations are finished to say what the other {one.unfinished:,} will cost"
            f" ({one.finished} of at least {LEAST_FINISHED})"
        )
    beyond = f"; its budget of {dollars(one.limit_usd)} will stop it before" if one.exceeds_budget else ""
    return (
        f"{one.name}: about {dollars(one.rest_usd)} more for {one.unfinished:,} unfinished generations,"
        f" {dollars(one.total_usd)} in all, as its {one.finished:,} finished ones were charged{beyond}"
    )


def _of_batch(cost: Cost) -> dict[str, object]:
    return {
        "batch_id": str(cost.batch_id),
        "name": cost.name,
        **_document(cost),
        "limit_usd": show(cost.limit_usd),
    }


def _document(cost: Cost) -> dict[str, Any]:
    """The owner's three names, as exact strings and as numbers, the other average, and what is not settled."""
    return {
        "images_generated": cost.paid,
        "total_cost": show(cost.charged_usd),
        "avg_cost_per_image": show(cost.average_usd),
        "accepted": cost.accepted,
        "usd_per_accepted": show(cost.per_accepted_usd),
        "held_usd": show(cost.held_usd),
        "in_doubt_usd": show(cost.in_doubt_usd),
        "numbers": generations.cost_summary(cost),
    }


def _batches(parts: Sequence[Cost], everything: Cost, *, user: str, since: datetime | None) -> RenderableType:
    """A line per batch, and the sum; `since` is the first day that was asked for."""
    if not parts:
        then = f" on {since:%Y-%m-%d} or later" if since else ""
        return Text(f"{user} made no batch{then}, so nothing was paid")
    numbers = ("calls", "paid", "per call", "per accepted", "not settled", "budget")
    table = table_of("batch", *numbers, numbers=numbers, giving=("batch",))
    for one in parts:
        table.add_row(*_cost_row(one, one.name))
    table.add_section()
    table.add_row(*_cost_row(everything, _whose(user)), style="bold")
    return table


def _cost_row(cost: Cost, label: str) -> list[RenderableType]:
    open_usd: Decimal = cost.held_usd + cost.in_doubt_usd
    return [
        one_line(label),
        f"{cost.paid:,}",
        dollars(cost.charged_usd),
        dollars(cost.average_usd),
        dollars(cost.per_accepted_usd),
        dollars(open_usd) if open_usd else "–",
        dollars(cost.limit_usd),
    ]
