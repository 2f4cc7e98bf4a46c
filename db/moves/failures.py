"""Write down what becomes of an attempt after a failure: the one move that applies `domain.disposition`.

The lane first: everywhere else its row is locked before any other. A move may be written again where only the answer to
an earlier commit got lost: it then loses its race and writes nothing.
"""

from dataclasses import replace
from typing import assert_never

from sqlalchemy import Connection

from db.moves import collection, doubts, polling, submission, validation
from db.moves.rows import hand_back
from db.reads.work import Work
from db.records import faults, history, lanes
from domain.disposition import Becomes, Disposition, Facts, Step, disposition
from domain.errors import LikenessError
from domain.ids import LeaseToken
from domain.states import GenerationState


def settle(
    connection: Connection, work: Work, *, failure: LikenessError, facts: Facts, token: LeaseToken | None
) -> Disposition:
    """Decide what becomes of `work` after `failure`, and write it to the attempt, generation, books and lane.

    Args:
        token: of the lease under which the step worked; None where it holds none.

    Raises:
        LostRace: the attempt has moved on; nothing is written.
    """
    decided = disposition(failure, facts)
    if decided.notes_error:
        lanes.note_error(connection, work.lane, decided.failure)
    if decided.may_be_outage:
        decided = disposition(failure, replace(facts, outage=faults.outage_with(connection, work)))
    if (closing := decided.closes_lane) is not None:
        lanes.close(connection, work.lane, reason=closing.reason, wait=closing.wait)
    return _apply(connection, work, decided, step=facts.step, token=token)


def _apply(
    connection: Connection, work: Work, decided: Disposition, *, step: Step, token: LeaseToken | None
) -> Disposition:
    attempt_id, failure = work.attempt_id, decided.failure
    match decided.becomes:
        case Becomes.UNCHANGED | Becomes.CANCELED:
            pass
        case Becomes.DOUBTED:
            submission.doubt(connection, attempt_id, token=token, failure=failure)
        case Becomes.SILENT:
            assert token is not None
            assert decided.wait is not None
            polling.silent(connection, attempt_id, token=token, next_look=decided.wait)
        case Becomes.RELEASED:
            assert token is not None
            assert decided.wait is not None
            hand_back(connection, attempt_id, token=token, failure=failure, wait=decided.wait)
        case Becomes.REPEATED:
            return _repeat(connection, work, decided, step=step, token=token)
        case Becomes.QUEUED | Becomes.FAILED:
            _end(connection, work, decided, step=step, token=token)
        case _:
            assert_never(decided.becomes)
    return decided


def _repeat(
    connection: Connection, work: Work, decided: Disposition, *, step: Step, token: LeaseToken | None
) -> Disposition:
    assert token is not None
    assert decided.wait is not None
    failure, wait = decided.failure, decided.wait
    if step is Step.SUBMITTING:
        goes_on = submission.again(connection, work.attempt_id, token=token, failure=failure, wait=wait)
        return decided if goes_on else replace(decided, becomes=Becomes.CANCELED)
    repeat = collection.again if step is Step.COLLECTING else validation.again
    repeat(connection, work.attempt_id, token=token, failure=failure, wait=wait)
    return decided


def _end(connection: Connection, work: Work, decided: Disposition, *, step: Step, token: LeaseToken | None) -> None:
    attempt_id, failure, wait = work.attempt_id, decided.failure, decided.wait
    target = GenerationState.QUEUED if decided.becomes is Becomes.QUEUED else GenerationState.FAILED
    match step:
        case Step.PREPARING | Step.SUBMITTING:
            submission.refuse(
                connection,
                attempt_id,
                token=token,
                failure=failure,
                target=target,
                wait=wait,
                counts=decided.counts,
            )
        case Step.IN_DOUBT:
            doubts.not_accepted(connection, attempt_id, failure=failure, wait=wait, actor=history.THE_REPLY)
        case Step.LOOKING:
            assert token is not None
            polling.gave_up(connection, attempt_id, token=token, failure=failure, wait=wait, counts=decided.counts)
        case Step.COLLECTING:
            collection.lost(connection, attempt_id, token=token, failure=failure)
        case Step.VALIDATING:
            validation.unfit(connection, attempt_id, token=token, failure=failure)
        case _:
            assert_never(step)
