"""Batches: making and finding them, and what people may change about one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, insert, select, update

from db.ids import new_id
from db.records import characters
from db.schema import batches, generations
from domain.access import LOCAL_TEAM
from domain.errors import BadInput, LostRace, UnknownThing
from domain.ids import BatchId, CharacterId
from domain.states import FINAL

#: When the row was had, not when the transaction began: whoever held it before may have set money aside meanwhile.
_LOCKED_AT = func.clock_timestamp()


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """What an enqueue did.

    Args:
        new: rows that became generations.
        known: rows that the batch already had.
        changed: rows that the batch has with other settings, and that stay as they are.
        vanished: positions and prompts of generations whose row the file no longer has.
        warnings: sentences for a person.
    """

    batch_id: BatchId
    new: int
    known: int
    changed: int = 0
    vanished: Sequence[tuple[int, str]] = ()
    warnings: Sequence[str] = ()


def id_of(connection: Connection, name: str, *, user_id: str, team: str) -> BatchId | None:
    """The batch of exactly that name, or None."""
    return connection.execute(select(batches.c.id).where(_named(name, user_id=user_id, team=team))).scalar_one_or_none()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch as it is made.

    Args:
        character: the name of the one whom its pictures show; None: none, or each row its own.
        priority: None for the lowest.
        key_id: the API key that asked for it.
    """

    name: str
    user_id: str
    character: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None
    limit_usd: Decimal | None = None
    team: str = LOCAL_TEAM
    key_id: UUID | None = None


def open_batch(connection: Connection, new: NewBatch) -> tuple[BatchId, bool]:
    """The batch of that name, made if there is none, and whether it was; one that there is stays as it is, see `amend`.

    Until the transaction ends, nobody else enqueues under that name. The batch's own row is not locked for that: a
    large file takes seconds, and every step of the batch books on the row.

    Raises:
        UnknownThing: there is no such character any more.
    """
    lock = func.hashtextextended(f"enqueue {new.team} {new.user_id} {new.name}", 0)
    connection.execute(select(func.pg_advisory_xact_lock(lock)))
    known = id_of(connection, new.name, user_id=new.user_id, team=new.team)
    if known is not None:
        return known, False
    batch_id = BatchId(new_id())
    connection.execute(
        insert(batches).values(
            id=batch_id,
            name=new.name,
            user_id=new.user_id,
            character_id=characters.find(connection, new.character, team=new.team).id if new.character else None,
            settings=dict(new.settings),
            priority=new.priority or 1,
            limit_usd=new.limit_usd,
            team=new.team,
            key_id=new.key_id,
        )
    )
    return batch_id, True


def _named(name: str, *, user_id: str, team: str) -> ColumnElement[bool]:
    return and_(batches.c.team == team, batches.c.user_id == user_id, batches.c.name == name)


def amend(connection: Connection, batch_id: BatchId, *, priority: int | None, limit_usd: Decimal | None) -> None:
    """A limit or priority that is given replaces the one that the batch had.

    After everything else of an enqueue: a batch's row is the last lock that anybody takes.
    """
    known = connection.execute(select(batches).where(batches.c.id == batch_id)).one()
    changes: dict[str, Any] = {}
    if limit_usd is not None and (limit_usd != known.limit_usd or known.stopped_reason is not None):
        changes |= {"limit_usd": limit_usd, "limit_set_at": _LOCKED_AT, "stopped_reason": None}
    if priority is not None and priority != known.priority:
        changes["priority"] = priority
    if changes:
        connection.execute(update(batches).where(batches.c.id == batch_id).values(**changes))


def set_try_policy(connection: Connection, batch_id: BatchId, said: Mapping[str, Any]) -> None:
    """What a person says about further tries from now on; what was not said stays as it was."""
    connection.execute(
        update(batches).where(batches.c.id == batch_id).values(try_policy=batches.c.try_policy.concat(dict(said)))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A batch and its balances."""

    id: BatchId
    name: str
    user_id: str
    character_id: CharacterId | None
    settings: Mapping[str, Any]
    priority: int
    limit_usd: Decimal | None
    charged_usd: Decimal
    held_usd: Decimal
    in_doubt_usd: Decimal
    paused_reason: str | None
    stopped_reason: str | None
    created_at: Any
    team: str
    key_id: UUID | None


_BATCH_COLUMNS = [batches.c[name] for name in BatchRow.__dataclass_fields__]


def get(connection: Connection, batch_id: BatchId) -> BatchRow:
    row = connection.execute(select(*_BATCH_COLUMNS).where(batches.c.id == batch_id)).mappings().one_or_none()
    if row is None:
        raise UnknownThing(f"there is no batch with the id {batch_id}")
    return BatchRow(**row)


def require_key(connection: Connection, batch_id: BatchId, key_id: UUID | None) -> None:
    """Refuse to add to the batch of a key whose limit nobody has looked at.

    Args:
        key_id: whose limit was looked at; None: whoever adds has none.

    Raises:
        LostRace: somebody else has made the batch since.
    """
    batch = get(connection, batch_id)
    if key_id is not None and batch.key_id != key_id:
        raise LostRace(f"somebody else has made a batch {batch.name!r} in this moment; ask again")


def team_of(connection: Connection, batch_id: BatchId) -> str:
    """Whose keys see the batch."""
    team: str = connection.execute(select(batches.c.team).where(batches.c.id == batch_id)).scalar_one()
    return team


def find(connection: Connection, name_or_id: str, *, user_id: str) -> BatchRow:
    """The batch of that name or id.

    Raises:
        UnknownThing: there is none; the latest names are listed.
    """
    found = select(*_BATCH_COLUMNS).where(_named(name_or_id, user_id=user_id, team=LOCAL_TEAM))
    row = connection.execute(found).mappings().one_or_none()
    if row is None:
        by_id = select(*_BATCH_COLUMNS).where(func.starts_with(cast(batches.c.id, Text), name_or_id.lower()))
        rows = connection.execute(by_id.limit(2)).mappings().all() if len(name_or_id) >= _SHORTEST_ID else []
        if len(rows) != 1:
            latest = [batch.name for batch in latest_batches(connection, user_id=user_id, limit=5)]
            hint = f"the latest are {', '.join(map(repr, latest))}" if latest else "nothing has been enqueued yet"
            raise UnknownThing(f"there is no batch {name_or_id!r}; {hint}")
        row = rows[0]
    return BatchRow(**row)


_SHORTEST_ID = 8


def latest_batches(connection: Connection, *, user_id: str | None = None, limit: int = 20) -> list[BatchRow]:
    statement = select(*_BATCH_COLUMNS).order_by(batches.c.created_at.desc(), batches.c.id.desc()).limit(limit)
    if user_id is not None:
        statement = statement.where(batches.c.user_id == user_id)
    return [BatchRow(**row) for row in connection.execute(statement).mappings()]


def pause(connection: Connection, batch_id: BatchId, *, reason: str) -> None:
    """Admit nothing more of the batch; what is at a provider runs on."""
    connection.execute(
        update(batches)
        .where(batches.c.id == batch_id, batches.c.paused_at.is_(None))
        .values(paused_at=func.now(), paused_reason=reason)
    )


def is_paused(connection: Connection, batch_id: BatchId) -> bool:
    paused = select(batches.c.id).where(batches.c.id == batch_id, batches.c.paused_at.is_not(None))
    return connection.execute(paused).first() is not None


def resume(connection: Connection, batch_id: BatchId) -> None:
    connection.execute(
        update(batches)
        .where(batches.c.id == batch_id)
        .values(paused_at=None, paused_reason=None, stopped_reason=None, limit_set_at=_LOCKED_AT)
    )


def set_limit(connection: Connection, batch_id: BatchId, limit_usd: Decimal | None) -> None:
    """Raise or lower the limit; one below what is spent and held stops further attempts and takes nothing back.

    Raises:
        BadInput: zero or negative.
    """
    if limit_usd is not None and limit_usd <= 0:
        raise BadInput(f"a limit must be above 0, not {limit_usd}")
    connection.execute(
        update(batches)
        .where(batches.c.id == batch_id)
        .values(limit_usd=limit_usd, limit_set_at=_LOCKED_AT, stopped_reason=None)
    )


def set_priority(connection: Connection, batch_id: BatchId, priority: int) -> None:
    """Another share of the lanes, from the next admission on."""
    connection.execute(update(batches).where(batches.c.id == batch_id).values(priority=priority))


def unfinished(connection: Connection, batch_id: BatchId) -> int:
    """How many generations are not final."""
    return connection.execute(
        select(func.count())
        .select_from(generations)
        .where(generations.c.batch_id == batch_id, generations.c.state.not_in(FINAL))
    ).scalar_one()
