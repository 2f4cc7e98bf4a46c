"""While the provider works: claiming what is due, and writing down what each look said."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, extract, func, or_, select, update

from db.moves import webhooks
from db.moves.rows import FREE_LEASE, charge, finish, leased_by, set_attempt, set_generation, take, unleased
from db.reads.work import Lease, Work, finish_given_up, select_work, work_of
from db.schema import attempts, generations
from db.texts import storable_json
from domain.errors import LikenessError, ProviderError
from domain.ids import AttemptId, LeaseToken
from domain.states import AttemptState, GenerationState, HoldState, Outcome

_GENERATING = frozenset({AttemptState.GENERATING})


def claim_due(connection: Connection, lane: str, *, limit: int, lease: Lease) -> list[Work]:
    """Up to `limit` attempts of `lane` whose next look is due, oldest due first, past those others are taking."""
    due = (
        select(attempts.c.id)
        .where(
            attempts.c.lane == lane,
            attempts.c.state == AttemptState.GENERATING,
            attempts.c.due_at <= func.now(),
            unleased(),
        )
        .order_by(attempts.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claimed = (
        update(attempts).where(attempts.c.id.in_(select(due.c.id))).values(**leased_by(lease)).returning(attempts.c.id)
    )
    ids = list(connection.execute(claimed).scalars())
    if not ids:
        return []
    return [work_of(row) for row in connection.execute(select_work().where(attempts.c.id.in_(ids)))]


def looked(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    percent: int | None,
    next_look: timedelta,
    since: datetime | None = None,
    stoppable: bool = False,
) -> None:
    """Still at work: look again after `next_look`, or at once where a webhook or a person's wish came while we looked.

    Args:
        since: when this look began, by the clock of Postgres; None where nobody counts webhooks.
        stoppable: whether the provider can be asked to stop the job, if a person gives it up.
    """
    due = webhooks.next_look(next_look, since=since or func.now())
    connection.execute(
        update(attempts)
        .where(
            attempts.c.id == attempt_id,
            attempts.c.lease_token == token,
            attempts.c.state == AttemptState.GENERATING,
        )
        .values(
            percent=func.coalesce(percent, attempts.c.percent),
            step_tries=0,
            due_at=case((_to_be_stopped(), func.now()), else_=due) if stoppable else due,
            **FREE_LEASE,
        )
    )


def _to_be_stopped() -> ColumnElement[bool]:
    """A person asked for the end of the job after this look had begun, and the provider does not know yet."""
    asked = select(generations.c.cancel_requested_at).where(generations.c.id == attempts.c.generation_id)
    return or_(asked.scalar_subquery().is_not(None), finish_given_up()) & attempts.c.stop_asked_at.is_(None)


def silent(connection: Connection, attempt_id: AttemptId, *, token: LeaseToken, next_look: timedelta) -> None:
    """The call said nothing about the job: count the silence and look again after `next_look`."""
    connection.execute(
        update(attempts)
        .where(
            attempts.c.id == attempt_id,
            attempts.c.lease_token == token,
            attempts.c.state == AttemptState.GENERATING,
        )
        .values(step_tries=attempts.c.step_tries + 1, due_at=func.now() + next_look, **FREE_LEASE)
    )


def stop_asked(connection: Connection, attempt_id: AttemptId, *, token: LeaseToken) -> None:
    """The provider took the wish to stop the job; what became of the job, the next looks say."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.lease_token == token)
        .values(stop_asked_at=func.now())
    )


def seconds_to_next(connection: Connection, lane: str) -> float | None:
    """Seconds until the next unclaimed look at a job of `lane` is due, negative when one is; None without jobs."""
    soonest = (
        select(extract("epoch", attempts.c.due_at - func.now()))
        .where(attempts.c.lane == lane, attempts.c.state == AttemptState.GENERATING, unleased())
        .order_by(attempts.c.due_at)
        .limit(1)
    )
    seconds = connection.execute(soonest).scalar_one_or_none()
    return None if seconds is None else float(seconds)


def made(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    result: Mapping[str, Any],
    charged_usd: Decimal,
    said_by: str,
) -> Work:
    """The provider is done: book the charge and hand the attempt on to be collected.

    Args:
        said_by: where the charge comes from: the provider's own word, or the catalogue's price.
    """
    work = take(connection, attempt_id, states=_GENERATING, token=token)
    charge(connection, work, charged_usd, reason=said_by)
    set_attempt(
        connection,
        work,
        AttemptState.COLLECTING,
        result=storable_json(result),
        percent=100,
        made_at=func.now(),
        published_at=func.now(),
        due_at=None,
        step_tries=0,
        deaths=0,
    )
    set_generation(connection, work, GenerationState.COLLECTING)
    return work


def gave_up(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    failure: LikenessError,
    wait: timedelta | None,
    counts: bool = True,
) -> GenerationState:
    """The provider gave the job up: for nothing, unless its failure says what it keeps.

    Args:
        wait: try again after this, or None when another try cannot help.
        counts: False for a try that the generation gets back, since the provider fails everybody.
    """
    work = take(connection, attempt_id, states=_GENERATING, token=token)
    if isinstance(failure, ProviderError) and failure.charged_usd:
        charge(connection, work, failure.charged_usd, reason="kept by the provider for a failed job")
        work = replace(work, hold_state=HoldState.CHARGED)
    target = GenerationState.FAILED if wait is None else GenerationState.QUEUED
    outcome = Outcome.FAILED if counts else Outcome.GIVEN_BACK
    return finish(connection, work, target, outcome=outcome, failure=failure, wait=wait)
