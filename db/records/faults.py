"""Read a lane's faults in a row from its attempts; nothing is counted in memory, so nothing is lost with a process."""

from typing import Any

from sqlalchemy import Connection, Row, Text, bindparam, func, literal_column, select

from db.reads.work import Work
from db.schema import attempts
from db.schema import lanes as lane_table
from domain.faults import CODES, Fault, Outage, outage

#: Faults read of a run: the newest, plus the first; longer runs have reached every limit.
_MOST = 1000

_BEGAN = func.coalesce(attempts.c.intent_at, attempts.c.created_at).label("began_at")


def outage_with(connection: Connection, work: Work) -> Outage | None:
    """What the lane's faults in a row say, with that of `work`, which the caller is about to write; None for nothing.

    Locks the lane: of faults at the same moment each sees those before it, and one of them closes the lane.
    """
    connection.execute(select(lane_table.c.name).where(lane_table.c.name == work.lane).with_for_update())
    return outage([*_run(connection, work.lane), _present(connection, work)])


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
