"""Give out free places, then publish: called by the producer, by a sweep that freed a place, and by every tick."""

from db.moves import admission
from db.records import lanes
from domain.rates import places_within
from pipeline.attempts import illegal_prompts
from pipeline.resources import Resources
from providers.registry import WORDS


def admit(resources: Resources, provider: str) -> int:
    """Admit what fits on the lanes of `provider`; returns how many tasks were published."""
    began = resources.traces.now()
    ahead = resources.timing.ahead.total_seconds()
    with resources.database.transaction() as connection:
        rows = lanes.limits_of(connection, provider)
        by_rate = {row.name: places_within(row.rate_limit, seconds=ahead, at_most=row.concurrency) for row in rows}
        most = illegal_prompts.most_at_risk(resources, provider)
        admitted = admission.admit(connection, provider, places_by_rate=by_rate, most_at_risk=most)
    if admitted:
        resources.fault_points.reach("admit.committed")
    with resources.dispatch.together():
        for one in admitted:
            if one.first:
                resources.traces.enqueued(one)
            with resources.traces.step("admit", one, since=began):
                resources.dispatch.submit(lane=one.lane, attempt_id=one.attempt_id, generation_id=one.generation_id)
    return len(admitted)


def admit_everywhere(resources: Resources) -> int:
    """One tick: every provider that has a lane."""
    with resources.database.transaction() as connection:
        providers = lanes.providers(connection)
    return sum(admit(resources, provider) for provider in providers if provider != WORDS)
