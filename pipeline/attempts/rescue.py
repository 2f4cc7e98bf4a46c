"""Take over from the dead: what nobody works on any more is put where somebody finds it."""

import logging

from db.moves import by_person, rescue, words
from db.reads.work import Work
from db.records import lanes
from domain.disposition import Step
from domain.errors import LostRace, ScorerError
from domain.rates import time_for
from domain.states import AttemptState
from pipeline.attempts import failures, webhooks
from pipeline.resources import Resources

log = logging.getLogger(__name__)

#: Published again in one round and for one queue.
_MOST = 500
#: A submission may wait so many times as long as its lane's limit lets it wait before its message counts as lost.
_PATIENCE = 1.5


class Poison(ScorerError):
    """A step that killed every worker that took it."""


def take_over(resources: Resources) -> int:
    """One round of rescue; returns how many attempts were put back on their way."""
    with resources.database.transaction() as connection:
        timing = resources.timing
        doubted = rescue.doubt_the_silent(connection, call_total=timing.call_total, by_lane=timing.call_totals)
    with resources.database.transaction() as connection:
        buried = rescue.bury(connection)
    if buried:
        resources.fault_points.reach("rescue.buried")
    for work in buried:
        log.warning("attempt %s was left %s by a worker that died (%d)", work.attempt_id, work.state, work.deaths)
        # The first death may be any step's fault; after it nothing else of its kind runs beside it. A sweep or a
        # submission of the same process may, which is why more than one further death is asked for.
        if work.deaths > resources.timing.deaths_alone and work.state is not AttemptState.GENERATING:
            _poison(resources, work)
    with resources.database.transaction() as connection:
        canceled = by_person.cancel_admitted(connection)
    # In a transaction of its own: everywhere else the row of a lane is locked before any other.
    with resources.database.transaction() as connection:
        lanes.forget_past_closures(connection)
    with resources.database.transaction() as connection:
        for attempt_id in words.settle_overdue(connection, older_than=timing.words_doubt):
            log.warning("the doubt about call %s is settled by its deadline, at the most it can have cost", attempt_id)
    webhooks.forget(resources)
    late = _without_a_message(resources)
    with resources.dispatch.together():
        for work in late:
            _publish(resources, work)
    if late:
        resources.fault_points.reach("rescue.published")
    rescued = len(doubted) + len(buried) + len(canceled) + len(late)
    resources.measures.rescued(rescued)
    return rescued


def _without_a_message(resources: Resources) -> list[Work]:
    """Attempts whose message is lost: those that have waited longest, as many as wait without one.

    What merely stands in a long queue must not be sent again and again. A message that a worker holds and has not begun
    is missing in the queue, so that a few attempts get a second one, which does nothing but take a token: those that a
    worker holds until a slow lane lets them go are left alone, or each copy would make the next attempt wait longer.
    """
    unclaimed, late = resources.timing.unclaimed, list[Work]()
    with resources.database.transaction() as connection:
        places = rescue.waiting(connection, older_than=unclaimed)
    for place in places:
        older_than = max(unclaimed, _PATIENCE * time_for(place.number, limit=place.rate_limit))
        missing = place.number - resources.dispatch.waiting(place.state, place.lane)
        if missing > 0:
            with resources.database.transaction() as connection:
                late += rescue.unclaimed(connection, older_than=older_than, place=place, limit=min(missing, _MOST))
    return late


def _publish(resources: Resources, work: Work) -> None:
    dispatch = resources.dispatch
    match work.state:
        case AttemptState.ADMITTED:
            dispatch.submit(lane=work.lane, attempt_id=work.attempt_id, generation_id=work.generation_id)
        case AttemptState.COLLECTING:
            dispatch.collect(attempt_id=work.attempt_id, generation_id=work.generation_id)
        case AttemptState.VALIDATING:
            dispatch.validate(attempt_id=work.attempt_id, generation_id=work.generation_id)
        case _:
            log.error("attempt %s is %s and has no task to publish", work.attempt_id, work.state)


def _poison(resources: Resources, work: Work) -> None:
    step = "fetching" if work.state is AttemptState.COLLECTING else "checking"
    failure = Poison(
        f"{work.deaths} workers died while {step} the pictures of this attempt, all but the first time with nothing"
        " else of the kind beside it"
    )
    try:
        failures.settle(resources, work, failure, step=Step(work.state), token=None)
    except LostRace:
        log.info("attempt %s went on after all", work.attempt_id)
