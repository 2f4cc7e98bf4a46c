"""Read a lane's latest faults from its attempts, and close the lane if they show an outage; no state in memory."""

import logging
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, Text, bindparam, func, literal_column, select

from db.reads.work import Work
from db.records import lanes
from db.schema import attempts
from db.schema import lanes as lane_table
from domain.errors import LikenessError
from domain.faults import CODES, Fault, is_fault, outage

log = logging.getLogger(__name__)

#: Faults read of a run: the newest, plus the first; longer runs have reached every limit.
_MOST = 1000

_BEGAN = func.coalesce(attempts.c.intent_at, attempts.c.created_at).label("began_at")


def weigh(connection: Connection, work: Work, failure: LikenessError) -> timedelta | None:
    """Close the lane if this failure, which the caller is about to write, completes a run of faults.

    Returns:
        How long the generation waits in an outage, in which case the try does not count; None for an ordinary try.
    """
    if not is_fault(failure):
        return None
    # Locked, so that of simultaneous faults each sees the earlier ones, and one of them closes the lane.
    connection.execute(select(lane_table.c.name).where(lane_table.c.name == work.lane).with_for_update())
    found = outage([*_run(connection, work.lane), _present(connection, work)])
    if found is None:
        return None
    if found.closes:
        log.warning("lane %s is closed for %.0f s: %s", work.lane, found.pause.total_seconds(), found.reason(failure))
        lanes.close(connection, work.lane, reason=found.reason(failure), wait=found.pause)
    return None if found.counts else found.wait(work.number)


def _run(connection: Connection, lane: str) -> list[Fault]:
    """The lane's faults since its last success, oldest first."""
    made = select(func.max(attempts.c.made_at)).where(attempts.c.lane == lane, attempts.c.made_at.is_not(None))
    run = select(attempts.c.generation_id, _BEGAN, attempts.c.finished_at.label("ended_at")).where(
        attempts.c.lane == lane,
        # Literals, because a prepared statement with parameters could not use the partial index.
        attempts.c.error_code.in_([bindparam(None, code, Text, literal_execute=True) for code in CODES]),
        attempts.c.finished_at > func.coalesce(made.scalar_subquery(), literal_column("'-infinity'::timestamptz")),
    )
    latest = run.order_by(attempts.c.finished_at.desc(), attempts.c.id.desc()).limit(_MOST)
    found = [_fault(row) for row in connection.execute(latest)]
    if len(found) == _MOST:
        earliest = run.order_by(attempts.c.finished_at, attempts.c.id).limit(1)
        found[-1] = _fault(connection.execute(earliest).one())
    return found[::-1]


def _present(connection: Connection, work: Work) -> Fault:
    statement = select(attempts.c.generation_id, _BEGAN, func.now().label("ended_at"))
    return _fault(connection.execute(statement.where(attempts.c.id == work.attempt_id)).one())


def _fault(row: Row[Any, Any, Any]) -> Fault:
    return Fault(generation_id=row.generation_id, began_at=row.began_at, ended_at=row.ended_at)
