"""Admit what goes next, by fair share, free places and budget: hold and attempt in one transaction per provider.

`db.moves.fair_share` says whose turn it is. The heads of all open batches are read by a skip scan and a LATERAL join,
so the cost does not grow with the length of the queue.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.books.spending import lane_day, lock_caps, user_month
from db.ids import new_id, new_token
from db.moves.fair_share import Budget, Head, Places, choose
from db.schema import attempts, batches, generations, strides
from domain.ids import AttemptId, GenerationId
from domain.money import ZERO
from domain.schedule import LONGEST_JOB
from domain.states import AttemptState, GenerationState, LedgerKind

_FREE_PLACES = text(
    """
    SELECT l.name, l.rate_limit, l.concurrency,
           count(a.id) FILTER (WHERE a.state <> 'in_doubt' OR a.intent_at > now() - CAST(:longest_job AS interval))
               AS in_flight,
           count(a.id) FILTER (WHERE a.state = 'admitted') AS admitted,
           -- A doubt older than its job takes no place any more, and may yet turn out to have been illegal.
           count(a.id) FILTER (WHERE a.state <> 'in_doubt' OR a.intent_at > now() - interval '24 hours')
               + (SELECT count(*) FROM attempts s
                  WHERE s.lane = l.name AND s.illegal_prompt AND s.finished_at > now() - interval '24 hours') AS at_risk
    FROM lanes l
    LEFT JOIN attempts a ON a.lane = l.name AND a.state IN ('admitted', 'submitting', 'in_doubt', 'generating')
    WHERE l.provider = :provider AND (l.closed_until IS NULL OR l.closed_until <= now())
    GROUP BY l.name ORDER BY l.name
    """
)

_HEADS = text(
    """
    WITH RECURSIVE open AS (
        (SELECT batch_id FROM generations WHERE state = 'queued' AND provider = :provider
         ORDER BY batch_id LIMIT 1)
        UNION ALL
        SELECT (SELECT g.batch_id FROM generations g
                WHERE g.state = 'queued' AND g.provider = :provider AND g.batch_id > open.batch_id
                ORDER BY g.batch_id LIMIT 1)
        FROM open WHERE open.batch_id IS NOT NULL
    )
    SELECT head.*, b.team, b.user_id, b.priority, s.pass AS last_pass
    FROM open
    JOIN batches b ON b.id = open.batch_id AND b.paused_at IS NULL
    LEFT JOIN strides s ON s.batch_id = b.id AND s.provider = :provider
    CROSS JOIN LATERAL (
        SELECT g.id, g.batch_id, g.model, g.hold_usd, g.price_usd, g.changes, g.updated_at
        FROM generations g
        WHERE g.state = 'queued' AND g.provider = :provider AND g.batch_id = b.id
          AND (g.not_before IS NULL OR g.not_before <= now())
          AND coalesce(g.changes -> 'action' ->> 'lane' = ANY(:lanes), TRUE)
        ORDER BY g.position, g.id LIMIT :places
    ) head
    """
)


_ATTEMPTS = text(
    """
    INSERT INTO attempts (id, generation_id, batch_id, number, lane, provider, model, state, hold_usd, price_usd, token,
        changes, published_at)
    SELECT r.*, now() FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
        id uuid, generation_id uuid, batch_id uuid, number int, lane text, provider text, model text, state text,
        hold_usd numeric, price_usd numeric, token text, changes jsonb)
    """
)

_HOLDS = text(
    """
    INSERT INTO ledger_entries (user_id, batch_id, attempt_id, lane, kind, held_usd, reason)
    SELECT r.* FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
        user_id text, batch_id uuid, attempt_id uuid, lane text, kind text, held_usd numeric, reason text)
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An attempt that has its hold and its place; its task is to be published after the commit.

    Args:
        first: of its generation.
    """

    attempt_id: AttemptId
    generation_id: GenerationId
    lane: str
    provider: str
    model: str
    first: bool


def admit(
    connection: Connection, provider: str, *, places_by_rate: dict[str, int], most_at_risk: int | None = None
) -> list[Admitted]:
    """Give the free places of `provider` to the generations whose turn it is.

    Args:
        places_by_rate: per lane, how many admitted and unclaimed attempts its rate limit can carry away soon.
        most_at_risk: illegal prompts of the last 24 hours and attempts in flight that a lane may have together; None
            where the provider counts none.
    """
    lock_provider(connection, provider)
    places = free_places(connection, provider, places_by_rate, most_at_risk)
    free = sum(places.values())
    if free == 0:
        return []
    lanes = [name for name, number in places.items() if number > 0]
    heads = connection.execute(_HEADS, {"provider": provider, "places": free, "lanes": lanes}).all()
    if not heads:
        return []
    budgets = lock_budgets(connection, {head.batch_id for head in heads})
    users = {user_month(head.team, head.user_id) for head in heads}
    caps = lock_caps(connection, [*users, *map(lane_day, places)])
    chosen, passes = choose(_queues(heads, budgets), budgets, Places(places, caps))
    admitted = _write(connection, provider, chosen)
    _keep_passes(connection, provider, passes)
    _mark_stopped(connection, budgets)
    return admitted


def lock_provider(connection: Connection, provider: str) -> None:
    """One admission of a provider at a time."""
    # A statement of its own: the lock must be held before the next statement takes its snapshot.
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"admit {provider}", 0))))


def free_places(
    connection: Connection, provider: str, places_by_rate: dict[str, int], most_at_risk: int | None
) -> dict[str, int]:
    """How many more attempts each open lane takes now; the caller holds the provider's lock."""
    places = {}
    for lane in connection.execute(_FREE_PLACES, {"provider": provider, "longest_job": LONGEST_JOB}):
        soon = places_by_rate.get(lane.name, lane.concurrency)
        safe = lane.concurrency if most_at_risk is None else most_at_risk - lane.at_risk
        places[lane.name] = max(0, min(lane.concurrency - lane.in_flight, soon - lane.admitted, safe))
    return places


def lock_budgets(connection: Connection, ids: set[UUID]) -> dict[UUID, Budget]:
    """The money of these batches, whose rows stay locked."""
    # Not against the key: rows that merely refer to the batch, as those of an enqueue, do not wait for each other.
    locked = select(batches).where(batches.c.id.in_(ids)).order_by(batches.c.id).with_for_update(key_share=True)
    rows = connection.execute(locked)
    return {
        row.id: Budget(
            limit=row.limit_usd,
            used=row.charged_usd + row.held_usd + row.in_doubt_usd,
            stopped=row.stopped_reason is not None,
            paused=row.paused_at is not None,
        )
        for row in rows
    }


def _queues(heads: Sequence[Row[Any]], budgets: dict[UUID, Budget]) -> dict[UUID, list[Head]]:
    """The heads by batch, without those of a batch that was paused meanwhile."""
    queues: dict[UUID, list[Head]] = defaultdict(list)
    for row in heads:
        if not budgets[row.batch_id].paused:
            queues[row.batch_id].append(Head(**row._mapping))  # noqa: SLF001 -- SQLAlchemy's public name of it
    return queues


def _write(connection: Connection, provider: str, chosen: Sequence[tuple[Head, str]]) -> list[Admitted]:
    if not chosen:
        return []
    # One that somebody is canceling right now is passed over; waiting for it could end in a deadlock. So is one that
    # has moved since it was read: it waits for its turn with what it asks for now.
    as_read = tuple_(generations.c.id, generations.c.updated_at).in_([(head.id, head.updated_at) for head, _ in chosen])
    free = (
        select(generations.c.id)
        .where(as_read, generations.c.state == GenerationState.QUEUED)
        .with_for_update(skip_locked=True)
        .cte("free")
    )
    won = set(
        connection.execute(
            update(generations)
            .where(generations.c.id.in_(select(free.c.id)))
            .values(
                state=GenerationState.ADMITTED,
                tries=generations.c.tries + 1,
                error_code=None,
                error_message=None,
                updated_at=func.now(),
            )
            .returning(generations.c.id)
        ).scalars()
    )
    numbers = _next_numbers(connection, won)
    rows = [_attempt_row(head, lane, provider, numbers.get(head.id, 1)) for head, lane in chosen if head.id in won]
    if not rows:
        return []
    users = {head.id: head.user_id for head, _ in chosen}
    connection.execute(_ATTEMPTS, {"rows": json.dumps(rows, default=str)})
    _hold(connection, rows, users)
    return [_admitted(row) for row in rows]


def _admitted(row: Mapping[str, Any]) -> Admitted:
    return Admitted(
        attempt_id=row["id"],
        generation_id=row["generation_id"],
        lane=row["lane"],
        provider=row["provider"],
        model=row["model"],
        first=row["number"] == 1,
    )


def _next_numbers(connection: Connection, ids: set[UUID]) -> dict[UUID, int]:
    rows = connection.execute(
        select(attempts.c.generation_id, func.max(attempts.c.number) + 1)
        .where(attempts.c.generation_id.in_(ids))
        .group_by(attempts.c.generation_id)
    )
    return dict(rows.all())


def _attempt_row(head: Head, lane: str, provider: str, number: int) -> dict[str, Any]:
    return {
        "id": new_id(),
        "generation_id": head.id,
        "batch_id": head.batch_id,
        "number": number,
        "lane": lane,
        "provider": provider,
        "model": head.model,
        "state": AttemptState.ADMITTED,
        "hold_usd": head.hold_usd,
        # Its own: a job that turns up late is not charged what a later try of another model costs.
        "price_usd": head.price_usd,
        "token": new_token(),
        "changes": head.changes,
    }


def _hold(connection: Connection, rows: Sequence[dict[str, Any]], users: dict[UUID, str]) -> None:
    """Book the holds of many attempts at once; the batch rows are locked by this transaction."""
    sums: dict[UUID, Decimal] = defaultdict(lambda: ZERO)
    entries = []
    for row in rows:
        sums[row["batch_id"]] += row["hold_usd"]
        entries.append(
            {
                "user_id": users[row["generation_id"]],
                "batch_id": row["batch_id"],
                "attempt_id": row["id"],
                "lane": row["lane"],
                "kind": LedgerKind.HOLD,
                "held_usd": row["hold_usd"],
                "reason": "admitted",
            }
        )
    connection.execute(_HOLDS, {"rows": json.dumps(entries, default=str)})
    statement = (
        update(batches)
        .where(batches.c.id == bindparam("batch"))
        .values(held_usd=batches.c.held_usd + bindparam("held"))
    )
    connection.execute(statement, [{"batch": batch_id, "held": held} for batch_id, held in sums.items()])


def _keep_passes(connection: Connection, provider: str, passes: dict[UUID, float]) -> None:
    if not passes:
        return
    statement = upsert(strides)
    statement = statement.on_conflict_do_update(
        index_elements=[strides.c.batch_id, strides.c.provider], set_={"pass": statement.excluded["pass"]}
    )
    rows = [{"batch_id": batch_id, "provider": provider, "pass": value} for batch_id, value in passes.items()]
    connection.execute(statement, rows)


def _mark_stopped(connection: Connection, budgets: dict[UUID, Budget]) -> None:
    """A batch with nothing live whose next hold does not fit is stopped; one that went on is not any more."""
    stopped = {
        batch_id: budget.blocked_by
        for batch_id, budget in budgets.items()
        if budget.blocked_by is not None and budget.handed == ZERO
    }
    going = [batch_id for batch_id, budget in budgets.items() if budget.stopped and budget.handed > ZERO]
    for batch_id, reason in stopped.items():
        live = select(attempts.c.id).where(attempts.c.batch_id == batches.c.id, attempts.c.state != "finished")
        connection.execute(
            update(batches)
            .where(batches.c.id == batch_id, batches.c.stopped_reason.is_distinct_from(reason), ~live.exists())
            .values(stopped_reason=reason)
        )
    if going:
        connection.execute(update(batches).where(batches.c.id.in_(going)).values(stopped_reason=None))
