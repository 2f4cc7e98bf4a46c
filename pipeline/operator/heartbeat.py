"""The heartbeat of beat: without its ticks nothing is admitted and nothing is rescued."""

from db.records import heartbeat
from pipeline.resources import Resources

_NAME = "queue.admit"
#: Beat ticks every second; after this much silence users are warned.
SILENCE_S = 10.0


def record_tick(resources: Resources) -> None:
    with resources.database.transaction() as connection:
        heartbeat.tick(connection, _NAME)


def silence_s(resources: Resources) -> float | None:
    """Seconds since the last tick; None when there was none yet."""
    with resources.database.transaction() as connection:
        return heartbeat.age_s(connection, _NAME)
