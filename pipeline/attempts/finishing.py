"""Carry wishes to finish pictures into attempts: by every tick, on the places that pictures leave free.

From there on such an attempt goes the way of all others: submitted, polled, collected, checked, taken over.
"""

import logging
from collections import defaultdict

from db.moves import finishing as moves
from db.moves.finishing import NewCall
from db.records import finishings, lanes
from domain.errors import RequestError
from domain.finishing import FinishOutcome
from domain.rates import places_within
from pipeline.attempts import illegal_prompts
from pipeline.requests.finishing_calls import call_for
from pipeline.resources import Resources

log = logging.getLogger(__name__)

#: Looked at in one tick; the others wait for the next.
_AT_ONCE = 100


def admit_waiting(resources: Resources) -> int:
    """Admit what has a place and money; returns how many tasks were published."""
    with resources.database.transaction() as connection:
        wishes = finishings.waiting(connection, limit=_AT_ONCE)
    calls: dict[str, list[NewCall]] = defaultdict(list)
    for wish in wishes:
        try:
            provider, call = call_for(resources, wish)
        except RequestError as failure:
            outcome = FinishOutcome.FAILED if wish.accepted else FinishOutcome.CANCELED
            log.warning("generation %s is not finished: %s", wish.generation_id, failure)
            with resources.database.transaction() as connection:
                finishings.end(connection, wish.id, outcome, said=str(failure))
            continue
        calls[provider].append(call)
    return sum(_admit(resources, provider, some) for provider, some in calls.items())


def _admit(resources: Resources, provider: str, calls: list[NewCall]) -> int:
    began = resources.traces.now()
    ahead = resources.timing.ahead.total_seconds()
    with resources.database.transaction() as connection:
        rows = lanes.limits_of(connection, provider)
        by_rate = {row.name: places_within(row.rate_limit, seconds=ahead, at_most=row.concurrency) for row in rows}
        most = illegal_prompts.most_at_risk(resources, provider)
        admitted = moves.admit(connection, provider, calls, places_by_rate=by_rate, most_at_risk=most)
    if admitted:
        resources.fault_points.reach("finishing.admitted")
    for one in admitted:
        with resources.traces.step("admit", one, since=began):
            resources.dispatch.submit(lane=one.lane, attempt_id=one.attempt_id, generation_id=one.generation_id)
    return len(admitted)
