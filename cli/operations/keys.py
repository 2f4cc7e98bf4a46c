"""`keys`: who may use the API: made once, listed by how they begin, revoked."""

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.installation import opened
from cli.options import AsJson
from cli.terminal import open_terminal
from domain.access import LOCAL_TEAM, read_scope
from domain.money import read_limit, show
from domain.rates import per_second
from pipeline.operator import keys
from pipeline.operator.keys import KeyRow, NewKey

app = typer.Typer(help="Keys of the API: teams, scopes, limits.", invoke_without_command=True)


@app.callback()
def keys_command(context: typer.Context, as_json: AsJson = False) -> None:
    """List the keys; `keys create NAME` makes one."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List every key by how it begins: team, scope, limits, when it was last used."""
    _list(as_json=as_json)


@app.command("create")
def create_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Told apart by it from other keys.")],
    team: Annotated[str, typer.Option(help="Whose batches it sees and makes.")] = LOCAL_TEAM,
    scope: Annotated[str, typer.Option(help="read, generate, approve or admin; each with all before it.")] = "generate",
    member: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose key it is, named for what it does."),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Owner of what it makes where a request names none.")] = None,
    rate: Annotated[str | None, typer.Option(metavar="RATE", help="Requests at most, as 600/m.")] = None,
    max_cost: Annotated[
        str | None, typer.Option(metavar="USD", help="What its batches of a month may spend (UTC).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it this once: only its digest is kept."""
    with open_terminal(as_json=as_json) as terminal:
        new = NewKey(
            name=name,
            team=team,
            member=member,
            user_id=user,
            scope=read_scope(scope),
            rate_limit=rate,
            limit_usd=None if max_cost is None else read_limit(max_cost, what="--max-cost"),
        )
        with opened() as site:
            row, token = keys.create(site.resources, new, by=site.settings.user)
        terminal.document({**_document(row), "key": token})
        if not terminal.as_json:
            terminal.out.print(token, markup=False, highlight=False)
            terminal.note("keep it now: it is shown this once")


@app.command("revoke")
def revoke_command(
    name: Annotated[str, typer.Argument(metavar="KEY", help="Its name, or how it begins.")], as_json: AsJson = False
) -> None:
    """Make a key worthless within a second, with every session that was opened by it."""
    with open_terminal(as_json=as_json) as terminal:
        with opened() as site:
            row = keys.revoke(site.resources, name, by=site.settings.user)
        terminal.document(_document(row) | {"revoked": True})
        if not terminal.as_json:
            terminal.out.print(f"key {row.name!r} is revoked", markup=False, highlight=False)


def _list(*, as_json: bool) -> None:
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = keys.list_keys(site.resources)
        terminal.document({"keys": [_document(one) for one in found]})
        if terminal.as_json:
            return
        if not found:
            terminal.out.print("no keys yet; `likeness keys create NAME --scope generate` makes one")
            return
        table = Table(box=None, pad_edge=False)
        for column in ("key", "begins", "team", "member", "may", "rate", "a month", "last used"):
            table.add_column(column)
        for one in found:
            used = "revoked" if one.revoked_at else _moment(one.last_used_at)
            limit = f"${show(one.limit_usd)}" if one.limit_usd is not None else "no limit"
            whose = (one.name, one.prefix, one.team, one.member, one.scope.value)
            # Keys of before may have a rate of 0, which does not limit them.
            rate = one.rate_limit if per_second(one.rate_limit) is not None else "no limit"
            table.add_row(*whose, rate, limit, used)
        terminal.out.print(table)


def _moment(at: datetime | None) -> str:
    return "never" if at is None else f"{at:%Y-%m-%d %H:%M}"


def _document(row: KeyRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "prefix": row.prefix,
        "team": row.team,
        "member": row.member,
        "user": row.user_id,
        "scope": row.scope.value,
        "rate_limit": row.rate_limit,
        "limit_usd": show(row.limit_usd),
        "created_at": row.created_at.isoformat(),
        "last_used_at": None if row.last_used_at is None else row.last_used_at.isoformat(),
        "revoked_at": None if row.revoked_at is None else row.revoked_at.isoformat(),
    }
