"""`lanes`: list the provider accounts, set their limits, close and open them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.batches.blocked_reasons import state_in_words
from cli.installation import Opened, opened
from cli.options import AsJson
from cli.tables import table_of
from cli.terminal import Terminal, open_terminal
from domain.errors import BadInput
from domain.money import show
from pipeline.operator import lanes
from pipeline.operator.lanes import LaneRow

app = typer.Typer(help="The provider accounts: limits, health, open or closed.", invoke_without_command=True)

Lane = Annotated[str, typer.Argument(metavar="LANE", help="Its name, as `likeness lanes` shows it.")]


@app.callback()
def list_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List every lane: limits, in flight, waiting, account balance, why it is closed, and its last error."""
    if context.invoked_subcommand is None:
        with open_terminal(as_json=as_json) as terminal, opened() as site:
            _say(terminal, lanes.list_lanes(site.resources))


@app.command("set")
def set_command(
    lane: Lane,
    rate: Annotated[
        str | None, typer.Option(metavar="RATE", help="Submissions per time, such as 60/m, 2/s, 100/h; 0 for no limit.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Jobs in flight at once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a lane's limits; every worker follows within seconds."""
    with open_terminal(as_json=as_json) as terminal:
        if rate is None and concurrency is None:
            raise BadInput("say what to set: --rate RATE, --concurrency N, or both")
        with opened() as site:
            if rate is not None:
                lanes.set_rate_limit(site.resources, lane, rate, by=site.settings.user)
            if concurrency is not None:
                lanes.set_concurrency(site.resources, lane, concurrency, by=site.settings.user)
            _say_one(terminal, site, lane)


@app.command("close")
def close_command(
    lane: Lane,
    reason: Annotated[str, typer.Option(help="Reason, shown in lists.")] = "a person closed it",
    as_json: AsJson = False,
) -> None:
    """Submit nothing more on a lane until it is opened; jobs in flight run on."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        lanes.close(site.resources, lane, reason=reason, by=site.settings.user)
        _say_one(terminal, site, lane)


@app.command("open")
def open_command(lane: Lane, as_json: AsJson = False) -> None:
    """Open a lane now, whatever closed it."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        lanes.reopen(site.resources, lane, by=site.settings.user)
        _say_one(terminal, site, lane)


def _say_one(terminal: Terminal, site: Opened, lane: str) -> None:
    _say(terminal, [row for row in lanes.list_lanes(site.resources) if row.name == lane])


def _say(terminal: Terminal, rows: Sequence[LaneRow]) -> None:
    now = datetime.now(UTC)
    terminal.document({"lanes": [_document(row, now) for row in rows]})
    terminal.show(*_table(rows, now))


def _document(row: LaneRow, now: datetime) -> dict[str, Any]:
    closed = row.is_closed(now)
    return {
        "name": row.name,
        "provider": row.provider,
        "rate_limit": row.rate_limit,
        "concurrency": row.concurrency,
        "concurrency_origin": row.concurrency_origin,
        "person_concurrency": row.person_concurrency,
        "in_flight": row.in_flight,
        "waiting": row.waiting,
        "open": not closed,
        "closed_until": row.closed_until.isoformat() if closed and row.closed_until else None,
        "reason": row.reason if closed else None,
        "balance_usd": show(row.account_balance_usd),
        "account_held_usd": show(row.account_held_usd),
        "account_jobs": row.account_jobs,
        "account_asked_at": row.account_asked_at.isoformat() if row.account_asked_at else None,
        "last_error": row.last_error,
        "last_error_at": row.last_error_at.isoformat() if row.last_error_at else None,
    }


def _table(rows: Sequence[LaneRow], now: datetime) -> list[RenderableType]:
    if not rows:
        return ["no lane yet: put a provider's key into .env, such as TTAPI_API_KEY; `likeness doctor` says more"]
    columns = ("lane", "provider", "rate", "in flight", "waiting", "money", "state")
    table = table_of(*columns, numbers=("rate", "in flight", "waiting", "money"), giving=("state",))
    errors: list[RenderableType] = []
    for row in rows:
        in_flight = f"{row.in_flight} of {row.concurrency}"
        rate, money = row.rate_limit or "no limit", _money(row)
        table.add_row(row.name, row.provider, rate, in_flight, str(row.waiting), money, _state(row, now))
        if row.last_error is not None and row.last_error_at is not None:
            at = row.last_error_at.strftime("%Y-%m-%d %H:%M")
            errors.append(f"{row.name}: last error at {at} UTC: {row.last_error}")
    return [table, *errors]


def _money(row: LaneRow) -> str:
    left = show(row.account_balance_usd)
    return "not said" if left is None else f"${left}"


def _state(row: LaneRow, now: datetime) -> Text:
    closed = row.is_closed(now)
    return Text(state_in_words(row, now) if closed else "open", style="yellow" if closed else "green")
