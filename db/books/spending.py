"""Spending limits per user and month, and per lane and day, in UTC. The batch's own budget is `db.moves.admission`'s.

A limit is enforced where attempts are created, under its row's lock; `db.moves.admission` asks. What counts against
it is what was charged in the period, and everything that is held or in doubt now, whenever it began.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema import attempts, batches, ledger_entries, spending_limits
from domain.money import ZERO
from domain.states import AttemptState, HoldState, LedgerKind


class Scope(StrEnum):
    """What a limit is about."""

    USER_MONTH = "user_month"
    LANE_DAY = "lane_day"


#: In sentences: of a pause that it caused, and of the audit that looks for that pause.
WHOSE = {Scope.USER_MONTH: "the limit of the user's month", Scope.LANE_DAY: "the limit of the lane's day"}
_PERIOD = {Scope.USER_MONTH: "month", Scope.LANE_DAY: "day"}


@dataclass(slots=True)
class Cap:
    """A limit while an admission hands out money under it; its row is locked."""

    scope: Scope
    subject: str
    limit: Decimal
    used: Decimal
    handed: Decimal = ZERO

    def fits(self, hold: Decimal) -> bool:
        return self.used + self.handed + hold <= self.limit


def lock_caps(connection: Connection, *, users: Iterable[str], lanes: Iterable[str]) -> dict[tuple[Scope, str], Cap]:
    """The caps that concern these users and lanes, locked; what is used is read under the lock."""
    rows = connection.execute(
        select(spending_limits)
        .where(
            or_(
                and_(spending_limits.c.scope == Scope.USER_MONTH, spending_limits.c.subject.in_(list(users))),
                and_(spending_limits.c.scope == Scope.LANE_DAY, spending_limits.c.subject.in_(list(lanes))),
            )
        )
        .order_by(spending_limits.c.scope, spending_limits.c.subject)
        .with_for_update()
    ).all()
    return {(Scope(row.scope), row.subject): _cap(connection, row) for row in rows}


def used_under(connection: Connection, scope: Scope, subject: str) -> Decimal:
    """What counts against the limit at this moment."""
    # One statement, one snapshot: between two of them a hold may become a charge and be seen by neither.
    both = _charged(scope, subject).scalar_subquery() + _held(scope, subject).scalar_subquery()
    used: Decimal = connection.execute(select(both)).scalar_one()
    return used


def _charged(scope: Scope, subject: str) -> Select[Any]:
    column = ledger_entries.c.user_id if scope is Scope.USER_MONTH else ledger_entries.c.lane
    return select(func.coalesce(func.sum(ledger_entries.c.charged_usd), ZERO)).where(
        column == subject,
        ledger_entries.c.kind == LedgerKind.CHARGE,
        ledger_entries.c.at >= func.date_trunc(_PERIOD[scope], func.now(), "UTC"),
    )


def _held(scope: Scope, subject: str) -> Select[Any]:
    column = batches.c.user_id if scope is Scope.USER_MONTH else attempts.c.lane
    return (
        select(func.coalesce(func.sum(attempts.c.hold_usd), ZERO))
        .join_from(attempts, batches, batches.c.id == attempts.c.batch_id)
        .where(
            column == subject,
            attempts.c.state != AttemptState.FINISHED,
            attempts.c.hold_state.in_([HoldState.HELD, HoldState.IN_DOUBT]),
        )
    )


def put(connection: Connection, scope: Scope, subject: str, limit_usd: Decimal) -> None:
    """Set the limit; one below what is used stops further attempts and takes nothing back."""
    statement = upsert(spending_limits).values(scope=scope, subject=subject, limit_usd=limit_usd)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[spending_limits.c.scope, spending_limits.c.subject],
            set_={"limit_usd": limit_usd, "set_at": func.now()},
        )
    )


def remove(connection: Connection, scope: Scope, subject: str) -> bool:
    """Lift the limit; whether there was one."""
    gone = connection.execute(
        delete(spending_limits).where(spending_limits.c.scope == scope, spending_limits.c.subject == subject)
    )
    return gone.rowcount > 0


def list_limits(connection: Connection) -> list[Cap]:
    rows = connection.execute(select(spending_limits).order_by(spending_limits.c.scope, spending_limits.c.subject))
    return [_cap(connection, row) for row in rows.all()]


def passed(connection: Connection, *, user_id: str, lane: str) -> list[Cap]:
    """Which of the limits of a user's month and a lane's day have more used than they allow."""
    concerned = tuple_(spending_limits.c.scope, spending_limits.c.subject).in_(
        [(Scope.USER_MONTH, user_id), (Scope.LANE_DAY, lane)]
    )
    rows = connection.execute(select(spending_limits).where(concerned)).all()
    return [cap for cap in (_cap(connection, row) for row in rows) if cap.used > cap.limit]


def _cap(connection: Connection, row: Row[Any]) -> Cap:
    scope = Scope(row.scope)
    used = used_under(connection, scope, row.subject)
    return Cap(scope=scope, subject=row.subject, limit=row.limit_usd, used=used)
