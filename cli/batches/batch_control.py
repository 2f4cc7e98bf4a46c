"""`pause`, `resume`, `cancel`, `retry`, `priority`, `budget`: what a person does to a whole batch."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.batches.enqueue_options import Escalate, MaxTries, policy_of
from cli.installation import Opened, opened
from cli.options import AsJson, Batch
from cli.terminal import Terminal, open_terminal
from domain.errors import BadInput
from domain.ids import BatchId
from domain.money import read_limit, show
from domain.states import GenerationState
from pipeline.operator import batch_control, events
from pipeline.resources import Resources
from pipeline.views import status


class Retriable(StrEnum):
    """States that `retry` takes."""

    FAILED = "failed"
    REJECTED = "rejected"
    CANCELED = "canceled"


def _note(site: Opened, batch_id: BatchId, act: str, detail: Mapping[str, Any]) -> None:
    events.note_act_here(site.resources, site.settings.user, act, batch_id=batch_id, detail=detail)


def pause(resources: Resources, found: status.BatchStatus, *, user: str, reason: str) -> tuple[status.BatchStatus, str]:
    """Pause it; returns what became of it, and the sentence about that."""
    after = batch_control.pause(resources, found.batch.id, reason=reason)
    if found.batch.paused_reason is not None:
        return after, f"batch {after.batch.name!r} was paused already: {after.batch.paused_reason}"
    events.note_act_here(resources, user, "paused", batch_id=found.batch.id, detail={"reason": reason})
    return after, f"batch {after.batch.name!r} is paused: {after.batch.paused_reason}{_still_there(after)}"


def resume(
    resources: Resources, found: status.BatchStatus, *, user: str, limit: Decimal | None = None
) -> tuple[status.BatchStatus, str]:
    """Go on with it; returns what became of it, and the sentence about that."""
    after = batch_control.resume(resources, found.batch.id, limit_usd=limit)
    waiting = f"{after.progress.unfinished:,} generations are not final"
    if limit is None and found.batch.paused_reason is None and found.batch.stopped_reason is None:
        return after, f"batch {after.batch.name!r} was not paused: {waiting}"
    events.note_act_here(resources, user, "resumed", batch_id=found.batch.id, detail={"limitUsd": show(limit)})
    return after, f"batch {after.batch.name!r} goes on: {waiting}"


def cancel(resources: Resources, found: status.BatchStatus, *, user: str) -> tuple[batch_control.Canceled, str]:
    """Cancel it; returns what became of it, and the sentence about that."""
    done = batch_control.cancel(resources, found.batch.id)
    rest = f"; {done.running:,} are at a provider and end with its last word" if done.running else ""
    if done.finishing:
        rest += f"; {done.finishing:,} finishing calls are at a provider and end so too"
    if not done.asked:
        return done, f"batch {done.status.batch.name!r}: nothing is left to cancel{rest}"
    events.note_act_here(resources, user, "canceled", batch_id=found.batch.id, detail={"asked": done.asked})
    return done, f"batch {done.status.batch.name!r}: {done.asked - done.running:,} generations canceled{rest}"


def pause_command(
    batch: Batch,
    reason: Annotated[str, typer.Option(help="Shown to everybody who looks.")] = "a person paused it",
    as_json: AsJson = False,
) -> None:
    """Send nothing more of a batch; what is at a provider runs to its end."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = status.find(site.resources, batch, user_id=site.settings.user)
        after, said = pause(site.resources, found, user=site.settings.user, reason=reason)
        terminal.document(after.as_json())
        terminal.note(said)


def _still_there(paused: status.BatchStatus) -> str:
    """What becomes of the attempts that a paused batch still has."""
    admitted = paused.progress.counts[GenerationState.ADMITTED]
    running = paused.progress.live - admitted
    sent = f"; {running:,} attempts run to their end" if running else ""
    unsent = f"; {admitted:,} that were not sent yet go back to the queue" if admitted else ""
    return sent + unsent


def resume_command(
    batch: Batch,
    max_cost: Annotated[str | None, typer.Option(metavar="USD", help="The budget from now on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a paused or stopped batch, with another budget if one is named."""
    with open_terminal(as_json=as_json) as terminal:
        limit = None if max_cost is None else read_limit(max_cost, what="--max-cost")
        with opened() as site:
            found = status.find(site.resources, batch, user_id=site.settings.user)
            after, said = resume(site.resources, found, user=site.settings.user, limit=limit)
            terminal.document(after.as_json())
            terminal.note(said)


def cancel_command(batch: Batch, as_json: AsJson = False) -> None:
    """Stop a batch for good; what is at a provider runs to the provider's last word, and is paid."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = status.find(site.resources, batch, user_id=site.settings.user)
        done, said = cancel(site.resources, found, user=site.settings.user)
        terminal.document({**done.status.as_json(), "asked": done.asked, "running": done.running})
        terminal.note(said)


def priority_command(
    batch: Batch,
    share: Annotated[int, typer.Argument(metavar="N", min=1, max=100, help="2 gets twice of 1.")],
    as_json: AsJson = False,
) -> None:
    """Give a batch another share of the lanes; it holds from the next attempt on."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        found = status.find(site.resources, batch, user_id=site.settings.user)
        after = batch_control.set_priority(site.resources, found.batch.id, priority=share)
        _note(site, found.batch.id, "priority", {"priority": share})
        terminal.document({**after.as_json(), "priority": after.batch.priority, "was": found.batch.priority})
        was = "as before" if found.batch.priority == share else f"{found.batch.priority} before"
        terminal.note(f"batch {after.batch.name!r} has priority {share} ({was})")


def budget_command(
    batch: Batch,
    budget: Annotated[str, typer.Argument(metavar="USD", help="The budget from now on, or `none`.")],
    as_json: AsJson = False,
) -> None:
    """Give a batch another budget; a smaller one stops further attempts and takes nothing back.

    A batch that its budget had stopped goes on where the new one allows it; one that a person paused stays paused.
    """
    with open_terminal(as_json=as_json) as terminal:
        limit = None if budget.casefold() == "none" else read_limit(budget, what="the budget")
        with opened() as site:
            found = status.find(site.resources, batch, user_id=site.settings.user)
            after = found
            if limit != found.batch.limit_usd or (limit is None and found.batch.stopped_reason is not None):
                after = batch_control.set_budget(site.resources, found.batch.id, limit_usd=limit)
                _note(site, found.batch.id, "budget", {"limitUsd": show(limit)})
            terminal.document({**after.as_json(), "was_usd": show(found.batch.limit_usd)})
            had = "no limit" if found.batch.limit_usd is None else f"{show(found.batch.limit_usd)} USD"
            has = "no limit" if limit is None else f"{show(limit)} USD, {show(after.remaining_usd)} left"
            terminal.note(f"batch {after.batch.name!r} has {has} (before: {had})")


def retry_command(
    batch: Batch,
    state: Annotated[list[Retriable] | None, typer.Option(help="Which ones; may be repeated.")] = None,
    reason: Annotated[str | None, typer.Option(metavar="CODE", help="Only what failed with this code.")] = None,
    max_tries: MaxTries = None,
    escalate: Escalate = None,
    new_pictures: Annotated[
        bool, typer.Option("--new-pictures", help="Also where the stored pictures could be checked again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Queue failed generations again; each new attempt may be charged.

    Where only the check has failed, the stored pictures are checked again instead, at no cost.

    With --max-tries or --escalate, rejected ones go on with the next step up instead, as a batch does that had this
    policy from its beginning.
    """
    with open_terminal(as_json=as_json) as terminal:
        said = policy_of(max_tries, escalate)
        if said and (reason is not None or set(state or [Retriable.REJECTED]) != {Retriable.REJECTED}):
            raise BadInput("--max-tries and --escalate are for rejected ones; leave --reason and other states out")
        if said and new_pictures:
            raise BadInput("--max-tries and --escalate make new pictures anyway; leave --new-pictures out")
        with opened() as site:
            found = status.find(site.resources, batch, user_id=site.settings.user).batch.id
            if said:
                done = batch_control.try_further(site.resources, found, said=said)
            else:
                wanted = [GenerationState(one) for one in state or [Retriable.FAILED]]
                done = batch_control.retry(site.resources, found, states=wanted, reason=reason, anew=new_pictures)
            _note(site, found, "retried", {"states": state or ["failed"], "queued": done.queued, "reason": reason})
        _say_retried(terminal, done)


def _say_retried(terminal: Terminal, done: batch_control.Retried) -> None:
    told = {"retried": done.queued, "checked_again": done.checked, "nothing_left": done.left}
    terminal.document({**done.status.as_json(), **told})
    checked = f"; of {done.checked:,} the stored pictures are checked again, at no cost" if done.checked else ""
    left = f"; for {done.left:,} nothing is left to try" if done.left else ""
    terminal.note(f"batch {done.status.batch.name!r}: {done.queued:,} generations are queued again{checked}{left}")
