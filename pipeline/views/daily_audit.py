"""The audit that nobody has to think of: once a day, told in the log and by `likeness doctor`.

Beat asks every ten minutes whether one is due, and the row remembers: beat itself starts afresh with every restart, and
a schedule of its own would then never come to a whole day.
"""

import logging
from datetime import timedelta
from typing import Final

from db.books import audit as books
from db.records import heartbeat
from db.records.heartbeat import CheckResult
from pipeline.resources import Resources
from pipeline.views import audit

__all__ = ["CheckResult", "audit_if_due", "latest_audit"]

log = logging.getLogger(__name__)

_NAME: Final = "books.audit"
_EVERY: Final = timedelta(days=1)
#: Whoever died over it is followed by another; longer than any list takes to read.
_AGAIN: Final = timedelta(hours=1)
_MOST_SENTENCES: Final = 100


def audit_if_due(resources: Resources) -> bool:
    """Compare the books with themselves and with the services unless somebody has within a day; whether it was done."""
    with resources.database.transaction() as connection:
        if not heartbeat.claim(connection, _NAME, every=_EVERY, again=_AGAIN):
            return False
    with resources.database.transaction() as connection:
        found = books.differences(connection)
    for lane in audit.with_services(resources, window=_EVERY):
        found += lane.differences
        if lane.unreachable is not None:
            log.warning("lane %s was not compared with the books: %s", lane.lane, lane.unreachable)
    for difference in found:
        log.error("the books do not add up: %s", difference)
    with resources.database.transaction() as connection:
        heartbeat.record_result(connection, _NAME, found[:_MOST_SENTENCES])
    return True


def latest_audit(resources: Resources) -> CheckResult | None:
    """What the latest one found; None where there was none yet."""
    with resources.database.transaction() as connection:
        return heartbeat.latest_result(connection, _NAME)
