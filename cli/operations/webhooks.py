"""`webhooks`: where a batch's events are sent, and sending them once more."""

from typing import Annotated, Any

import typer

from cli.installation import Opened, opened
from cli.options import AsJson
from cli.terminal import open_terminal
from domain.errors import UnknownThing
from domain.ids import BatchId
from pipeline.operator import webhook_delivery
from pipeline.operator.webhook_delivery import WebhookRow
from pipeline.views import status

app = typer.Typer(help="Where the events of batches are sent.", no_args_is_help=True)

Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Its name, or the beginning of its id.")]


@app.command("show")
def show_command(batch: Batch, as_json: AsJson = False) -> None:
    """Show how far the receiver of a batch's events is."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = webhook_delivery.of(site.resources, _id(site, batch))
        if found is None:
            raise UnknownThing(f"batch {batch!r} has no webhook")
        terminal.document(_document(found))
        terminal.show(_sentence(found))


@app.command("replay")
def replay_command(
    batch: Batch,
    after: Annotated[int, typer.Option(min=0, help="Number of the last event that need not come again.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Send a batch's events once more, also where sending was given up."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = webhook_delivery.replay(site.resources, _id(site, batch), after=after)
        terminal.document(_document(found))
        terminal.show(f"everything after event {after} is sent again while the api role runs")


def _id(site: Opened, batch: str) -> BatchId:
    return status.find(site.resources, batch, user_id=site.settings.user).batch.id


def _sentence(row: WebhookRow) -> str:
    if row.given_up_at is not None:
        return f"given up after a day of failures ({row.last_error}); `likeness webhooks replay` takes it up again"
    if row.failing_since is not None:
        return f"taken up to event {row.delivered}; {row.tries} tries failed since: {row.last_error}"
    return f"taken up to event {row.delivered}"


def _document(row: WebhookRow) -> dict[str, Any]:
    return {
        "batch_id": str(row.batch_id),
        "url": row.url,
        "delivered": row.delivered,
        "tries": row.tries,
        "last_error": row.last_error,
        "given_up_at": None if row.given_up_at is None else row.given_up_at.isoformat(),
    }
