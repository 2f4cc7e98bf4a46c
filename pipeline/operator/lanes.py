"""List lanes, and change their limits, close and open them; who did so is written down as an act of the local team."""

from datetime import UTC, datetime, timedelta

from db.records import acts, lanes
from db.records.lanes import LaneRow
from domain.access import LOCAL_TEAM
from domain.errors import UnknownThing
from domain.ids import BatchId
from domain.rates import per_second
from pipeline.resources import Resources

__all__ = [
    "LaneRow",
    "blocking_lanes",
    "close",
    "list_lanes",
    "rate_limit",
    "reopen",
    "set_concurrency",
    "set_rate_limit",
]

#: A user closes a lane until further notice, written as a date in the far future.
_FOR_GOOD = timedelta(days=3650)


def list_lanes(resources: Resources) -> list[LaneRow]:
    with resources.database.transaction() as connection:
        return lanes.list_lanes(connection)


def blocking_lanes(resources: Resources, batch_id: BatchId) -> list[LaneRow]:
    """The closed lanes that generations of the batch wait for; none of a provider that has another lane open."""
    with resources.database.transaction() as connection:
        providers = lanes.waited_for(connection, batch_id)
        rows = [row for row in lanes.list_lanes(connection) if row.provider in providers]
    now = datetime.now(UTC)
    going = {row.provider for row in rows if not row.is_closed(now)}
    return [row for row in rows if row.provider not in going]


def rate_limit(resources: Resources, lane: str) -> str | None:
    """The limit in the lane's row; None and `0` mean none.

    Raises:
        UnknownThing: no such lane. The token bucket then holds tasks back: an unknown limit is not "no limit".
    """
    with resources.database.transaction() as connection:
        limits = lanes.rate_limits(connection)
    if lane not in limits:
        raise UnknownThing(f"there is no lane {lane!r}")
    return limits[lane]


def set_rate_limit(resources: Resources, lane: str, limit: str, *, by: str | None = None) -> None:
    """Set a lane's rate limit; every worker reads it within about two seconds.

    Args:
        by: who does so; None where nobody is to be named.

    Raises:
        BadInput: not a rate.
        UnknownThing: no such lane.
    """
    per_second(limit)
    with resources.database.transaction() as connection:
        before = _known(lanes.list_lanes(connection), lane)
        lanes.set_rate_limit(connection, lane, limit)
        # Flower tells every worker, and only the first of them changes something.
        if by is not None and before.rate_limit != limit:
            acts.note_change(
                connection, team=LOCAL_TEAM, by=by, act="lane limited", detail={"lane": lane, "rate": limit}
            )


def set_concurrency(resources: Resources, lane: str, concurrency: int, *, by: str | None = None) -> None:
    with resources.database.transaction() as connection:
        _known(lanes.list_lanes(connection), lane)
        lanes.set_concurrency(connection, lane, concurrency)
        if by is not None:
            acts.note_change(
                connection,
                team=LOCAL_TEAM,
                by=by,
                act="lane limited",
                detail={"lane": lane, "concurrency": concurrency},
            )


def close(resources: Resources, lane: str, *, reason: str, by: str | None = None) -> None:
    """Close the lane until a user opens it."""
    with resources.database.transaction() as connection:
        _known(lanes.list_lanes(connection), lane)
        lanes.close(connection, lane, reason=reason, wait=_FOR_GOOD)
        if by is not None:
            acts.note_change(
                connection, team=LOCAL_TEAM, by=by, act="lane closed", detail={"lane": lane, "reason": reason}
            )


def reopen(resources: Resources, lane: str, *, by: str | None = None) -> None:
    """Open the lane, whatever closed it; the limit on illegal prompts still holds.

    Raises:
        UnknownThing: no such lane.
    """
    # Brings the services' clients along, which looking at lanes can do without.
    from pipeline.attempts import illegal_prompts

    with resources.database.transaction() as connection:
        lanes.reopen(connection, lane)
        if by is not None:
            acts.note_change(connection, team=LOCAL_TEAM, by=by, act="lane opened", detail={"lane": lane})
        (provider,) = (row.provider for row in lanes.list_lanes(connection) if row.name == lane)
    illegal_prompts.close_if_still_full(resources, lane, provider=provider)


def _known(rows: list[LaneRow], lane: str) -> LaneRow:
    found = next((row for row in rows if row.name == lane), None)
    if found is None:
        raise UnknownThing(f"there is no lane {lane!r}; there are {', '.join(row.name for row in rows) or 'none yet'}")
    return found
