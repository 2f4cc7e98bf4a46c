"""List doubts, and settle one by a person's word: as paid, or as lost.

The provider's list settles most (`pipeline.doubts.by_listing`), our own store those of a synchronous lane
(`pipeline.attempts.replies`), a person the rest.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from db.moves import doubts
from db.moves import late_discovery as late_moves
from db.moves.doubts import Doubt, NeverArrived
from db.reads.work import Work
from db.records import acts, history
from domain.errors import BadInput, LostRace, PictureLost, UnknownThing
from domain.ids import AttemptId
from domain.money import show
from pipeline.attempts import job_times, late_discovery, replies
from pipeline.attempts.admit import admit
from pipeline.doubts import by_webhook
from pipeline.doubts.by_listing import settle, settle_by_listing
from pipeline.resources import Resources
from providers.registry import is_synchronous

__all__ = ["Doubt", "Settled", "list_doubts", "settle", "settle_as_lost", "settle_as_paid", "settle_by_listing"]

log = logging.getLogger(__name__)

_NOT_IN_DOUBT = "attempt {} is not in doubt; `likeness doubts` lists those that are"


class Settled(StrEnum):
    """How a doubt ended."""

    JOB_ADOPTED = "job_adopted"
    REPLY_ADOPTED = "reply_adopted"
    CHARGED = "charged"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """What a person says of a doubt, for the batch's acts.

    Args:
        by: who; None: nobody is named, and nothing is written.
        said: `paid` or `lost`.
    """

    by: str | None
    said: str
    job_id: str | None = None
    amount_usd: Decimal | None = None
    unchecked: bool | None = None

    def detail(self, outcome: Settled) -> dict[str, Any]:
        amount = None if self.amount_usd is None else show(self.amount_usd)
        word = {"as": self.said, "job": self.job_id, "amountUsd": amount, "unchecked": self.unchecked or None}
        return {**word, "outcome": outcome}

    def noted(self, resources: Resources, work: Work, outcome: Settled) -> Settled:
        """Write it down after a move that commits elsewhere."""
        with resources.database.transaction() as connection:
            acts.note_doubt(connection, work, by=self.by, detail=self.detail(outcome))
        return outcome


def list_doubts(resources: Resources, *, user_id: str) -> list[Doubt]:
    """All doubts of a user, oldest first."""
    with resources.database.transaction() as connection:
        return doubts.list_doubts(connection, user_id=user_id)


def settle_as_paid(
    resources: Resources,
    attempt_id: AttemptId,
    *,
    job_id: str,
    amount_usd: Decimal | None = None,
    unchecked: bool = False,
    by: str | None = None,
) -> Settled:
    """A person has found the job: it belongs to this attempt, and the next poll says what became of it.

    Where the service has no jobs there is nothing to fetch: unless the reply is in our store, the generation fails
    with `picture_lost`.

    Args:
        job_id: the service's name for the job, or for the call.
        amount_usd: what the service billed, for one without jobs; None for the whole hold.
        unchecked: believe the id; otherwise the job is fetched, and must show the attempt's own request.
        by: who, for the batch's acts.

    Raises:
        UnknownThing: the attempt is neither in doubt nor was settled as lost.
        StoreAway: its reply may be in the store, which cannot be read now.
        BadInput: the job belongs to another attempt, shows another request or cannot be fetched, or an amount is named
            that the job itself will tell.
    """
    word = _Word(by=by, said="paid", job_id=job_id, amount_usd=amount_usd, unchecked=unchecked)
    doubt = _find_or_none(resources, attempt_id)
    if doubt is None:
        return _found_after_all(resources, attempt_id, word, job_id=job_id)
    if is_synchronous(doubt.work.provider):
        return _settle_without_job(resources, doubt.work, word, call=job_id)
    if amount_usd is not None:
        raise BadInput(f"what job {job_id!r} cost is asked of {doubt.work.provider!r}; leave the amount out")
    if not unchecked:
        by_webhook.check(resources, doubt.work, job_id)
    _adopt_job(resources, doubt.work, word, job_id=job_id)
    return Settled.JOB_ADOPTED


def _adopt_job(resources: Resources, work: Work, word: _Word, *, job_id: str) -> None:
    lane = resources.lanes.get(work.lane)
    try:
        with resources.database.transaction() as connection:
            doubts.found(
                connection,
                work.attempt_id,
                job_id=job_id,
                first_look=timedelta(0),
                deadline=job_times.deadline(resources, lane, work),
                actor=history.PERSON,
            )
            acts.note_doubt(connection, work, by=word.by, detail=word.detail(Settled.JOB_ADOPTED))
    except LostRace as race:
        raise BadInput(f"the doubt cannot be settled so: {race}") from race


def _found_after_all(resources: Resources, attempt_id: AttemptId, word: _Word, *, job_id: str) -> Settled:
    """The same, of an attempt whose doubt was settled as lost."""
    with resources.database.transaction() as connection:
        work = late_moves.one(connection, attempt_id)
    if work is None:
        raise UnknownThing(_NOT_IN_DOUBT.format(attempt_id))
    if is_synchronous(work.provider):
        if _reply_adopted(resources, work):
            return word.noted(resources, work, Settled.REPLY_ADOPTED)
        try:
            late_discovery.charge(resources, attempt_id, call=job_id, amount_usd=word.amount_usd)
        except LostRace as race:
            raise BadInput(f"the doubt cannot be settled so: {race}") from race
        return word.noted(resources, work, Settled.CHARGED)
    if not word.unchecked:
        by_webhook.check(resources, work, job_id)
    if not late_discovery.adopt(resources, work, job_id=job_id, actor=history.PERSON):
        raise BadInput(f"job {job_id!r} belongs to another attempt already, or the attempt has moved on")
    return word.noted(resources, work, Settled.JOB_ADOPTED)


def _settle_without_job(resources: Resources, work: Work, word: _Word, *, call: str) -> Settled:
    if _reply_adopted(resources, work):
        return word.noted(resources, work, Settled.REPLY_ADOPTED)
    lost = PictureLost(f"a person has found call {call!r} on the bill, and its reply was lost with its picture")
    try:
        with resources.database.transaction() as connection:
            doubts.paid_for_nothing(
                connection,
                work.attempt_id,
                call=call,
                amount=word.amount_usd,
                said_by=f"said by a person: {call}"[:500],
                failure=lost,
            )
            acts.note_doubt(connection, work, by=word.by, detail=word.detail(Settled.CHARGED))
    except LostRace as race:
        raise BadInput(f"the doubt cannot be settled so: {race}") from race
    admit(resources, work.provider)
    return Settled.CHARGED


def _reply_adopted(resources: Resources, work: Work) -> bool:
    """As `replies.adopt`, for a call that a person has found on the bill: with a damaged note its picture is lost."""
    try:
        return replies.adopt(resources, work)
    except PictureLost as failure:
        log.warning("%s", failure)
        return False


def settle_as_lost(resources: Resources, attempt_id: AttemptId, *, by: str | None = None) -> Settled:
    """A person knows that the job does not exist: the hold is released and the generation goes on.

    A reply in our own store knows better, and is adopted instead.

    Args:
        by: who, for the batch's acts.

    Raises:
        UnknownThing: the attempt is not in doubt.
        StoreAway: the reply may be in the store, which cannot be read now.
        PictureLost: the reply is there and damaged; it was billed, so that the doubt can only be settled as paid.
    """
    doubt = _find_or_none(resources, attempt_id)
    if doubt is None:
        raise UnknownThing(_NOT_IN_DOUBT.format(attempt_id))
    word = _Word(by=by, said="lost")
    if is_synchronous(doubt.work.provider) and replies.adopt(resources, doubt.work):
        return word.noted(resources, doubt.work, Settled.REPLY_ADOPTED)
    said = NeverArrived("a person has looked and says that the job does not exist")
    try:
        with resources.database.transaction() as connection:
            doubts.not_accepted(connection, attempt_id, failure=said, actor=history.PERSON)
            acts.note_doubt(connection, doubt.work, by=word.by, detail=word.detail(Settled.RELEASED))
    except LostRace as race:
        raise BadInput(f"the doubt cannot be settled so: {race}") from race
    admit(resources, doubt.work.provider)
    return Settled.RELEASED


def _find_or_none(resources: Resources, attempt_id: AttemptId) -> Doubt | None:
    with resources.database.transaction() as connection:
        return doubts.one(connection, attempt_id)
