"""From admitted to generating: the moves around the one paid call."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, func, select, update

from db.books import ledger
from db.moves import webhooks
from db.moves.rows import charge, error_columns, finish, leased_by, owning, set_attempt, set_generation, take
from db.reads.work import Lease, Work
from db.schema import attempts, generations
from db.texts import storable, storable_json
from domain.errors import LikenessError, LostRace
from domain.ids import AttemptId, LeaseToken
from domain.states import AttemptKind, AttemptState, GenerationState, HoldState, Outcome

_ADMITTED = frozenset({AttemptState.ADMITTED})
_SUBMITTING = frozenset({AttemptState.SUBMITTING})
_IN_DOUBT = frozenset({AttemptState.IN_DOUBT})


def claim(
    connection: Connection, attempt_id: AttemptId, *, lease: Lease, sent_prompt: str, price_usd: Decimal | None = None
) -> Work:
    """Write the intent: after this commit the request may be on its way.

    Args:
        price_usd: what this very request costs, where it was found out; else what the admission wrote holds.

    Raises:
        LostRace: another worker has it, it is not admitted any more, or a person has canceled it.
    """
    work = take(connection, attempt_id, states=_ADMITTED, token=None)
    if work.cancel_requested:
        raise LostRace(f"attempt {attempt_id} is canceled; nothing is sent for it any more")
    set_attempt(
        connection,
        work,
        AttemptState.SUBMITTING,
        sent_prompt=sent_prompt,
        price_usd=work.price_usd if price_usd is None else price_usd,
        intent_at=func.now(),
        step_tries=work.step_tries + 1,
        **leased_by(lease),
    )
    set_generation(connection, work, GenerationState.SUBMITTING)
    return work


def accepted(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken,
    job_id: str,
    first_look: timedelta,
    deadline: timedelta,
) -> None:
    """The provider has the job: store its id.

    Raises:
        LostRace: the lease ran out and rescue has put the attempt in doubt; the caller adopts the job instead.
    """
    if has_job(connection, attempt_id, job_id):
        return
    work = take(connection, attempt_id, states=_SUBMITTING, token=token)
    _generate(connection, work, job_id=job_id, first_look=first_look, deadline=deadline)


def has_job(connection: Connection, attempt_id: AttemptId, job_id: str) -> bool:
    """Whether an earlier run of the same write was committed, and only the answer got lost."""
    known = connection.execute(select(attempts.c.job_id).where(attempts.c.id == attempt_id)).scalar_one_or_none()
    return known == job_id


def adopt(
    connection: Connection, attempt_id: AttemptId, *, job_id: str, first_look: timedelta, deadline: timedelta
) -> None:
    """A job found after its attempt was put in doubt belongs to it after all.

    Raises:
        LostRace: the doubt was settled otherwise.
    """
    if has_job(connection, attempt_id, job_id):
        return
    work = take(connection, attempt_id, states=_IN_DOUBT, token=None)
    ledger.undoubt(connection, work, reason="job found")
    _generate(connection, work, job_id=job_id, first_look=first_look, deadline=deadline)


def _generate(connection: Connection, work: Work, *, job_id: str, first_look: timedelta, deadline: timedelta) -> None:
    with owning(connection, work, job_id):
        set_attempt(
            connection,
            work,
            AttemptState.GENERATING,
            job_id=job_id,
            hold_state=HoldState.HELD,
            accepted_at=func.now(),
            # A webhook may have been faster than the reply to the submission.
            due_at=webhooks.next_look(first_look),
            deadline_at=func.now() + deadline,
            step_tries=0,
            deaths=0,
            **error_columns(None),
        )
    set_generation(connection, work, GenerationState.GENERATING)


def delivered(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken | None,
    result: Mapping[str, Any],
    charged_usd: Decimal,
    said_by: str,
    request_id: str | None = None,
) -> None:
    """The reply was the result, and is safely in the store: book the charge and hand the attempt on to be collected.

    Harmless where an earlier run of the same write was committed and only the answer got lost.

    Args:
        token: None for a reply that was found in the store: its worker is dead, or writes the very same.
        result: names what is stored, by content.
        request_id: the service's own name for the call; it stands where other services have a job's id.

    Raises:
        LostRace: the lease is no longer the caller's, or a doubt was settled otherwise.
    """
    result = storable_json(result)
    known = connection.execute(select(attempts.c.result).where(attempts.c.id == attempt_id)).scalar_one_or_none()
    if known == result:
        return
    work = take(
        connection, attempt_id, states=_SUBMITTING if token is not None else _SUBMITTING | _IN_DOUBT, token=token
    )
    ledger.undoubt(connection, work, reason="reply found")
    set_attempt(
        connection,
        work,
        AttemptState.COLLECTING,
        job_id=unused_name(connection, work, request_id),
        # Whatever it was: a charge takes the place of a hold, and a doubt cannot stand beside another state.
        hold_state=HoldState.HELD,
        result=result,
        percent=100,
        accepted_at=func.now(),
        made_at=func.now(),
        published_at=func.now(),
        step_tries=0,
        deaths=0,
        **error_columns(None),
    )
    charge(connection, replace(work, hold_state=HoldState.HELD), charged_usd, reason=said_by)
    set_generation(connection, work, GenerationState.COLLECTING)


def unused_name(connection: Connection, work: Work, request_id: str | None) -> str | None:
    """The name of a call, unless a proxy gives the same to all: a paid picture is not refused for its name."""
    if request_id is None:
        return None
    name = storable(request_id)
    used = select(attempts.c.id).where(attempts.c.lane == work.lane, attempts.c.job_id == name)
    return None if connection.execute(used).first() is not None else name


def again(
    connection: Connection, attempt_id: AttemptId, *, token: LeaseToken, failure: LikenessError, wait: timedelta
) -> bool:
    """Nothing was accepted: the same attempt tries again after `wait`, keeping hold and slot.

    Returns:
        False where a person has canceled the generation in the meantime and the attempt is over.
    """
    work = take(connection, attempt_id, states=_SUBMITTING, token=token)
    if work.cancel_requested:
        finish(connection, work, GenerationState.CANCELED, outcome=Outcome.CANCELED)
        return False
    set_attempt(
        connection,
        work,
        AttemptState.ADMITTED,
        published_at=func.now() + wait,
        intent_at=None,
        blame=failure.blame,
        **error_columns(failure),
    )
    set_generation(connection, work, GenerationState.ADMITTED)
    return True


def give_back(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken | None,
    failure: LikenessError,
    wait: timedelta | None = None,
) -> GenerationState:
    """Put the generation of an attempt of which nothing was sent back into the queue.

    Args:
        token: None for an attempt that is admitted and claimed by nobody.
    """
    return refuse(
        connection,
        attempt_id,
        token=token,
        failure=failure,
        target=GenerationState.QUEUED,
        wait=wait,
        counts=False,
    )


def hold_more(
    connection: Connection, attempt_id: AttemptId, *, failure: LikenessError, hold_usd: Decimal, price_usd: Decimal
) -> GenerationState:
    """Nothing was sent, since more than the hold could be charged: the generation waits in the queue with a new one.

    The hold is taken, and every budget asked, when the next attempt is admitted.
    """
    reached = give_back(connection, attempt_id, token=None, failure=failure)
    connection.execute(
        update(generations)
        .where(
            generations.c.id
            == select(attempts.c.generation_id)
            # One that finishes a picture is priced anew at its admission, and its generation is made already.
            .where(attempts.c.id == attempt_id, attempts.c.kind == AttemptKind.IMAGE)
            .scalar_subquery()
        )
        .values(hold_usd=hold_usd, price_usd=price_usd)
    )
    return reached


def refuse(
    connection: Connection,
    attempt_id: AttemptId,
    *,
    token: LeaseToken | None,
    failure: LikenessError,
    target: GenerationState = GenerationState.FAILED,
    wait: timedelta | None = None,
    counts: bool = True,
) -> GenerationState:
    """End an attempt that was certainly not accepted, which costs nothing.

    Args:
        token: None for an attempt that is admitted and claimed by nobody.
        target: `failed`, or `queued` for another attempt.
        wait: the least time until that attempt.
        counts: False where it was no failed try of the generation.
    """
    work = take(connection, attempt_id, states=_ADMITTED if token is None else _SUBMITTING, token=token)
    outcome = Outcome.FAILED if counts else Outcome.GIVEN_BACK
    return finish(connection, work, target, outcome=outcome, failure=failure, wait=wait)


def doubt(connection: Connection, attempt_id: AttemptId, *, token: LeaseToken | None, failure: LikenessError) -> None:
    """The reply is lost: the job may exist. Hold and slot stay until the doubt is settled."""
    work = take(connection, attempt_id, states=_SUBMITTING, token=token)
    ledger.doubt(connection, work, reason=failure.code)
    set_attempt(
        connection,
        work,
        AttemptState.IN_DOUBT,
        hold_state=HoldState.IN_DOUBT,
        doubted_at=func.now(),
        absent_since=None,
        blame=failure.blame,
        **error_columns(failure),
    )
    set_generation(connection, work, GenerationState.IN_DOUBT)
