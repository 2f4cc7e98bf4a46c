"""The heartbeat of beat: without its ticks nothing is admitted and nothing is rescued."""

import logging

from db.reads import pending_work
from db.reads.pending_work import PendingWork
from db.records import heartbeat
from db.session import DatabaseAway
from pipeline.resources import Resources

__all__ = ["PendingWork", "record_tick", "silence_s", "waiting"]

log = logging.getLogger(__name__)

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


def waiting(resources: Resources) -> PendingWork | None:
    """What waits for a tick; None where Postgres cannot say."""
    try:
        with resources.database.lookup() as connection:
            return pending_work.read(connection)
    except DatabaseAway as away:
        log.info("nobody can say what waits for a tick: %s", away)
        return None
