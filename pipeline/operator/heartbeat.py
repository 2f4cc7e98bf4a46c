"""The heartbeat of the queue: without a tick nothing waiting is admitted and nothing dead is taken over."""

from db.records import heartbeat
from pipeline.resources import Resources

_NAME = "queue.admit"
#: Beat ticks every second; after this much silence people are told.
SILENCE_S = 10.0


def record_tick(resources: Resources) -> None:
    with resources.database.transaction() as connection:
        heartbeat.tick(connection, _NAME)


def silence_s(resources: Resources) -> float | None:
    """Seconds since the last tick; None when there was none yet."""
    with resources.database.transaction() as connection:
        return heartbeat.age_s(connection, _NAME)
