"""`routing`: what models came to, and what another way of choosing them would have come to."""

from typing import Annotated, Any

import typer
from rich.text import Text

from cli.installation import looked_at
from cli.options import AsJson
from cli.tables import table_of
from cli.terminal import Terminal, open_terminal
from pipeline.views import status
from pipeline.views.routing import routing_report
from providers.catalogue import load

app = typer.Typer(help="How models are chosen, and what that comes to.", no_args_is_help=True)


@app.callback()
def routing() -> None:
    """How models are chosen, and what that comes to."""


@app.command("report")
def report_command(
    batch: Annotated[
        str | None, typer.Argument(metavar="BATCH", help="Name or id; all batches by default.", show_default=False)
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Estimate what this model alone would have come to.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Success rate, times and cost by model; and estimates of other policies from the decisions of `--model auto`.

    An estimate weighs what happened by how much more often the other policy would have chosen it (`ips`), or corrects a
    model of the results by the same weights (`doubly_robust`). With fewer than 30 effective results it says
    `not enough data`.
    """
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        user = site.settings.user
        named = None if model is None else load().get(model).name
        batch_id = None if batch is None else status.find(site.resources, batch, user_id=user).batch.id
        found = routing_report(site.resources, user_id=user, batch_id=batch_id, model=named).as_json()
        terminal.document(found)
        if not terminal.as_json:
            _show(terminal, found)


def _show(terminal: Terminal, found: dict[str, Any]) -> None:
    numbers = {"calls", "accepted", "success", "charged", "per accepted", "seconds"}
    table = table_of("model", "calls", "accepted", "success", "charged", "per accepted", "seconds", numbers=numbers)
    for row in found["models"]:
        success = row["success"]
        seconds = "-" if row["generating_s"] is None else f"{row['generating_s']:.1f}"
        per_accepted = "-" if row["usd_per_accepted"] is None else f"${float(row['usd_per_accepted']):.4f}"
        table.add_row(
            row["model"],
            str(row["calls"]),
            str(row["accepted"]),
            f"{success['value']:.0%} ({success['low']:.0%}-{success['high']:.0%})",
            f"${float(row['charged_usd']):.2f}",
            per_accepted,
            seconds,
        )
    terminal.show(table)
    for row in found["stages"]:
        terminal.show(Text(f"stage {row['name']}: {row['count']:,} times, {row['took_ms']:.1f} ms, ${row['cost_usd']}"))
    terminal.show(Text(f"{found['decisions']:,} decisions with a result; another policy would have come to:"))
    estimates = table_of("policy", "by", "accepted", "per picture", "per accepted", numbers={"per picture"})
    for one in found["estimates"]:
        if "said" in one:
            estimates.add_row(one["policy"], one["estimator"], f"{one['said']} ({one['effective']:.0f})", "", "")
            continue
        accepted, usd = one["accepted"], one["usd"]
        estimates.add_row(
            one["policy"],
            one["estimator"],
            f"{accepted['value']:.0%} ({accepted['low']:.0%} to {accepted['high']:.0%})",
            f"${usd['value']:.4f}",
            "-" if one["usd_per_accepted"] is None else f"${one['usd_per_accepted']:.4f}",
        )
    terminal.show(estimates)
