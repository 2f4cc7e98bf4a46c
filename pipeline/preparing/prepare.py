"""Prepare one generation: stage by stage to its prompt, and then into the queue.

A message twice, late or for a generation that has moved on does nothing. A worker that dies leaves the records of the
stages that it finished; the next one goes on behind them.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from db.moves import preparation
from db.moves.preparation import Claimed
from db.reads.work import Lease
from domain.errors import LikenessError, LostRace
from domain.ids import GenerationId
from domain.preparation import OFF, Added, Known, Place
from pipeline.attempts.admit import admit
from pipeline.attempts.outcome import Again
from pipeline.attempts.rescue import Poison
from pipeline.preparing import request
from pipeline.preparing.elsewhere import Elsewhere
from pipeline.preparing.stages import STAGES, Stage
from pipeline.resources import Resources

log = logging.getLogger(__name__)

#: Generations that are published for preparation at any time; the others wait in Postgres.
_AT_ONCE: Final = 200
#: Analyses queue on the device, so that a message may wait for longer than those of attempts.
_AGAIN_AFTER: Final = 3
#: Of a batch, so many may wait in the queue for the model that was chosen for them: twice the jobs of a lane.
_ROUTED_AHEAD: Final = 20
_TRIES: Final = 4
_FIRST_WAIT_S: Final = 2.0

_Records: TypeAlias = list[Mapping[str, Any]]


def publish_waiting(resources: Resources) -> int:
    """Tell workers of what waits to be prepared: after a commit, and with every tick; returns how many."""
    with resources.database.transaction() as connection:
        older_than = _AGAIN_AFTER * resources.timing.unclaimed
        found = [
            *preparation.publish(connection, older_than=older_than, at_once=_AT_ONCE),
            *preparation.publish_routed(connection, older_than=older_than, ahead=_ROUTED_AHEAD),
        ]
    with resources.dispatch.together():
        for generation_id, place in found:
            resources.dispatch.prepare(generation_id=generation_id, place=place)
    return len(found)


def prepare(resources: Resources, generation_id: GenerationId) -> Again | None:
    """Carry a generation through the stages that this process can run, and hand it over or queue it."""
    lease = resources.leases.new()
    with resources.database.transaction() as connection:
        claimed = preparation.claim(connection, generation_id, lease=lease)
    if claimed is None:
        return None
    resources.fault_points.reach("prepare.claimed")
    with suppress(LostRace), resources.leases.held(lease):
        return _work_on(resources, claimed, lease)
    log.info("generation %s is not prepared here any more", generation_id)
    return None


def _work_on(resources: Resources, claimed: Claimed, lease: Lease) -> Again | None:
    known = claimed.known
    if claimed.deaths > resources.timing.deaths_alone:
        poison = Poison(f"{claimed.deaths} workers died while preparing this generation")
        _fail(resources, known, lease, [], poison)
        return None
    off: _Records = []  # of stages that are off, written with whatever is written next: each commit is a wait
    try:
        for stage in STAGES[known.stages :]:
            place = stage.place(known)
            if place is not None and place not in _places(resources):
                _hand_over(resources, known, lease, off, place=place)
                return None
            try:
                known = _done(resources, known, lease, stage, off, is_off=place is None)
            except Elsewhere as wanted:
                _hand_over(resources, known, lease, off, place=wanted.place)
                return None
        ready = request.ready(resources, known)
    except LikenessError as failure:
        if isinstance(failure, LostRace):
            raise
        return _failed(resources, claimed, known, lease, off, failure=failure)
    with resources.database.transaction() as connection:
        preparation.record(connection, known.generation_id, token=lease.token, records=off)
        preparation.queue(connection, known.generation_id, token=lease.token, ready=ready)
    resources.fault_points.reach("prepare.queued")
    admit(resources, ready.provider)
    return None


def _places(resources: Resources) -> Sequence[Place]:
    """What this process has for stages."""
    return (Place.ANY, Place.IO if resources.scorer is None else Place.GPU)


def _done(resources: Resources, known: Known, lease: Lease, stage: Stage, off: _Records, *, is_off: bool) -> Known:
    """Run a stage and write its record behind those of `off`; that of a stage that is off joins them."""
    started_at, began = datetime.now(UTC), time.monotonic()
    added: Added = OFF if is_off else stage.run(resources, known)
    record = added.record(stage.name, started_at=started_at, took_s=time.monotonic() - began)
    off.append(record)
    if not is_off:
        with resources.database.transaction() as connection:
            preparation.record(connection, known.generation_id, token=lease.token, records=off)
        off.clear()
        resources.fault_points.reach("prepare.recorded")
    return known.having(record["added"])


def _hand_over(resources: Resources, known: Known, lease: Lease, off: _Records, *, place: Place) -> None:
    with resources.database.transaction() as connection:
        preparation.record(connection, known.generation_id, token=lease.token, records=off)
        preparation.hand_over(connection, known.generation_id, token=lease.token, place=place, wait=timedelta(0))
    resources.fault_points.reach("prepare.handed_over")
    resources.dispatch.prepare(generation_id=known.generation_id, place=place)


def _failed(
    resources: Resources, claimed: Claimed, known: Known, lease: Lease, off: _Records, *, failure: LikenessError
) -> Again | None:
    """Again after a while where that may help, and else the end of the generation: nothing was paid for a picture."""
    again = claimed.tries if known.stages == claimed.known.stages else 1
    if not failure.retryable or again >= _TRIES:
        _fail(resources, known, lease, off, failure)
        return None
    wait = timedelta(seconds=_FIRST_WAIT_S * 2**again * (0.5 + resources.jitter() / 2))
    log.warning(
        "preparing generation %s is tried again in %.1f s: %s", known.generation_id, wait.total_seconds(), failure
    )
    place = Place.ANY if known.stages == len(STAGES) else STAGES[known.stages].place(known) or Place.ANY
    with resources.database.transaction() as connection:
        preparation.record(connection, known.generation_id, token=lease.token, records=off)
        preparation.hand_over(connection, known.generation_id, token=lease.token, place=place, wait=wait)
    return Again(wait)


def _fail(resources: Resources, known: Known, lease: Lease, off: _Records, failure: LikenessError) -> None:
    log.warning("generation %s gets no prompt: %s", known.generation_id, failure)
    with resources.database.transaction() as connection:
        preparation.record(connection, known.generation_id, token=lease.token, records=off)
        preparation.fail(connection, known.generation_id, token=lease.token, failure=failure)
