"""Run the audit once a day, and keep its result for the log and `likeness doctor`.

Beat sends the task every ten minutes, and a database row decides whether an audit is due. A daily schedule in beat
would start over with each restart and might never fire.
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
#: After this long another worker takes over from one that died; longer than any list takes to read.
_AGAIN: Final = timedelta(hours=1)
_MOST_SENTENCES: Final = 100


def audit_if_due(resources: Resources) -> bool:
    """Audit the books unless that was done within a day; returns whether it was done now."""
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
    """The result of the latest audit; None before the first."""
    with resources.database.transaction() as connection:
        return heartbeat.latest_result(connection, _NAME)
