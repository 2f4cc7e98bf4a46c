"""Where a batch's events are sent, and how far each receiver is: one cursor, so that their order holds."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema_api import batch_webhooks, events
from db.texts import storable
from domain.ids import BatchId


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """A receiver of a batch's events.

    Args:
        delivered: number of the last event that it took.
        tries: of the next event.
        failing_since: when the first try of the next event failed; None where none has.
        given_up_at: after a day of failures; None while it is tried.
    """

    batch_id: BatchId
    team: str
    url: str
    secret: str
    delivered: int
    tries: int
    failing_since: datetime | None
    due_at: datetime
    last_error: str | None
    given_up_at: datetime | None


_COLUMNS = [batch_webhooks.c[name] for name in WebhookRow.__dataclass_fields__]


def put(connection: Connection, *, batch_id: BatchId, team: str, url: str, secret: str) -> None:
    """Send the batch's events there; another address for the same batch takes the place of the former one."""
    made = upsert(batch_webhooks).values(batch_id=batch_id, team=team, url=url, secret=secret)
    connection.execute(
        made.on_conflict_do_update(
            index_elements=["batch_id"],
            set_={"url": url, "tries": 0, "failing_since": None, "due_at": func.now(), "given_up_at": None},
        )
    )


def of(connection: Connection, batch_id: BatchId) -> WebhookRow | None:
    row = connection.execute(select(*_COLUMNS).where(batch_webhooks.c.batch_id == batch_id)).mappings().one_or_none()
    return None if row is None else WebhookRow(**row)


def claim(connection: Connection, *, limit: int, lease: timedelta) -> list[WebhookRow]:
    """Receivers whose next event is due; nobody else gets them before `lease` is over."""
    waiting = exists().where(
        events.c.batch_id == batch_webhooks.c.batch_id,
        events.c.team == batch_webhooks.c.team,
        events.c.number > batch_webhooks.c.delivered,
    )
    chosen = (
        select(batch_webhooks.c.batch_id)
        .where(batch_webhooks.c.given_up_at.is_(None), batch_webhooks.c.due_at <= func.now(), waiting)
        .order_by(batch_webhooks.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("chosen")
    )
    claimed = (
        update(batch_webhooks)
        .where(batch_webhooks.c.batch_id.in_(select(chosen.c.batch_id)))
        .values(due_at=func.now() + lease)
        .returning(*_COLUMNS)
    )
    return [WebhookRow(**row) for row in connection.execute(claimed).mappings()]


def delivered(connection: Connection, batch_id: BatchId, number: int, *, before: int) -> bool:
    """The receiver took the event; the next one is due at once. False where somebody has asked for a replay meanwhile.

    Args:
        before: the last event that was taken before this one.
    """
    noted = connection.execute(
        update(batch_webhooks)
        .where(_one(batch_id), batch_webhooks.c.delivered == before)
        .values(delivered=number, tries=0, failing_since=None, last_error=None)
    )
    return noted.rowcount > 0


def free(connection: Connection, batch_id: BatchId) -> None:
    connection.execute(update(batch_webhooks).where(_one(batch_id)).values(due_at=func.now()))


def failed(connection: Connection, batch_id: BatchId, *, error: str, wait: timedelta, give_up: bool) -> None:
    connection.execute(
        update(batch_webhooks)
        .where(_one(batch_id))
        .values(
            tries=batch_webhooks.c.tries + 1,
            failing_since=func.coalesce(batch_webhooks.c.failing_since, func.now()),
            last_error=storable(error)[:1000],
            due_at=func.now() + wait,
            given_up_at=func.now() if give_up else None,
        )
    )


def replay(connection: Connection, batch_id: BatchId, *, after: int) -> None:
    """Send everything after event number `after` once more."""
    connection.execute(
        update(batch_webhooks)
        .where(_one(batch_id))
        .values(delivered=after, tries=0, failing_since=None, given_up_at=None, due_at=func.now())
    )


def _one(batch_id: UUID) -> ColumnElement[bool]:
    return batch_webhooks.c.batch_id == batch_id
