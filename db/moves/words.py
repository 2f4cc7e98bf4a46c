"""Paid calls for words: an attempt of its own kind each, with a hold before the call and a charge behind it.

They move no generation: what they bring goes into a stage's record. There is no list of such calls anywhere, so a lost
reply stays in doubt until a person settles it, or the deadline does, at the most that it can have cost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, update

from db.books import ledger
from db.books.spending import lane_day, lock_caps, user_month
from db.ids import new_id, new_token
from db.moves.rows import charge, finish, leased_by, set_attempt, take, take_free
from db.reads.work import Lease, Work, select_work, work_of
from db.records import lanes
from db.schema import attempts, batches, generations
from db.texts import storable, storable_json
from domain.errors import LikenessError
from domain.ids import AttemptId, GenerationId, LeaseToken
from domain.states import AttemptKind, AttemptState, GenerationState, HoldState, Outcome

KINDS = (AttemptKind.VISION, AttemptKind.TEXT)
#: Of the lane that stands in the books alone: nothing is admitted to it, and no worker serves it.
_AT_ONCE = 16
_SUBMITTING = frozenset({AttemptState.SUBMITTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call that is about to be made.

    Args:
        said: what it asks, for people.
        hold_usd: the most that it can cost.
    """

    generation_id: GenerationId
    kind: AttemptKind
    lane: str
    provider: str
    model: str
    said: str
    hold_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The last call of a kind for a generation."""

    state: AttemptState
    number: int
    outcome: Outcome | None
    result: Mapping[str, Any]
    charged_usd: Decimal | None


def earlier(connection: Connection, generation_id: GenerationId, kind: AttemptKind) -> Earlier | None:
    row = connection.execute(
        select(attempts.c.state, attempts.c.number, attempts.c.outcome, attempts.c.result, attempts.c.charged_usd)
        .where(attempts.c.generation_id == generation_id, attempts.c.kind == kind)
        .order_by(attempts.c.number.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    outcome = None if row.outcome is None else Outcome(row.outcome)
    return Earlier(
        state=AttemptState(row.state),
        number=row.number,
        outcome=outcome,
        result=row.result,
        charged_usd=row.charged_usd,
    )


def begin(connection: Connection, call: NewCall, *, lease: Lease) -> AttemptId | None:
    """Set the money aside and write the intent; None where a budget does not allow it, or a person has canceled.

    Batch, user and lane are locked in the order of an admission.
    """
    lanes.ensure(connection, name=call.lane, provider=call.provider, rate_limit=None, concurrency=_AT_ONCE)
    generation = connection.execute(
        select(generations.c.batch_id, generations.c.user_id).where(
            generations.c.id == call.generation_id, generations.c.state == GenerationState.PREPARING
        )
    ).one_or_none()
    if generation is None:
        return None
    if not _fits(connection, call, batch_id=generation.batch_id, user_id=generation.user_id):
        return None
    last = earlier(connection, call.generation_id, call.kind)
    attempt_id = AttemptId(new_id())
    connection.execute(
        insert(attempts).values(
            id=attempt_id,
            generation_id=call.generation_id,
            batch_id=generation.batch_id,
            kind=call.kind,
            number=1 if last is None else last.number + 1,
            lane=call.lane,
            provider=call.provider,
            model=call.model,
            state=AttemptState.SUBMITTING,
            hold_usd=call.hold_usd,
            price_usd=call.hold_usd,
            token=new_token(),
            sent_prompt=storable(call.said)[:4000],
            intent_at=func.now(),
            step_tries=1,
            **leased_by(lease),
        )
    )
    ledger.hold(connection, _work(connection, attempt_id))
    return attempt_id


def _fits(connection: Connection, call: NewCall, *, batch_id: UUID, user_id: str) -> bool:
    """Whether every budget allows the hold; batch, user and lane stay locked."""
    batch = connection.execute(select(batches).where(batches.c.id == batch_id).with_for_update(key_share=True)).one()
    used = batch.charged_usd + batch.held_usd + batch.in_doubt_usd
    caps = lock_caps(connection, [user_month(batch.team, user_id), lane_day(call.lane)])
    fits = batch.limit_usd is None or used + call.hold_usd <= batch.limit_usd
    return fits and all(cap.fits(call.hold_usd) for cap in caps.values())


def answered(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    result: Mapping[str, Any],
    charged_usd: Decimal,
    said_by: str,
) -> None:
    """Book the charge and keep the answer in one commit, so that it is never paid for again.

    Harmless where an earlier run of the same write was committed and only the answer got lost.

    Raises:
        LostRace: the lease ran out, and the call is in doubt.
    """
    result = storable_json(result)
    known = connection.execute(select(attempts.c.result).where(attempts.c.id == attempt_id)).scalar_one_or_none()
    if known == result:
        return
    work = take(connection, attempt_id, states=_SUBMITTING, token=token)
    charge(connection, work, charged_usd, reason=said_by)
    set_attempt(
        connection,
        work,
        AttemptState.FINISHED,
        outcome=Outcome.COMPLETED,
        result=result,
        accepted_at=func.now(),
        made_at=func.now(),
        finished_at=func.now(),
    )


def refused(connection: Connection, attempt_id: AttemptId, *, token: LeaseToken, failure: LikenessError) -> None:
    """It was certainly not accepted, and costs nothing.

    Raises:
        LostRace: as `answered`.
    """
    work = take(connection, attempt_id, states=_SUBMITTING, token=token)
    finish(connection, work, GenerationState.PREPARING, outcome=Outcome.FAILED, failure=failure)


def settle_overdue(connection: Connection, *, older_than: timedelta) -> list[AttemptId]:
    """Doubts that nobody has settled in time end charged, at the most that they can have cost."""
    works = take_free(
        connection,
        attempts.c.kind.in_(KINDS),
        attempts.c.state == AttemptState.IN_DOUBT,
        attempts.c.doubted_at < func.now() - older_than,
    )
    for work in works:
        ledger.undoubt(connection, work, reason="deadline")
        # The hold first: a doubt cannot stand beside a charge.
        connection.execute(
            update(attempts)
            .where(attempts.c.id == work.attempt_id)
            .values(state=AttemptState.COLLECTING, hold_state=HoldState.HELD)
        )
        held = replace(work, hold_state=HoldState.HELD)
        charge(connection, held, work.hold_usd, reason="settled by the deadline, at the most that it can have cost")
        set_attempt(connection, work, AttemptState.FINISHED, outcome=Outcome.FAILED, finished_at=func.now())
    return [work.attempt_id for work in works]


def _work(connection: Connection, attempt_id: AttemptId) -> Work:
    return work_of(connection.execute(select_work().where(attempts.c.id == attempt_id)).one())
