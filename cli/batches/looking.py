"""`status` and `list`: looking, without starting a worker or changing a row."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from cli.batches import views
from cli.batches.blocked_reasons import overdue, what_holds_up
from cli.installation import Opened, looked_at
from cli.options import AsJson, LatestBatch
from cli.terminal import Terminal, open_terminal
from domain.errors import BadInput, UnknownThing
from domain.states import GenerationState
from pipeline.operator import lanes
from pipeline.views import acts, generations, status
from pipeline.views.generations import Wanted
from pipeline.views.status import BatchStatus

#: Of what people did to a batch, the newest are shown.
_ACTS: Final = 10


def batch_or_latest(site: Opened, name_or_id: str | None) -> BatchStatus:
    """The batch of that name or id; without one, the latest.

    Raises:
        UnknownThing: there is none.
    """
    if name_or_id is not None:
        return status.find(site.resources, name_or_id, user_id=site.settings.user)
    latest = status.latest(site.resources, user_id=site.settings.user, limit=1)
    if not latest:
        raise UnknownThing("there is no batch yet; make one with `likeness run PROMPTS.csv`, or try `likeness demo`")
    return latest[0]


def status_command(batch: LatestBatch = None, as_json: AsJson = False) -> None:
    """How far a batch is: its generations by state, and its money."""
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        found = batch_or_latest(site, batch)
        late = status.overdue_jobs(site.resources, found.batch.id)
        done = [asdict(one) for one in acts.of_batch(site.resources, found.batch.id)]
        terminal.document(
            {
                **found.as_json(),
                "overdue": [views.overdue_document(one) for one in late],
                "acts": [views.act_document(one) for one in done],
            }
        )
        held_up = lanes.blocking_lanes(site.resources, found.batch.id) if found.idle else []
        terminal.show(*views.progress(found), *what_holds_up(held_up), *overdue(late))
        if done:
            terminal.show("", views.acts_table(done[:_ACTS]))


def list_command(
    batch: LatestBatch = None,
    state: Annotated[GenerationState | None, typer.Option(help="Only those in this state.", show_choices=False)] = None,
    all_batches: Annotated[bool, typer.Option("--all-batches", help="Of every batch, the newest first.")] = False,
    user: Annotated[str | None, typer.Option(help="Whose; needs --all-batches.", show_default=False)] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Made on that day or later; needs --all-batches.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Pass over so many first.")] = 0,
    as_json: AsJson = False,
) -> None:
    """The generations of a batch in the order of its file, one a line; or of all batches."""
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        if all_batches:
            _list_everything(site, terminal, state=state, user=user, since=since, limit=limit, offset=offset)
            return
        if user is not None or since is not None:
            raise BadInput("--user and --since look through all batches; add --all-batches")
        found = batch_or_latest(site, batch)
        page = generations.page(
            site.resources,
            Wanted(batch_id=found.batch.id, user_id=found.batch.user_id, state=state),
            limit=limit,
            offset=offset,
            told=None if as_json else views.TOLD_IN_LINES,
        )
        total = sum(found.progress.counts.values()) if state is None else found.progress.counts[state]
        if as_json:
            terminal.document(
                {
                    "batch_id": str(found.batch.id),
                    "name": found.batch.name,
                    "total": total,
                    "limit": limit,
                    "offset": offset,
                    "generations": [views.line_document(site.resources, details) for details in page],
                }
            )
        terminal.show(*views.lines(found.batch.name, page, state=state, total=total, offset=offset))


def _list_everything(
    site: Opened,
    terminal: Terminal,
    *,
    state: GenerationState | None,
    user: str | None,
    since: datetime | None,
    limit: int,
    offset: int,
) -> None:
    whose = user or site.settings.user
    day = None if since is None else since.replace(tzinfo=UTC)
    page = generations.page(
        site.resources,
        Wanted(user_id=whose, state=state, since=day),
        limit=limit,
        offset=offset,
        told=None if terminal.as_json else (),
    )
    if terminal.as_json:
        terminal.document(
            {
                "user": whose,
                "limit": limit,
                "offset": offset,
                "generations": [views.line_document(site.resources, details) for details in page],
            }
        )
    terminal.show(*views.lines_of_everything(page, user=whose))
