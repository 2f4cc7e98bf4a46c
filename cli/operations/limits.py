"""`limits`: spending limits per user and month, and per lane and day."""

from decimal import Decimal
from typing import Annotated

import typer
from rich.table import Table

from cli.installation import opened
from cli.options import AsJson
from cli.terminal import open_terminal
from domain.access import LOCAL_TEAM
from domain.errors import BadInput
from domain.money import read_limit, show
from pipeline.operator import limits
from pipeline.operator.limits import Scope, Subject, lane_day, user_month

app = typer.Typer(help="Spending limits per user and month, and per lane and day.", invoke_without_command=True)

User = Annotated[str | None, typer.Option("--user", help="Limit this user's calendar month (UTC).")]
Team = Annotated[str, typer.Option("--team", help="Whose user it is; other teams have users of their own.")]
LaneName = Annotated[str | None, typer.Option("--lane", help="Limit this lane's day (UTC).")]


@app.callback()
def list_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List the limits and how much of them is used."""
    if context.invoked_subcommand is not None:
        return
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = limits.list_limits(site.resources)
        terminal.document({"limits": [_document(one) for one in found]})
        if terminal.as_json:
            return
        if not found:
            terminal.out.print("no limits but those of batches; `likeness limits set USD --user NAME` sets one")
            return
        table = Table(box=None, pad_edge=False)
        for name in ("of", "per", "limit", "used"):
            table.add_column(name, justify="right" if name in {"limit", "used"} else "left")
        for one in found:
            period = "user and month" if one.scope is Scope.USER_MONTH else "lane and day"
            whose = f" of {one.team}" if one.team not in {"", LOCAL_TEAM} else ""
            table.add_row(one.subject + whose, period, f"${show(one.limit)}", f"${show(one.used)}")
        terminal.out.print(table)


def _document(cap: limits.Cap) -> dict[str, str | None]:
    return {**_named((cap.scope, cap.team, cap.subject)), "limit_usd": show(cap.limit), "used_usd": show(cap.used)}


def _named(of: Subject) -> dict[str, str | None]:
    scope, team, subject = of
    return {"scope": scope, "team": team or None, "subject": subject}


def _subject(user: str | None, lane: str | None, *, team: str) -> Subject:
    if user is not None and lane is None:
        return user_month(team, user)
    if lane is not None and user is None:
        return lane_day(lane)
    raise BadInput("say either --user NAME or --lane NAME")


@app.command("set")
def set_command(
    usd: Annotated[str, typer.Argument(metavar="USD")],
    user: User = None,
    lane: LaneName = None,
    team: Team = LOCAL_TEAM,
    as_json: AsJson = False,
) -> None:
    """Set a limit; it applies from the next attempt."""
    with open_terminal(as_json=as_json) as terminal:
        of = _subject(user, lane, team=team)
        amount: Decimal = read_limit(usd, what="the limit")
        with opened() as site:
            limits.set_limit(site.resources, of, amount, by=site.settings.user)
        terminal.document({**_named(of), "limit_usd": show(amount)})
        if not terminal.as_json:
            terminal.out.print(f"{of[2]}: at most ${show(amount)} per {'month' if user else 'day'}")


@app.command("remove")
def remove_command(user: User = None, lane: LaneName = None, team: Team = LOCAL_TEAM, as_json: AsJson = False) -> None:
    """Remove a limit."""
    with open_terminal(as_json=as_json) as terminal:
        of = _subject(user, lane, team=team)
        with opened() as site:
            limits.remove(site.resources, of, by=site.settings.user)
        terminal.document({**_named(of), "limit_usd": None})
        if not terminal.as_json:
            terminal.out.print(f"{of[2]}: no limit any more")
