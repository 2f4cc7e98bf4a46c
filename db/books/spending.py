"""Spending limits per user of a team and month, and per lane and day, in UTC.

The batch's own budget is `db.moves.admission`'s. A limit is enforced where attempts are created, under its row's lock;
`db.moves.admission` asks. What counts against it is what was charged in the period, and everything that is held or in
doubt now, whenever it began.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, exists, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema import attempts, batches, ledger_entries, spending_limits
from domain.ids import BatchId
from domain.money import ZERO
from domain.states import AttemptState, HoldState, LedgerKind


class Scope(StrEnum):
    """What a limit is about."""

    USER_MONTH = "user_month"
    LANE_DAY = "lane_day"


#: In sentences: of a pause that it caused, and of the audit that looks for that pause.
WHOSE = {Scope.USER_MONTH: "the limit of the user's month", Scope.LANE_DAY: "the limit of the lane's day"}
_KEY_COLUMNS = (spending_limits.c.scope, spending_limits.c.team, spending_limits.c.subject)
_KEY = tuple_(*_KEY_COLUMNS)
_PERIOD = {Scope.USER_MONTH: "month", Scope.LANE_DAY: "day"}


#: Of a user, with the team it belongs to; of a lane, with no team, since all teams share it.
Subject = tuple[Scope, str, str]


@dataclass(slots=True)
class Cap:
    """A limit while an admission hands out money under it; its row is locked.

    Args:
        team: of the user; empty for a lane.
    """

    scope: Scope
    team: str
    subject: str
    limit: Decimal
    set_at: datetime
    used: Decimal
    handed: Decimal = ZERO

    def fits(self, hold: Decimal) -> bool:
        return self.used + self.handed + hold <= self.limit


def user_month(team: str, user_id: str) -> Subject:
    return Scope.USER_MONTH, team, user_id


def lane_day(lane: str) -> Subject:
    return Scope.LANE_DAY, "", lane


def lock_caps(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, Cap]:
    """The caps of these users and lanes, locked; what is used is read under the lock."""
    rows = connection.execute(
        select(spending_limits).where(_KEY.in_(list(subjects))).order_by(*_KEY_COLUMNS).with_for_update()
    ).all()
    return {(Scope(row.scope), row.team, row.subject): _cap(connection, row) for row in rows}


def used_under(connection: Connection, of: Subject) -> Decimal:
    """What counts against the limit at this moment."""
    # One statement, one snapshot: between two of them a hold may become a charge and be seen by neither.
    both = _charged(of).scalar_subquery() + _held(of).scalar_subquery()
    used: Decimal = connection.execute(select(both)).scalar_one()
    return used


def entries_under(of: Subject) -> ColumnElement[bool]:
    """Which lines of the ledger concern the user or the lane."""
    scope, team, subject = of
    if scope is Scope.LANE_DAY:
        return ledger_entries.c.lane == subject
    # Lines are found by their user; that the batch is the team's is looked up for each.
    of_team = exists().where(batches.c.id == ledger_entries.c.batch_id, batches.c.team == team)
    return and_(ledger_entries.c.user_id == subject, of_team)


def _charged(of: Subject) -> Select[Any]:
    return select(func.coalesce(func.sum(ledger_entries.c.charged_usd), ZERO)).where(
        entries_under(of),
        ledger_entries.c.kind == LedgerKind.CHARGE,
        ledger_entries.c.at >= func.date_trunc(_PERIOD[of[0]], func.now(), "UTC"),
    )


def _held(of: Subject) -> Select[Any]:
    scope, team, subject = of
    whose = (
        and_(batches.c.team == team, batches.c.user_id == subject)
        if scope is Scope.USER_MONTH
        else attempts.c.lane == subject
    )
    return (
        select(func.coalesce(func.sum(attempts.c.hold_usd), ZERO))
        .join_from(attempts, batches, batches.c.id == attempts.c.batch_id)
        .where(
            whose,
            attempts.c.state != AttemptState.FINISHED,
            attempts.c.hold_state.in_([HoldState.HELD, HoldState.IN_DOUBT]),
        )
    )


def put(connection: Connection, of: Subject, limit_usd: Decimal) -> None:
    """Set the limit; one below what is used stops further attempts and takes nothing back."""
    scope, team, subject = of
    statement = upsert(spending_limits).values(scope=scope, team=team, subject=subject, limit_usd=limit_usd)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=_KEY_COLUMNS,
            set_={"limit_usd": limit_usd, "set_at": func.now()},
        )
    )


def remove(connection: Connection, of: Subject) -> bool:
    """Lift the limit; whether there was one."""
    return connection.execute(delete(spending_limits).where(_KEY.in_([of]))).rowcount > 0


def list_limits(connection: Connection) -> list[Cap]:
    rows = connection.execute(select(spending_limits).order_by(*_KEY_COLUMNS))
    return [_cap(connection, row) for row in rows.all()]


def passed(connection: Connection, *, batch_id: BatchId, lane: str) -> list[Cap]:
    """Which of the limits of the month of a batch's user and a lane's day have more used than they allow."""
    owner = connection.execute(select(batches.c.team, batches.c.user_id).where(batches.c.id == batch_id)).one()
    concerned = _KEY.in_([user_month(owner.team, owner.user_id), lane_day(lane)])
    rows = connection.execute(select(spending_limits).where(concerned)).all()
    return [cap for cap in (_cap(connection, row) for row in rows) if cap.used > cap.limit]


def _cap(connection: Connection, row: Row[Any]) -> Cap:
    scope = Scope(row.scope)
    used = used_under(connection, (scope, row.team, row.subject))
    return Cap(scope=scope, team=row.team, subject=row.subject, limit=row.limit_usd, set_at=row.set_at, used=used)
