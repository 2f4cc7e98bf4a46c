"""API keys and the sessions of people who signed in with one. A key itself is nowhere: its digest is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, case, delete, extract, func, insert, or_, select, update

from db.ids import new_id
from db.schema import batches, generations
from db.schema_api import api_keys, api_sessions
from db.schema_finishing import finishings
from domain.access import Scope
from domain.states import FINAL

#: Often enough to tell a key that is used from one that is not, without a write for every request.
_USED_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key as people see it.

    Args:
        prefix: how it begins; the rest was shown once.
        user_id: owner of what is made where a request names no user.
        member: whose key it is: who is named for what it did.
        rate_limit: requests in Celery's notation, or None.
        limit_usd: what its batches of a calendar month may spend, or None.
    """

    id: UUID
    prefix: str
    name: str
    team: str
    user_id: str
    member: str
    scope: Scope
    rate_limit: str | None
    limit_usd: Decimal | None
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = [api_keys.c[name] for name in KeyRow.__dataclass_fields__]


def _row(found: Mapping[Any, Any]) -> KeyRow:
    values = {str(name): value for name, value in found.items()}
    return KeyRow(**{**values, "scope": Scope(values["scope"])})


def add(  # noqa: PLR0913 -- the columns of one row, each by its name
    connection: Connection,
    *,
    prefix: str,
    digest: bytes,
    name: str,
    team: str,
    user_id: str,
    member: str,
    scope: Scope,
    rate_limit: str | None,
    limit_usd: Decimal | None,
) -> KeyRow:
    made = insert(api_keys).values(
        id=new_id(),
        prefix=prefix,
        digest=digest,
        name=name,
        team=team,
        user_id=user_id,
        member=member,
        scope=scope,
        rate_limit=rate_limit,
        limit_usd=limit_usd,
    )
    return _row(connection.execute(made.returning(*_COLUMNS)).mappings().one())


def list_keys(connection: Connection) -> list[KeyRow]:
    rows = connection.execute(select(*_COLUMNS).order_by(api_keys.c.team, api_keys.c.name)).mappings()
    return [_row(row) for row in rows]


def named(connection: Connection, name_or_prefix: str) -> KeyRow | None:
    wanted = or_(api_keys.c.name == name_or_prefix, api_keys.c.prefix == name_or_prefix)
    row = connection.execute(select(*_COLUMNS).where(wanted)).mappings().first()
    return None if row is None else _row(row)


def get(connection: Connection, key_id: UUID) -> KeyRow:
    """The key of that id, revoked or not."""
    return _row(connection.execute(select(*_COLUMNS).where(api_keys.c.id == key_id)).mappings().one())


def any_key(connection: Connection) -> bool:
    return connection.execute(select(api_keys.c.id).limit(1)).first() is not None


def lock_first(connection: Connection) -> None:
    """One process at a time makes the key of a new installation."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("first api key", 0))))


def by_prefix(connection: Connection, prefix: str) -> tuple[KeyRow, bytes] | None:
    """The live key that begins so, and its digest."""
    found = select(*_COLUMNS, api_keys.c.digest).where(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None))
    row = connection.execute(found).mappings().one_or_none()
    if row is None:
        return None
    return _row({name: value for name, value in row.items() if str(name) != "digest"}), bytes(row["digest"])


def revoke(connection: Connection, key_id: UUID) -> None:
    connection.execute(
        update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None)).values(revoked_at=func.now())
    )
    connection.execute(delete(api_sessions).where(api_sessions.c.key_id == key_id))


def revoked_among(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    rows = connection.execute(select(api_keys.c.id).where(api_keys.c.id.in_(ids), api_keys.c.revoked_at.is_not(None)))
    return list(rows.scalars())


def used(connection: Connection, key_id: UUID) -> None:
    stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < func.now() - _USED_WITHIN)
    connection.execute(update(api_keys).where(api_keys.c.id == key_id, stale).values(last_used_at=func.now()))


def wait_for_turn(connection: Connection, key_id: UUID, *, interval: timedelta, burst: timedelta) -> float:
    """Seconds until the key may ask again; 0.0 where it may now, and then this request is counted.

    The generic cell rate algorithm: one moment in the row stands for the whole bucket.
    """
    now = func.clock_timestamp()
    arrival = func.greatest(func.coalesce(api_keys.c.next_at, now), now)
    taken = (
        update(api_keys)
        .where(api_keys.c.id == key_id, or_(api_keys.c.next_at.is_(None), api_keys.c.next_at <= now + burst))
        .values(next_at=arrival + interval)
        .returning(api_keys.c.id)
    )
    if connection.execute(taken).first() is not None:
        return 0.0
    left = select(extract("epoch", api_keys.c.next_at - burst - now)).where(api_keys.c.id == key_id)
    return max(float(connection.execute(left).scalar_one()), 0.001)


def lock_money(connection: Connection, key_id: UUID) -> None:
    """Until the transaction ends, nobody else weighs what this key may spend; its row stays free for other requests."""
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"money of key {key_id}", 0))))


def committed_usd(connection: Connection, key_id: UUID, *, but: UUID | None = None) -> Decimal:
    """What the key's batches of a month have spent or may still spend: a batch at work counts with its budget.

    Args:
        but: a batch that is left out of the sum, which is then that of the month in which it was made; None: of this
            month.
    """
    used_usd = batches.c.charged_usd + batches.c.held_usd + batches.c.in_doubt_usd
    counted = case((_at_work(), func.greatest(func.coalesce(batches.c.limit_usd, used_usd), used_usd)), else_=used_usd)
    other = batches.alias()
    made_at = select(other.c.created_at).where(other.c.id == but).scalar_subquery() if but is not None else func.now()
    month = func.date_trunc("month", made_at, "UTC")
    wanted = select(func.coalesce(func.sum(counted), 0)).where(
        batches.c.key_id == key_id, func.date_trunc("month", batches.c.created_at, "UTC") == month
    )
    if but is not None:
        wanted = wanted.where(batches.c.id != but)
    found: Decimal = connection.execute(wanted).scalar_one()
    return found


def budget_of(connection: Connection, batch_id: UUID) -> tuple[Decimal | None, bool]:
    """The batch's budget, and whether the batch is at work and so counts with the whole of it."""
    found = connection.execute(select(batches.c.limit_usd, _at_work()).where(batches.c.id == batch_id)).one()
    return found[0], found[1]


def _at_work() -> ColumnElement[bool]:
    """A batch may spend more: one of its generations is not final, or a picture waits to be finished."""
    moving = select(generations.c.id).where(generations.c.batch_id == batches.c.id, generations.c.state.not_in(FINAL))
    finishing = select(finishings.c.id).where(finishings.c.batch_id == batches.c.id, finishings.c.outcome.is_(None))
    return or_(moving.exists(), finishing.exists())


def open_session(connection: Connection, *, digest: bytes, key_id: UUID, form_token: str, lasting: timedelta) -> None:
    connection.execute(delete(api_sessions).where(api_sessions.c.expires_at < func.now()))
    connection.execute(
        insert(api_sessions).values(
            digest=digest, key_id=key_id, form_token=form_token, expires_at=func.now() + lasting
        )
    )


def session(connection: Connection, digest: bytes) -> tuple[KeyRow, str] | None:
    """The key behind a live session, and the token of its forms."""
    row = (
        connection.execute(
            select(*_COLUMNS, api_sessions.c.form_token)
            .join(api_sessions, api_sessions.c.key_id == api_keys.c.id)
            .where(
                api_sessions.c.digest == digest,
                api_sessions.c.expires_at > func.now(),
                api_keys.c.revoked_at.is_(None),
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    return _row({name: value for name, value in row.items() if str(name) != "form_token"}), row["form_token"]


def close_session(connection: Connection, digest: bytes) -> None:
    connection.execute(delete(api_sessions).where(api_sessions.c.digest == digest))
