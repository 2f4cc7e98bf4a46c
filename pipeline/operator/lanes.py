"""What people and workers ask and say of lanes: limits, closures, what is in flight."""

from datetime import UTC, datetime, timedelta

from db.records import lanes
from db.records.lanes import LaneRow
from domain.errors import UnknownThing
from domain.ids import BatchId
from domain.rates import per_second
from pipeline.resources import Resources

__all__ = ["LaneRow", "close", "every", "holding_up", "rate_limit", "reopen", "set_concurrency", "set_rate_limit"]

#: A person closes a lane for good; a date far away says so in the same column as everything else.
_FOR_GOOD = timedelta(days=3650)


def every(resources: Resources) -> list[LaneRow]:
    with resources.database.transaction() as connection:
        return lanes.every(connection)


def holding_up(resources: Resources, batch_id: BatchId) -> list[LaneRow]:
    """The closed lanes for which generations of the batch wait; none of a provider that has another lane open."""
    with resources.database.transaction() as connection:
        providers = lanes.waited_for(connection, batch_id)
        rows = [row for row in lanes.every(connection) if row.provider in providers]
    now = datetime.now(UTC)
    going = {row.provider for row in rows if not row.is_closed(now)}
    return [row for row in rows if row.provider not in going]


def rate_limit(resources: Resources, lane: str) -> str | None:
    """The limit in the lane's row; None and `0` mean none.

    Raises:
        UnknownThing: no such lane. A bucket then holds, since no limit known is not no limit.
    """
    with resources.database.transaction() as connection:
        limits = lanes.rate_limits(connection)
    if lane not in limits:
        raise UnknownThing(f"there is no lane {lane!r}")
    return limits[lane]


def set_rate_limit(resources: Resources, lane: str, limit: str) -> None:
    """Every bucket of every worker reads the new limit within about two seconds.

    Raises:
        BadInput: not a rate.
        UnknownThing: no such lane.
    """
    per_second(limit)
    with resources.database.transaction() as connection:
        _known(lanes.every(connection), lane)
        lanes.set_rate_limit(connection, lane, limit)


def set_concurrency(resources: Resources, lane: str, concurrency: int) -> None:
    with resources.database.transaction() as connection:
        _known(lanes.every(connection), lane)
        lanes.set_concurrency(connection, lane, concurrency)


def close(resources: Resources, lane: str, *, reason: str) -> None:
    """A person closes the lane until a person opens it."""
    with resources.database.transaction() as connection:
        _known(lanes.every(connection), lane)
        lanes.close(connection, lane, reason=reason, wait=_FOR_GOOD)


def reopen(resources: Resources, lane: str) -> None:
    """A person opens the lane, whatever closed it; only the last illegal prompts before money is lost stay spared.

    Raises:
        UnknownThing: no such lane.
    """
    # Brings the services' clients along, which looking at lanes can do without.
    from pipeline.attempts import illegal_prompts

    with resources.database.transaction() as connection:
        lanes.reopen(connection, lane)
        (provider,) = (row.provider for row in lanes.every(connection) if row.name == lane)
    illegal_prompts.keep(resources, lane, provider=provider)


def _known(rows: list[LaneRow], lane: str) -> None:
    if lane not in {row.name for row in rows}:
        raise UnknownThing(f"there is no lane {lane!r}; there are {', '.join(row.name for row in rows) or 'none yet'}")
