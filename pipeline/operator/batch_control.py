"""Pause, resume, cancel and retry whole batches. Each change is committed before anything is admitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from db.moves import by_person
from db.records import batches
from domain.errors import LimitTooSmall, UnknownThing
from domain.ids import BatchId
from domain.money import show
from domain.states import GenerationState
from pipeline.attempts.admit import admit_everywhere
from pipeline.requests import closed_loop
from pipeline.resources import Resources
from pipeline.views.status import BatchStatus, of_batch

#: Final states from which a user may requeue a generation.
RETRIED = (GenerationState.FAILED, GenerationState.REJECTED, GenerationState.CANCELED)


def pause(resources: Resources, batch_id: BatchId, *, reason: str) -> BatchStatus:
    """Submit nothing more of the batch: admitted generations are requeued, jobs at a provider run on.

    A batch that is paused already keeps its reason.
    """
    with resources.database.transaction() as connection:
        batches.pause(connection, batch_id, reason=reason)
    return of_batch(resources, batch_id)


def resume(resources: Resources, batch_id: BatchId, *, limit_usd: Decimal | None = None) -> BatchStatus:
    """Continue a paused or stopped batch.

    Args:
        limit_usd: the new budget; None keeps the old one.

    Raises:
        LimitTooSmall: the new budget is already used up by charges and holds.
    """
    with resources.database.transaction() as connection:
        batch = batches.get(connection, batch_id)
        used = batch.charged_usd + batch.held_usd + batch.in_doubt_usd
        if limit_usd is not None and limit_usd <= used:
            raise LimitTooSmall(
                f"{show(used)} USD of batch {batch.name!r} are spent or set aside already;"
                f" a budget of {show(limit_usd)} USD leaves nothing"
            )
        if limit_usd is not None:
            batches.set_limit(connection, batch_id, limit_usd)
        batches.resume(connection, batch_id)
    admit_everywhere(resources)
    return of_batch(resources, batch_id)


def set_budget(resources: Resources, batch_id: BatchId, *, limit_usd: Decimal | None) -> BatchStatus:
    """Give the batch another budget, or none; a batch that a person paused stays paused.

    One below what is spent and set aside stops further attempts and takes nothing back.
    """
    with resources.database.transaction() as connection:
        batches.set_limit(connection, batch_id, limit_usd)
    admit_everywhere(resources)
    return of_batch(resources, batch_id)


def set_priority(resources: Resources, batch_id: BatchId, *, priority: int) -> BatchStatus:
    """Give the batch another share of the lanes, from its next attempt on; what is admitted stays so."""
    with resources.database.transaction() as connection:
        batches.set_priority(connection, batch_id, priority)
    admit_everywhere(resources)
    return of_batch(resources, batch_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled:
    """The result of a cancel.

    Args:
        asked: generations that were not final.
        running: those at a provider, which end when the provider reports the end of their job.
        finishing: calls at a provider that finish pictures, which end in the same way.
    """

    asked: int
    running: int
    finishing: int
    status: BatchStatus


def cancel(resources: Resources, batch_id: BatchId) -> Canceled:
    """Cancel every generation that is not final, and every wish to finish a picture; what is not claimed ends at once.

    Jobs at a provider become due for polling, and the sweep asks the provider to stop them where it has such a call.
    """
    with resources.database.transaction() as connection:
        asked = by_person.request_cancel(connection, batch_id)
    with resources.database.transaction() as connection:
        by_person.cancel_admitted(connection)
    with resources.database.transaction() as connection:
        by_person.hasten_cancelled(connection)
    after = of_batch(resources, batch_id)
    progress = after.progress
    return Canceled(asked=asked, running=progress.unfinished, finishing=progress.finishing, status=after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """The result of a retry.

    Args:
        queued: generations that were requeued.
        checked: generations whose stored pictures are checked again, at no cost.
        left: rejected generations whose try policy is exhausted.
    """

    queued: int
    checked: int = 0
    left: int = 0
    status: BatchStatus


def retry(
    resources: Resources,
    batch_id: BatchId,
    *,
    states: Sequence[GenerationState],
    reason: str | None = None,
    anew: bool = False,
) -> Retried:
    """Requeue final generations; each may be charged again.

    Where only the check failed, the stored pictures are checked again instead.

    Args:
        states: some of `RETRIED`.
        reason: only failures with this code.
        anew: make new pictures even where the stored ones could be checked again.

    Raises:
        UnknownThing: nothing failed with that code; the message names the codes that occur.
    """
    with resources.database.transaction() as connection:
        if reason is not None and reason not in (known := by_person.reasons(connection, batch_id)):
            there = ", ".join(f"{code} ({number})" for code, number in sorted(known.items()))
            raise UnknownThing(f"nothing failed with {reason!r}; {f'there are {there}' if there else 'nothing failed'}")
    checked = 0 if anew or GenerationState.FAILED not in states else _check_again(resources, batch_id, reason=reason)
    with resources.database.transaction() as connection:
        queued = by_person.retry(connection, batch_id, states=states, reason=reason, anew=anew)
    admit_everywhere(resources)
    return Retried(queued=queued, checked=checked, status=of_batch(resources, batch_id))


def _check_again(resources: Resources, batch_id: BatchId, *, reason: str | None) -> int:
    checked = 0
    while True:
        with resources.database.transaction() as connection:
            works = by_person.check_again(connection, batch_id, reason=reason)
        if not works:
            return checked
        with resources.dispatch.together():
            for work in works:
                resources.dispatch.validate(attempt_id=work.attempt_id, generation_id=work.generation_id)
        checked += len(works)


def try_further(resources: Resources, batch_id: BatchId, *, said: Mapping[str, Any]) -> Retried:
    """Continue the rejected generations of a batch by a policy of further tries; each may be charged again.

    Args:
        said: as `domain.escalation.try_policy_of` writes it; it becomes the batch's policy.
    """
    with resources.database.transaction() as connection:
        batches.get(connection, batch_id)
        batches.set_try_policy(connection, batch_id, said)
    queued, left = closed_loop.take_up(resources, batch_id)
    admit_everywhere(resources)
    return Retried(queued=queued, left=left, status=of_batch(resources, batch_id))
