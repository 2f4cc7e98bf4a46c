"""What happened, in the order in which it was committed: numbered 1, 2, 3, ... within a team, without a gap.

Triggers write to an outbox, in transactions that end in any order. One reader at a time moves what is committed to the
table of events and numbers it there: whatever becomes visible later gets a later number, so that whoever has read up
to a number has missed nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema_api import event_counters, event_demand, event_outbox, events

#: How long events are kept: webhooks are tried for a day, a page that was closed over a weekend catches up.
KEPT = timedelta(days=7)
#: Without a reader for so long, triggers stop writing.
_WANTED_FOR = timedelta(days=7)
_LOCK = 0x11CE_4E56


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Args:
        number: within the team.
        data: in the wire's own names.
    """

    team: str
    number: int
    at: datetime
    batch_id: UUID
    type: str
    data: Mapping[str, Any]


_COLUMNS = [events.c[name] for name in Event.__dataclass_fields__]


def want(connection: Connection) -> None:
    """Have triggers write events from now on, and for a week without a further word."""
    until = func.now() + _WANTED_FOR
    connection.execute(
        upsert(event_demand)
        .values(one=1, until=until)
        .on_conflict_do_update(index_elements=["one"], set_={"until": until})
    )


def number(connection: Connection, *, limit: int = 1000) -> list[Event]:
    """Give their numbers to up to `limit` events that have none; empty also where another process does so now."""
    if not connection.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar_one():
        return []
    chosen = select(event_outbox.c.id).order_by(event_outbox.c.id).limit(limit)
    moved = connection.execute(delete(event_outbox).where(event_outbox.c.id.in_(chosen)).returning(event_outbox)).all()
    last: dict[str, int] = {}
    numbered = []
    for row in sorted(moved, key=lambda one: one.id):
        if row.team not in last:
            last[row.team] = _last(connection, row.team)
        last[row.team] += 1
        numbered.append(
            Event(team=row.team, number=last[row.team], at=row.at, batch_id=row.batch_id, type=row.type, data=row.data)
        )
    if numbered:
        connection.execute(
            insert(events), [{name: getattr(one, name) for name in Event.__dataclass_fields__} for one in numbered]
        )
    for team, newest in last.items():
        connection.execute(update(event_counters).where(event_counters.c.team == team).values(last=newest))
    return numbered


def _last(connection: Connection, team: str) -> int:
    connection.execute(upsert(event_counters).values(team=team, last=0).on_conflict_do_nothing())
    return last_number(connection, team)


def last_number(connection: Connection, team: str) -> int:
    """Number of the team's newest event; 0 before the first."""
    found = connection.execute(select(event_counters.c.last).where(event_counters.c.team == team))
    return found.scalar_one_or_none() or 0


def last_numbers(connection: Connection, teams: Sequence[str]) -> dict[str, int]:
    """Number of each team's newest event; teams without one are left out."""
    wanted = select(event_counters.c.team, event_counters.c.last).where(event_counters.c.team.in_(teams))
    return dict(connection.execute(wanted).all())


def after(connection: Connection, team: str, last: int, *, limit: int, batch_id: UUID | None = None) -> list[Event]:
    """The team's events after number `last`, in order."""
    wanted = select(*_COLUMNS).where(events.c.team == team, events.c.number > last)
    if batch_id is not None:
        wanted = wanted.where(events.c.batch_id == batch_id)
    rows = connection.execute(wanted.order_by(events.c.number).limit(limit)).mappings()
    return [Event(**row) for row in rows]


def oldest_number(connection: Connection, team: str) -> int | None:
    found: int | None = connection.execute(select(func.min(events.c.number)).where(events.c.team == team)).scalar_one()
    return found


def forget_old(connection: Connection, *, limit: int = 5000) -> int:
    """Remove events that are older than they are kept, a part at a time."""
    statement = text(
        "DELETE FROM events WHERE (team, number) IN"
        " (SELECT team, number FROM events WHERE at < now() - :kept LIMIT :limit)"
    )
    return connection.execute(statement, {"kept": KEPT, "limit": limit}).rowcount
