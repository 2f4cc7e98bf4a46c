"""The moves of the usual way, for many attempts in one statement each: nothing went wrong, and nobody interfered.

Each has the conditions of its single form in its WHERE; an attempt that does not meet them is left untouched, is not
among the results, and goes alone through the single form, which knows every case. Where a statement could move an
attempt and not its generation, the whole transaction is given up (`LostRace`), and all of it goes alone.

Attempts are handed over in the order of their ids, each once (`first_of_each`). Batch rows are locked last, in the
order of their ids, as everywhere.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, TextClause, func, text

from db.moves.rows import due_now
from db.reads.work import Lease, Work, select_work, work_of
from db.schema import attempts, batches, lanes
from db.texts import storable, storable_json
from domain.errors import LostRace
from domain.ids import AttemptId, LeaseToken
from domain.states import AttemptState


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, default=str)


class _OfAttempt(Protocol):
    @property
    def attempt_id(self) -> AttemptId: ...


_Item = TypeVar("_Item", bound=_OfAttempt)


def first_of_each(items: Sequence[_Item]) -> dict[AttemptId, _Item]:
    """The first item of each attempt; a further one of the group goes alone, after this one's commit.

    Two messages for one attempt may come at the same moment, and a statement that moves the attempt once must not be
    taken for the answer to both: each would send the request.
    """
    first: dict[AttemptId, _Item] = {}
    for one in items:
        first.setdefault(one.attempt_id, one)
    return first


def move_all(connection: Connection, statement: TextClause, rows: list[dict[str, Any]], **more: Any) -> set[AttemptId]:
    """The attempts that were moved, with their generations.

    Raises:
        LostRace: an attempt was moved and its generation was not; nothing may stand.
    """
    rows.sort(key=lambda row: str(row["attempt_id"]))
    moved = connection.execute(statement, {"given": as_json(rows), **more}).all()
    if any(not row.generation_moved for row in moved):
        raise LostRace("a generation of the group does not stand where its attempt does")
    return {AttemptId(row.attempt_id) for row in moved}


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """An admitted attempt as a submission finds it.

    Args:
        paused: whether its batch is.
        lane_open: whether its lane is.
    """

    work: Work
    paused: bool
    lane_open: bool


def read_admitted(connection: Connection, attempt_ids: Sequence[AttemptId]) -> list[Admitted | None]:
    """Each attempt if it is admitted and may start now; nothing is locked."""
    open_now = lanes.c.closed_until.is_(None) | (lanes.c.closed_until <= func.now())
    rows = connection.execute(
        select_work()
        .add_columns(batches.c.paused_at.is_not(None).label("paused"), open_now.label("lane_open"))
        .join(batches, batches.c.id == attempts.c.batch_id)
        .join(lanes, lanes.c.name == attempts.c.lane)
        .where(attempts.c.id.in_(attempt_ids), attempts.c.state == AttemptState.ADMITTED, due_now())
    )
    found = {row.attempt_id: Admitted(work=work_of(row), paused=row.paused, lane_open=row.lane_open) for row in rows}
    return [found.get(one) for one in attempt_ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A submission about to be made; see `submission.claim`."""

    attempt_id: AttemptId
    lease: Lease
    sent_prompt: str
    price_usd: Decimal


_INTENTS: Final = text(
    """
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS r(
            attempt_id uuid, token uuid, holder text, seconds float, sent_prompt text, price_usd numeric(14,6))
    ), moved AS (
        UPDATE attempts a SET state = 'submitting', sent_prompt = given.sent_prompt, price_usd = given.price_usd,
            intent_at = now(), step_tries = a.step_tries + 1, lease_token = given.token,
            lease_until = now() + make_interval(secs => given.seconds), leased_by = given.holder
        FROM given WHERE a.id = given.attempt_id AND a.state = 'admitted' AND a.kind = 'image'
        RETURNING a.id, a.generation_id
    ), generation AS (
        UPDATE generations g SET state = 'submitting', updated_at = now(), completed_at = NULL
        FROM moved WHERE g.id = moved.generation_id AND g.state = 'admitted' AND g.cancel_requested_at IS NULL
        RETURNING g.id
    )
    SELECT moved.id AS attempt_id, generation.id IS NOT NULL AS generation_moved
    FROM moved LEFT JOIN generation ON generation.id = moved.generation_id
    """
)


def write_intents(connection: Connection, intents: Sequence[Intent]) -> list[bool | None]:
    """As `submission.claim`: after this commit the requests may be on their way."""
    first = first_of_each(intents)
    rows = [
        {
            "attempt_id": one.attempt_id,
            "token": one.lease.token,
            "holder": one.lease.holder,
            "seconds": one.lease.seconds,
            "sent_prompt": storable(one.sent_prompt),
            "price_usd": one.price_usd,
        }
        for one in first.values()
    ]
    moved = move_all(connection, _INTENTS, rows)
    return [True if one.attempt_id in moved and first[one.attempt_id] is one else None for one in intents]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that the provider has accepted; see `submission.accepted`."""

    attempt_id: AttemptId
    token: LeaseToken
    job_id: str
    first_look: timedelta
    deadline: timedelta


_JOBS: Final = text(
    """
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS r(
            attempt_id uuid, token uuid, job_id text, first_look float, deadline float)
    ), moved AS (
        UPDATE attempts a SET state = 'generating', job_id = given.job_id, hold_state = 'held', accepted_at = now(),
            -- A webhook may have been faster than the reply to the submission.
            due_at = CASE WHEN a.due_at IS NOT NULL THEN now() ELSE now() + make_interval(secs => given.first_look) END,
            deadline_at = now() + make_interval(secs => given.deadline), step_tries = 0, deaths = 0,
            error_code = NULL, error_message = NULL, lease_token = NULL, lease_until = NULL, leased_by = NULL
        FROM given
        WHERE a.id = given.attempt_id AND a.state = 'submitting' AND a.lease_token = given.token AND a.kind = 'image'
        RETURNING a.id, a.generation_id
    ), generation AS (
        UPDATE generations g SET state = 'generating', updated_at = now(), completed_at = NULL
        FROM moved WHERE g.id = moved.generation_id AND g.state = 'submitting' RETURNING g.id
    )
    SELECT moved.id AS attempt_id, generation.id IS NOT NULL AS generation_moved
    FROM moved LEFT JOIN generation ON generation.id = moved.generation_id
    """
)


def store_jobs(connection: Connection, jobs: Sequence[NewJob]) -> list[bool | None]:
    """As `submission.accepted`; a job that another attempt owns fails the group, and each goes alone."""
    first = first_of_each(jobs)
    rows = [
        {
            "attempt_id": one.attempt_id,
            "token": one.token,
            "job_id": one.job_id,
            "first_look": one.first_look.total_seconds(),
            "deadline": one.deadline.total_seconds(),
        }
        for one in first.values()
    ]
    moved = move_all(connection, _JOBS, rows)
    return [True if one.attempt_id in moved and first[one.attempt_id] is one else None for one in jobs]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeJob:
    """A job that its provider has finished; see `polling.made`."""

    attempt_id: AttemptId
    token: LeaseToken
    result: Mapping[str, Any]
    charged_usd: Decimal
    said_by: str


_MADE: Final = text(
    """
    -- Money as its columns hold it: a balance that adds up what is rounded later differs from the ledger's lines.
    WITH given AS (
        SELECT * FROM jsonb_to_recordset(CAST(:given AS jsonb)) AS r(
            attempt_id uuid, token uuid, result jsonb, charged_usd numeric(14,6), said_by text)
    ), moved AS (
        UPDATE attempts a SET state = 'collecting', result = given.result, percent = 100, made_at = now(),
            published_at = now(), due_at = NULL, step_tries = 0, deaths = 0, hold_state = 'charged',
            charged_usd = given.charged_usd, lease_token = NULL, lease_until = NULL, leased_by = NULL
        FROM given
        WHERE a.id = given.attempt_id AND a.state = 'generating' AND a.lease_token = given.token AND a.kind = 'image'
            AND a.hold_state = 'held' AND given.charged_usd <= a.hold_usd
        RETURNING a.id, a.generation_id, a.batch_id, a.lane, a.hold_usd, given.charged_usd, given.said_by
    ), generation AS (
        UPDATE generations g SET state = 'collecting', cost = g.cost + moved.charged_usd, updated_at = now(),
            completed_at = NULL
        FROM moved WHERE g.id = moved.generation_id AND g.state = 'generating' RETURNING g.id, g.user_id
    ), entry AS (
        INSERT INTO ledger_entries (user_id, batch_id, attempt_id, lane, kind, held_usd, charged_usd, reason)
        SELECT generation.user_id, moved.batch_id, moved.id, moved.lane, 'charge', -moved.hold_usd, moved.charged_usd,
            moved.said_by
        FROM moved JOIN generation ON generation.id = moved.generation_id ORDER BY moved.id
    ), locked AS MATERIALIZED (
        SELECT id FROM batches WHERE id IN (SELECT batch_id FROM moved) ORDER BY id FOR NO KEY UPDATE
    ), balance AS (
        UPDATE batches b SET held_usd = b.held_usd - total.held, charged_usd = b.charged_usd + total.charged
        FROM locked JOIN (
            SELECT batch_id, sum(hold_usd) AS held, sum(charged_usd) AS charged FROM moved GROUP BY batch_id
        ) total ON total.batch_id = locked.id
        WHERE b.id = locked.id
    )
    SELECT moved.id AS attempt_id, generation.id IS NOT NULL AS generation_moved
    FROM moved LEFT JOIN generation ON generation.id = moved.generation_id
    """
)


def finish_jobs(connection: Connection, made: Sequence[MadeJob]) -> list[bool | None]:
    """As `polling.made`, for charges within their holds."""
    first = first_of_each(made)
    rows = [
        {
            "attempt_id": one.attempt_id,
            "token": one.token,
            "result": storable_json(one.result),
            "charged_usd": one.charged_usd,
            "said_by": one.said_by,
        }
        for one in first.values()
    ]
    moved = move_all(connection, _MADE, rows)
    return [True if one.attempt_id in moved and first[one.attempt_id] is one else None for one in made]
