"""`acts`: who changed characters, keys, limits and lanes, or did something to a batch."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.installation import looked_at
from cli.options import AsJson
from cli.tables import one_line, table_of
from cli.terminal import open_terminal
from domain.access import LOCAL_TEAM
from pipeline.views import acts, status
from pipeline.views.acts import Act


def acts_command(
    batch: Annotated[
        str | None,
        typer.Argument(metavar="BATCH", help="Its name or id; without one, what was done outside of batches."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="So many, the newest first.")] = 50,
    of_team: Annotated[
        str, typer.Option("--team", help="Whose characters, keys and limits; lanes are of the team 'local'.")
    ] = LOCAL_TEAM,
    as_json: AsJson = False,
) -> None:
    """Who did what: to one batch, or to the characters, keys, limits and lanes of a team."""
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        if batch is None:
            found = acts.of_no_batch(site.resources, of_team, limit=limit)
        else:
            one = status.find(site.resources, batch, user_id=site.settings.user)
            found = acts.of_batch(site.resources, one.batch.id)[:limit]
        terminal.document({"acts": [_document(act) for act in found]})
        terminal.show(_table(found) if found else "nothing was done yet")


def _document(act: Act) -> dict[str, Any]:
    return {
        "at": act.at.isoformat(),
        "actor": act.actor,
        "key": act.key_name,
        "act": act.act,
        "generation_id": None if act.generation_id is None else str(act.generation_id),
        "detail": dict(act.detail),
    }


def _table(found: Sequence[Act]) -> Table:
    table = table_of("when", "who", "key", "what", giving=("what",))
    for act in found:
        said = [f"{name} {_short(value)}" for name, value in act.detail.items() if value is not None and value != ""]
        table.add_row(
            f"{act.at:%Y-%m-%d %H:%M}",
            one_line(act.actor),
            one_line(act.key_name or "–"),
            Text(", ".join([act.act, *said])),
        )
    return table


def _short(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
