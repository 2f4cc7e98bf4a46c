"""Hold a claim while a step works: its lease, a race that is lost meanwhile, a database that goes away meanwhile.

Every step that claims does it here, so that what a lost lease or a lost database means is written once.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, TypeVar

from db.moves import collection
from db.moves.rows import hand_back
from db.reads.work import Lease
from db.session import DatabaseAway
from domain.disposition import Facts, Step, disposition
from domain.errors import LostRace
from domain.ids import AttemptId
from pipeline.attempts.outcome import Again
from pipeline.resources import Resources

log = logging.getLogger(__name__)

#: For what this process alone knows, while Postgres is away.
KEEP_TRYING_S: Final = 60.0

_Taken = TypeVar("_Taken")


@dataclass(slots=True, kw_only=True)
class Claim(Generic[_Taken]):
    """A claim while it is worked on.

    Args:
        taken: what was claimed; None where there is nothing to do, or nobody knows whether the claim stands.
        again: what the step tells its task; set by the step, or by what ended it.
    """

    lease: Lease
    taken: _Taken | None = None
    again: Again | None = None


#: What to do where Postgres went away under a claim; may raise it again.
WhenAway = Callable[[Claim[_Taken], DatabaseAway], Again | None]


@contextmanager
def claimed(
    resources: Resources, take: Callable[[Lease], _Taken | None], *, when_away: WhenAway[_Taken]
) -> Iterator[Claim[_Taken]]:
    """Claim by `take`, keep the lease alive inside the block, and end quietly when the claim was lost meanwhile.

    Args:
        take: claims under the lease, in a transaction of its own.
        when_away: called with the claim as it stood when Postgres went away.
    """
    claim = Claim[_Taken](lease=resources.leases.new())
    try:
        claim.taken = take(claim.lease)
        if claim.taken is None:
            yield claim
            return
        with resources.leases.held(claim.lease):
            yield claim
    except LostRace as race:
        log.info("a claim was lost meanwhile: %s", race)
        claim.again = None
        if claim.taken is None:
            yield claim
    except DatabaseAway as away:
        unknown = claim.taken is None
        claim.again = when_away(claim, away)
        if unknown:
            yield claim


def passing_the_gate(
    resources: Resources,
    attempt_id: AttemptId,
    step: Step,
    *,
    claim: Callable[[Lease], _Taken | None],
    claim_alone: Callable[[Lease], _Taken | None],
    work_on: Callable[[_Taken, Lease], Again | None],
) -> Again | None:
    """Claim a paid attempt and work on it; one over whose step a worker has died, with nothing else beside it.

    Args:
        claim: takes only an attempt over whose present step nobody has died.
        claim_alone: takes any.
    """
    when_away: WhenAway[_Taken] = releasing(resources, attempt_id, step)
    with resources.poison_gate.passed(alone=False), claimed(resources, claim, when_away=when_away) as together:
        if together.taken is not None:
            together.again = work_on(together.taken, together.lease)
    if together.taken is not None or together.again is not None:
        return together.again
    with resources.database.transaction() as connection:
        deaths = collection.deaths(connection, attempt_id)
    with (
        resources.poison_gate.passed(alone=deaths > 0),
        claimed(resources, claim_alone, when_away=when_away) as alone,
    ):
        if alone.taken is not None:
            alone.again = work_on(alone.taken, alone.lease)
    return alone.again


def releasing(resources: Resources, attempt_id: AttemptId, step: Step) -> WhenAway[_Taken]:
    """Release the attempt as soon as Postgres answers again: its worker lives, so that no death may be counted."""
    return partial(_release, resources, attempt_id, step)


def _release(
    resources: Resources, attempt_id: AttemptId, step: Step, claim: Claim[_Taken], away: DatabaseAway
) -> Again:
    """Release a claimed attempt; the same step again after a moment.

    A lease that is left to run out counts as a death, and three of them end a paid attempt as poison. Harmless where
    the claim never stood, or where what the step had written was committed and only the answer got lost.

    Raises:
        DatabaseAway: it stays away for longer than anybody waits here; rescue takes over.
    """
    log.warning("attempt %s is released: %s", attempt_id, away)
    decided = disposition(away, Facts(step=step))
    assert decided.wait is not None
    wait = decided.wait
    resources.database.insist(
        lambda connection: hand_back(connection, attempt_id, token=claim.lease.token, failure=away, wait=wait),
        seconds=KEEP_TRYING_S,
    )
    return Again(wait)
