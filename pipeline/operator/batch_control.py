"""What a person does to a whole batch: pause, resume, cancel, retry. Each is committed before anything is admitted."""

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
from pipeline.attempts import closed_loop
from pipeline.attempts.admit import admit_everywhere
from pipeline.resources import Resources
from pipeline.views.status import BatchStatus, of_batch

#: Final states from which a person may send a generation back into the queue.
RETRIED = (GenerationState.FAILED, GenerationState.REJECTED, GenerationState.CANCELED)


def pause(resources: Resources, batch_id: BatchId, *, reason: str) -> BatchStatus:
    """Send nothing more of the batch: what was admitted goes back to the queue, what is at a provider runs on.

    A batch already paused keeps its reason.
    """
    with resources.database.transaction() as connection:
        batches.pause(connection, batch_id, reason=reason)
    return of_batch(resources, batch_id)


def resume(resources: Resources, batch_id: BatchId, *, limit_usd: Decimal | None = None) -> BatchStatus:
    """Go on with a paused or stopped batch.

    Args:
        limit_usd: the new budget, or None to keep the one it has.

    Raises:
        LimitTooSmall: the new budget leaves nothing over what is spent and set aside.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Canceled:
    """What a cancel did.

    Args:
        asked: generations that were not final.
        running: those of them that are at a provider, and end with its last word.
    """

    asked: int
    running: int
    status: BatchStatus


def cancel(resources: Resources, batch_id: BatchId) -> Canceled:
    """Ask all that is not final to stop; what waits, or was admitted and not yet claimed, is canceled at once.

    What is at a provider is looked at next: the sweep asks the provider to stop it, where its wire has such a call.
    """
    with resources.database.transaction() as connection:
        asked = by_person.request_cancel(connection, batch_id)
    with resources.database.transaction() as connection:
        by_person.cancel_admitted(connection)
    with resources.database.transaction() as connection:
        by_person.hasten_cancelled(connection)
    after = of_batch(resources, batch_id)
    return Canceled(asked=asked, running=after.standing.unfinished, status=after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What a retry did.

    Args:
        queued: generations that wait again.
        checked: generations whose stored pictures are checked again, at no cost.
        left: rejected ones for which the policy of further tries has nothing left.
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
    """Put final generations back into the queue; each may be charged again.

    Where only the check has failed, the stored pictures are checked again instead.

    Args:
        states: some of `RETRIED`.
        reason: only what failed with this code.
        anew: make new pictures also where the stored ones could be checked again.

    Raises:
        UnknownThing: nothing failed with that code; the sentence names the codes there are.
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
        for work in works:
            resources.dispatch.validate(attempt_id=work.attempt_id, generation_id=work.generation_id)
        checked += len(works)


def try_further(resources: Resources, batch_id: BatchId, *, said: Mapping[str, Any]) -> Retried:
    """Let the rejected generations of a batch go on by a policy of further tries, step by step; each may be charged.

    Args:
        said: as `domain.escalation.wishes` writes it; it stays the batch's policy.
    """
    with resources.database.transaction() as connection:
        batches.get(connection, batch_id)
        batches.set_try_policy(connection, batch_id, said)
    queued, left = closed_loop.take_up(resources, batch_id)
    admit_everywhere(resources)
    return Retried(queued=queued, left=left, status=of_batch(resources, batch_id))
