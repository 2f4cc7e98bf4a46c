"""Moves of a generation while its prompt is being prepared: published, claimed, stage by stage, queued or failed.

A stage that is recorded is not done again. A record is written only while its lease holds and the generation is still
`preparing`: a cancel in between wins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Interval, case, cast, delete, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from db.moves.rows import error_columns
from db.reads.work import Lease
from db.schema import batches, generations
from db.schema_preparation import preparations
from db.texts import storable_json
from domain.errors import LikenessError, LostRace
from domain.ids import GenerationId, LeaseToken
from domain.preparation import PREPARED_AT, STAGES, Known, Place, known_of
from domain.states import GenerationState

_FREE = {"lease_token": None, "lease_until": None, "leased_by": None}

_PUBLISHABLE = text(
    """
    WITH waiting AS (
        SELECT g.id, p.place
        FROM generations g
        JOIN batches b ON b.id = g.batch_id AND b.paused_at IS NULL
        LEFT JOIN preparations p ON p.generation_id = g.id
        WHERE g.state = 'preparing'
          AND (g.pipeline_data #> '{prepare,routing}') IS NULL
          AND (p.generation_id IS NULL
               OR (p.published_at < now() - CAST(:older_than AS interval)
                   AND (p.lease_until IS NULL OR p.lease_until < now())))
        ORDER BY g.position, g.id
        LIMIT greatest(:at_once - (SELECT count(*) FROM preparations
                                   WHERE published_at >= now() - CAST(:older_than AS interval)), 0)
        FOR UPDATE OF g SKIP LOCKED
    )
    INSERT INTO preparations (generation_id, published_at) SELECT id, now() FROM waiting
    ON CONFLICT (generation_id) DO UPDATE SET published_at = now()
    RETURNING generation_id, place
    """
)

# What is left to routing is prepared only as far ahead as its lanes take soon, so that the results of a batch decide
# about the rest of it. The batches by a skip scan, as admission finds them.
_PUBLISHABLE_ROUTED = text(
    """
    WITH RECURSIVE open AS (
        (SELECT batch_id FROM generations
         WHERE state = 'preparing' AND (pipeline_data #> '{prepare,routing}') IS NOT NULL ORDER BY batch_id LIMIT 1)
        UNION ALL
        SELECT (SELECT g.batch_id FROM generations g
                WHERE g.state = 'preparing' AND (g.pipeline_data #> '{prepare,routing}') IS NOT NULL
                  AND g.batch_id > open.batch_id ORDER BY g.batch_id LIMIT 1)
        FROM open WHERE open.batch_id IS NOT NULL
    ), room AS (
        SELECT b.id AS batch_id, :ahead
            - (SELECT count(*) FROM (
                   SELECT FROM generations q WHERE q.batch_id = b.id AND q.state = 'queued' LIMIT :ahead) AS queued)
            - (SELECT count(*) FROM preparations p JOIN generations q ON q.id = p.generation_id
               WHERE q.batch_id = b.id AND p.published_at >= now() - CAST(:older_than AS interval)) AS free
        FROM open JOIN batches b ON b.id = open.batch_id AND b.paused_at IS NULL
    ), waiting AS (
        SELECT head.id, head.place
        FROM room CROSS JOIN LATERAL (
            SELECT g.id, p.place
            FROM generations g LEFT JOIN preparations p ON p.generation_id = g.id
            WHERE g.state = 'preparing' AND (g.pipeline_data #> '{prepare,routing}') IS NOT NULL
              AND g.batch_id = room.batch_id
              AND (p.generation_id IS NULL
                   OR (p.published_at < now() - CAST(:older_than AS interval)
                       AND (p.lease_until IS NULL OR p.lease_until < now())))
            ORDER BY g.position, g.id LIMIT greatest(room.free, 0)
            FOR UPDATE OF g SKIP LOCKED
        ) AS head
    )
    INSERT INTO preparations (generation_id, published_at) SELECT id, now() FROM waiting
    ON CONFLICT (generation_id) DO UPDATE SET published_at = now()
    RETURNING generation_id, place
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A preparation that is claimed.

    Args:
        tries: of the present stage, this one included.
        deaths: workers that died over the present stage.
    """

    known: Known
    tries: int
    deaths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a prepared generation asks for, as it is queued."""

    prompt: str
    provider: str
    model: str
    settings: Mapping[str, Any]
    hold_usd: Decimal
    price_usd: Decimal


def publish(connection: Connection, *, older_than: timedelta, at_once: int) -> Sequence[tuple[GenerationId, Place]]:
    """What waits for its preparation, and nobody has been told of lately; stamped as published now.

    Args:
        older_than: what was published that long ago and is in nobody's hands is published again.
        at_once: so many may be on their way at any time; the others wait in Postgres.
    """
    rows = connection.execute(_PUBLISHABLE, {"older_than": older_than, "at_once": at_once})
    return [(GenerationId(row.generation_id), Place(row.place)) for row in rows]


def publish_routed(
    connection: Connection, *, older_than: timedelta, ahead: int
) -> Sequence[tuple[GenerationId, Place]]:
    """The same of what is left to routing.

    Args:
        ahead: so many of a batch may be queued, or on their way there.
    """
    rows = connection.execute(_PUBLISHABLE_ROUTED, {"older_than": older_than, "ahead": ahead})
    return [(GenerationId(row.generation_id), Place(row.place)) for row in rows]


def claim(connection: Connection, generation_id: GenerationId, *, lease: Lease) -> Claimed | None:
    """Take the preparation under the lease; None where it is somebody else's, not due yet, or over."""
    died = case((preparations.c.lease_token.is_not(None), 1), else_=0)
    taken = connection.execute(
        update(preparations)
        .where(
            preparations.c.generation_id == generation_id,
            func.coalesce(preparations.c.lease_until < func.now(), True),
            preparations.c.published_at <= func.now() + timedelta(seconds=1),
        )
        .values(
            lease_token=lease.token,
            lease_until=func.now() + timedelta(seconds=lease.seconds),
            leased_by=lease.holder,
            tries=preparations.c.tries + 1,
            deaths=preparations.c.deaths + died,
        )
        .returning(preparations.c.tries, preparations.c.deaths)
    ).one_or_none()
    if taken is None:
        return None
    row = connection.execute(
        select(generations, batches.c.team)
        .join(batches, batches.c.id == generations.c.batch_id)
        .where(generations.c.id == generation_id, generations.c.state == GenerationState.PREPARING)
    ).mappings()
    found = row.one_or_none()
    if found is None:
        _forget(connection, generation_id)
        return None
    return Claimed(known=known_of(dict(found)), tries=taken.tries, deaths=taken.deaths)


def record(
    connection: Connection, generation_id: GenerationId, *, token: LeaseToken, records: Sequence[Mapping[str, Any]]
) -> None:
    """Add the records of stages, if there are any; the next stage has tries and deaths of its own.

    Raises:
        LostRace: the lease is no longer the caller's, or the generation no longer being prepared.
    """
    if not records:
        return
    _held(connection, generation_id, token=token, tries=0, deaths=0)
    before = func.coalesce(generations.c.pipeline_data[STAGES], cast(literal("[]"), JSONB))
    added = literal(storable_json(list(records)), JSONB)
    _set(connection, generation_id, pipeline_data=_with(STAGES, before.op("||")(added)))


def hand_over(
    connection: Connection, generation_id: GenerationId, *, token: LeaseToken, place: Place, wait: timedelta
) -> None:
    """Let go of it, for a process of that place, after `wait`.

    Raises:
        LostRace: the lease is no longer the caller's.
    """
    published_at = func.now() + literal(wait, Interval)
    again = preparations.c.tries if wait else preparations.c.tries - 1
    _held(connection, generation_id, token=token, place=place, published_at=published_at, tries=again, **_FREE)


def queue(connection: Connection, generation_id: GenerationId, *, token: LeaseToken, ready: Ready) -> None:
    """The generation is prepared and waits for a place at its provider.

    Raises:
        LostRace: as `record`.
    """
    _held(connection, generation_id, token=token)
    _set(
        connection,
        generation_id,
        state=GenerationState.QUEUED,
        prompt=ready.prompt,
        provider=ready.provider,
        model=ready.model,
        settings=storable_json(ready.settings),
        hold_usd=ready.hold_usd,
        price_usd=ready.price_usd,
        pipeline_data=_with(PREPARED_AT, func.to_jsonb(func.now())),
        **error_columns(None),
    )
    _forget(connection, generation_id)


def fail(connection: Connection, generation_id: GenerationId, *, token: LeaseToken, failure: LikenessError) -> None:
    """The generation gets no prompt.

    Raises:
        LostRace: as `record`.
    """
    _held(connection, generation_id, token=token)
    _set(
        connection,
        generation_id,
        state=GenerationState.FAILED,
        completed_at=func.now(),
        **error_columns(failure),
    )
    _forget(connection, generation_id)


def _held(connection: Connection, generation_id: GenerationId, *, token: LeaseToken, **values: Any) -> None:
    ours = (preparations.c.generation_id == generation_id, preparations.c.lease_token == token)
    if values:
        found = connection.execute(update(preparations).where(*ours).values(**values)).rowcount == 1
    else:
        locked = select(preparations.c.generation_id).where(*ours).with_for_update()
        found = connection.execute(locked).first() is not None
    if not found:
        raise LostRace(f"the preparation of generation {generation_id} is no longer held under this lease")


def _set(connection: Connection, generation_id: GenerationId, **values: Any) -> None:
    moved = connection.execute(
        update(generations)
        .where(generations.c.id == generation_id, generations.c.state == GenerationState.PREPARING)
        .values(updated_at=func.now(), **values)
    )
    if moved.rowcount != 1:
        raise LostRace(f"generation {generation_id} is no longer being prepared")


def _with(key: str, value: Any) -> Any:
    return generations.c.pipeline_data.op("||")(func.jsonb_build_object(literal(key), value))


def _forget(connection: Connection, generation_id: GenerationId) -> None:
    connection.execute(delete(preparations).where(preparations.c.generation_id == generation_id))
