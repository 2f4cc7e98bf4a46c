"""Webhooks in the books: each is kept once, and makes a look at its job due now. It moves no attempt and books nothing.

What a webhook says is believed by nobody. The job that it names is a candidate for an attempt in doubt.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.moves.rows import unleased
from db.schema import attempts, provider_events
from db.texts import storable
from domain.ids import AttemptId
from domain.states import AttemptState


class Taken(StrEnum):
    """What became of a webhook."""

    UNKNOWN = "no attempt of this lane has the token"
    REPEATED = "it had come before"
    NOTED = "nothing is due for it"
    DUE = "its job is looked at now"


def received(
    connection: Connection, *, lane: str, token: str, event_id: str, job_id: str | None, signed: bool
) -> Taken:
    """Keep a webhook and make its job due; the same one again changes nothing.

    Args:
        signed: whether its signature was checked, so that it is authentic whatever the token; an unsigned one with a
            token that nobody has leaves no trace.
    """
    # Locked first: whoever is about to store the job's id is done, or finds the row changed.
    known = connection.execute(
        select(attempts.c.id)
        .where(attempts.c.lane == lane, attempts.c.token == storable(token))
        .with_for_update(key_share=True)
    ).scalar_one_or_none()
    if known is None and not signed:
        return Taken.UNKNOWN
    named = None if job_id is None else storable(job_id)
    kept = connection.execute(
        upsert(provider_events)
        .values(lane=lane, event_id=storable(event_id), attempt_id=known, job_id=named)
        .on_conflict_do_nothing()
        .returning(provider_events.c.event_id)
    ).first()
    if kept is None:
        return Taken.REPEATED
    # Of a token that is no longer in the books, as after a restored backup, the job itself may be.
    mine = attempts.c.id == known if known is not None else attempts.c.job_id == named
    return Taken.DUE if _make_due(connection, and_(attempts.c.lane == lane, mine)) else Taken.NOTED


def _make_due(connection: Connection, mine: ColumnElement[bool]) -> bool:
    waiting = attempts.c.state == AttemptState.GENERATING
    look = connection.execute(
        update(attempts)
        .where(mine, or_(waiting, attempts.c.state.in_([AttemptState.SUBMITTING, AttemptState.IN_DOUBT])))
        .values(
            due_at=case(
                (and_(waiting, unleased()), func.least(attempts.c.due_at, func.now())),
                # For whoever is about to write when to look next. The moment of the row: the transaction may have begun
                # before the look that it interrupts.
                else_=func.clock_timestamp(),
            )
        )
        .returning(waiting)
    ).scalars()
    due = any(look)
    # Settled as lost, and now somebody names its job: the next round looks for it again.
    late = connection.execute(
        update(attempts)
        .where(
            mine,
            attempts.c.state == AttemptState.FINISHED,
            attempts.c.doubted_at.is_not(None),
            attempts.c.job_id.is_(None),
        )
        .values(late_look_at=func.now())
    )
    return due or late.rowcount > 0


def next_look(wait: timedelta, *, since: datetime | ColumnElement[datetime] | None = None) -> ColumnElement[datetime]:
    """When to look next at an attempt that is at its provider: after `wait`, or at once where a webhook has come.

    That is in the row itself, since an update that waited for the webhook's reads its own row anew and nothing else.

    Args:
        since: when the look began that is over now; None after a submission.
    """
    came = attempts.c.due_at.is_not(None) if since is None else attempts.c.due_at > since
    return case((came, func.now()), else_=func.now() + wait)


def candidates(connection: Connection, attempt_ids: Sequence[AttemptId]) -> dict[AttemptId, list[str]]:
    """The jobs that webhooks named for these attempts and that no attempt owns, the latest first."""
    owner = exists().where(attempts.c.lane == provider_events.c.lane, attempts.c.job_id == provider_events.c.job_id)
    rows = connection.execute(
        select(provider_events.c.attempt_id, provider_events.c.job_id)
        .where(
            provider_events.c.attempt_id.in_(list(attempt_ids)),
            provider_events.c.job_id.is_not(None),
            ~owner,
        )
        .order_by(provider_events.c.received_at.desc())
    )
    found: dict[AttemptId, list[str]] = {}
    for row in rows:
        jobs = found.setdefault(AttemptId(row.attempt_id), [])
        if row.job_id not in jobs:
            jobs.append(row.job_id)
    return found


def forget(connection: Connection, *, older_than: timedelta) -> int:
    """Drop webhooks that are past every use; returns how many."""
    return connection.execute(
        delete(provider_events).where(provider_events.c.received_at < func.now() - older_than)
    ).rowcount
