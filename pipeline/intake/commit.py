"""Commit a plan: its batch and its rows in one transaction, all or none; what fits is admitted in the same call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from db.incoming.bulk_copy import copy_new
from db.incoming.laid_out import LaidOut
from db.incoming.write_ahead import WriteAhead
from db.records import acts, batches, reference_contents
from db.records.batches import Enqueued
from domain.access import Actor
from domain.escalation import DEFAULT_STEPS, Escalation, try_policy_of
from domain.ids import BatchId
from domain.money import show
from domain.routing import Routing
from pipeline.attempts.admit import admit
from pipeline.intake import live_models
from pipeline.intake.order import Order
from pipeline.intake.plan import Plan
from pipeline.preparing.prepare import publish_waiting
from pipeline.resources import Resources

__all__ = ["Enqueued", "commit", "writing_ahead"]


def commit(resources: Resources, plan: Plan) -> Enqueued:
    """Ask the services about their models, write the batch and its generations in one transaction, admit what fits.

    Raises:
        BadInput, ModelRetired: what the services say forbids it; nothing is written.
        LostRace: the batch was made meanwhile, by another key.
    """
    order, began = plan.order, resources.traces.now()
    warnings = live_models.check(resources, plan.drafts, on=datetime.now(UTC).date())
    if order.pictures is not None:
        order.pictures.keep(resources)
    plan.inputs.keep(resources)
    ahead = None if plan.ahead is None else plan.ahead.finish(_lines(plan), plan.repeats)
    with resources.database.transaction() if ahead is None else ahead.transaction() as connection:
        if ahead is not None:
            batch_id, written = ahead.batch_id, Enqueued(batch_id=ahead.batch_id, new=ahead.total, known=0, vanished=[])
        else:
            batch_id, made = batches.open_batch(connection, plan.batch)
            user_id, lines, repeats = order.user_id, _lines(plan), plan.repeats
            if made:
                # Nobody else can have written a row, so the lines go straight to where they belong.
                new = copy_new(connection, batch_id, user_id=user_id, lines=lines, repeats=repeats)
                written = Enqueued(batch_id=batch_id, new=new, known=0, vanished=[])
            else:
                batches.require_key(connection, batch_id, order.key_id)
                beside = LaidOut(connection, batch_id, user_id=user_id, lines=lines, repeats=repeats)
                written = _add(beside, batch_id, plan)
        reference_contents.keep(connection, batch_id, plan.looks.contents)
        batches.amend(connection, batch_id, priority=order.priority, limit_usd=order.limit_usd)
        if policy := _policy_of(order):
            batches.set_try_policy(connection, batch_id, policy)
        # Last, since it locks the batch's row as the budget does.
        by, detail = order.by or Actor(name=order.user_id), {"new": written.new, "limitUsd": show(order.limit_usd)}
        acts.note(connection, team=order.team, by=by, act="enqueued", batch_id=batch_id, detail=detail)
    resources.traces.batch(batch_id, rows=written.new, since=began)
    if plan.prepares:
        publish_waiting(resources)
    for provider in plan.providers:
        admit(resources, provider)
    return replace(written, warnings=warnings)


@contextmanager
def writing_ahead(resources: Resources, *, at_once: bool = True) -> Iterator[WriteAhead | None]:
    """Write the rows of a new batch while `prepare` still checks later ones.

    Nobody sees them before the plan is committed. What is not committed when the block ends is undone.

    Args:
        at_once: False where the plan is shown or looked at by others first, for which no transaction should wait.
    """
    if not at_once:
        yield None
        return
    ahead = WriteAhead(resources.database)
    try:
        yield ahead
    finally:
        ahead.give_up()


def _lines(plan: Plan) -> Iterator[str]:
    return (line for _, line in plan.lines)


def _add(laid_out: LaidOut, batch_id: BatchId, plan: Plan) -> Enqueued:
    """Add what the batch does not have; what it has in another way stays, unless it is to be made again.

    What it has under another link to the same reference is known.
    """
    vanished = [
        (one.position, one.prompt)
        for one in (laid_out.vanished() if plan.order.whole_file else ())
        if one.id not in plan.changed.generations | plan.renewed.generations
    ]
    laid_out.pass_over(plan.passed_over)
    new = laid_out.insert()
    changed = 0 if plan.order.redo else len(plan.changed)
    return Enqueued(
        batch_id=batch_id, new=new, known=laid_out.total - new - changed, changed=changed, vanished=vanished
    )


def _policy_of(order: Order) -> dict[str, Any]:
    """The most that one call may cost holds for further tries too."""
    policy = try_policy_of(max_image_cost=order.max_image_cost) | dict(order.try_policy)
    if Routing.of(order.model) is not None and "max_tries" in policy and "escalate" not in policy:
        # Who leaves the model to the product leaves that of a further try to it too.
        policy |= try_policy_of(escalate=(Escalation.MODEL, *DEFAULT_STEPS))
    return policy
