"""Settle doubts by the provider's own list: a job found is adopted, a job proven absent frees its money.

What a listing must be like to prove anything: complete, part after part to the last page; begun when our request could
no longer be in the air; and followed by a second one, at least `Timing.listings_apart` later, that shows nothing
either. Only then is it certain that the submission was not accepted. There is no other way to "assume it was lost".
A service forgets: a job that nobody owns, and of which the list no longer says what was asked for, proves nothing.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from db import history, lanes
from db.moves import doubts
from db.moves import late as late_moves
from db.moves.doubts import Doubt, NeverArrived
from db.work import Work
from domain.errors import BadInput, LostRace, PictureLost, ProviderError, UnknownThing
from domain.ids import AttemptId, normalised
from pipeline import candidates, late, replies
from pipeline.admit import admit
from pipeline.listing import MARGIN, Listing, read_listing
from pipeline.resources import Resources, Timing
from providers.base import Lane
from providers.listed import ListedJob
from providers.registry import is_synchronous

__all__ = ["Doubt", "Settled", "every", "settle", "settle_as_lost", "settle_as_paid", "settle_by_listing"]

log = logging.getLogger(__name__)

_NOT_IN_DOUBT = "attempt {} is not in doubt; `likeness doubts` lists those that are"


class Settled(StrEnum):
    """How a doubt ended."""

    JOB_ADOPTED = "job_adopted"
    REPLY_ADOPTED = "reply_adopted"
    CHARGED = "charged"
    RELEASED = "released"


def settle(resources: Resources, lane_name: str) -> int:
    """One round for one lane, by our own store where a reply is the result, else by the service's list."""
    lane = resources.lanes.get(lane_name)
    if lane is not None and lane.synchronous:
        return replies.adopt_stored(resources, lane_name)
    return settle_by_listing(resources, lane_name)


def settle_by_listing(resources: Resources, lane_name: str) -> int:
    """One round for one lane; returns how many doubts were settled."""
    lane = resources.lanes.get(lane_name)
    by_webhook = 0 if lane is None else _settle_by_webhooks(resources, lane)
    with resources.database.transaction() as connection:
        doubtful = doubts.of_lane(connection, lane_name)
        watched = late_moves.watched(connection, lane_name)
        began_at = doubts.now(connection)
    if lane is None or not (doubtful or watched) or not lane.list_parts:
        return by_webhook
    works = [*(doubt.work for doubt in doubtful), *watched]
    intents = [work.intent_at for work in works if work.intent_at is not None]
    try:
        listing = read_listing(resources, lane, began_at=began_at, back_to=min(intents, default=began_at) - MARGIN)
    except ProviderError as failure:
        log.info("lane %s could not be listed (%s); its doubts wait", lane_name, failure)
        with resources.database.transaction() as connection:
            lanes.note_error(connection, lane_name, failure)
        return by_webhook
    resources.points.reach("doubts.listed")
    settled = sum(_settle(resources, lane, doubt, listing) for doubt in doubtful)
    # After the doubts, which are in more need of a job that could be either's.
    settled += sum(_look_back(resources, lane, work, listing) for work in watched)
    late.looked(resources, watched)
    if settled:
        resources.points.reach("doubts.settled")
        admit(resources, lane.provider)
    return settled + by_webhook


def _settle_by_webhooks(resources: Resources, lane: Lane) -> int:
    """Adopt the jobs that webhooks named, where fetching them shows our own request; returns how many."""
    with resources.database.transaction() as connection:
        doubtful = [doubt.work for doubt in doubts.of_lane(connection, lane.name)]
        watched = late_moves.watched(connection, lane.name)
    jobs = candidates.proven(resources, lane, [*doubtful, *watched])
    found = [
        _found_by_webhook(resources, lane, one, jobs[one.attempt_id]) for one in doubtful if one.attempt_id in jobs
    ]
    found += [
        late.adopt(resources, one, job_id=jobs[one.attempt_id], actor=history.A_WEBHOOK)
        for one in watched
        if one.attempt_id in jobs
    ]
    return sum(found)


def _found_by_webhook(resources: Resources, lane: Lane, work: Work, job_id: str) -> bool:
    try:
        with resources.database.transaction() as connection:
            doubts.found(
                connection,
                work.attempt_id,
                job_id=job_id,
                first_look=timedelta(0),
                deadline=lane.first_look_after(work.settings, model=work.model) * 2 + resources.timing.job_deadline,
                actor=history.A_WEBHOOK,
            )
    except LostRace as race:
        log.info("doubt of attempt %s was settled by somebody else: %s", work.attempt_id, race)
        return False
    log.info("doubt of attempt %s: its job is %s, as a webhook said", work.attempt_id, job_id)
    return True


class _Shows(StrEnum):
    """What a listing without the job says about a doubt."""

    TOO_EARLY = "the submission may still have been in the air"
    FORGOTTEN = "one of the jobs may be ours, and the service no longer says so"
    ONCE = "the job is absent, and was not looked for long enough ago"
    NEVER_ARRIVED = "the job is absent for the second time"


def _settle(resources: Resources, lane: Lane, doubt: Doubt, listing: Listing) -> bool:
    work, shows = doubt.work, None
    try:
        with resources.database.transaction() as connection:
            if doubts.identical_is_submitting(connection, work):
                # The job on the list may be that attempt's, whose id is not stored yet.
                doubts.saw_something(connection, work.attempt_id)
                return False
            owned = doubts.owned(connection, lane.name, _ids(listing))
            job = _unowned_match(listing, work, owned)
            if job is not None:
                doubts.found(
                    connection,
                    work.attempt_id,
                    job_id=job.job_id,
                    first_look=timedelta(0),
                    deadline=lane.first_look_after(work.settings, model=work.model) * 2 + resources.timing.job_deadline,
                )
            elif (shows := _shows(resources.timing, doubt, listing, owned)) is _Shows.FORGOTTEN:
                doubts.saw_something(connection, work.attempt_id)
            elif shows is _Shows.ONCE:
                doubts.saw_nothing(connection, work.attempt_id, began_at=listing.began_at)
            elif shows is _Shows.NEVER_ARRIVED:
                proven = f"two complete listings of lane {lane.name!r} do not show the job, so it was not accepted"
                doubts.not_accepted(connection, work.attempt_id, failure=NeverArrived(proven))
    except LostRace as race:
        log.info("doubt of attempt %s was settled by somebody else: %s", work.attempt_id, race)
        return False
    log.info("doubt of attempt %s: %s", work.attempt_id, f"its job is {job.job_id}" if job is not None else shows)
    return job is not None or shows is _Shows.NEVER_ARRIVED


def _look_back(resources: Resources, lane: Lane, work: Work, listing: Listing) -> bool:
    """Whether the list shows the job of an attempt whose doubt was settled as lost."""
    with resources.database.transaction() as connection:
        if doubts.identical_is_unanswered(connection, work):
            return False
        owned = doubts.owned(connection, lane.name, _ids(listing))
    call = resources.timing.call_totals.get(lane.name, resources.timing.call_total)
    latest = (work.intent_at or listing.began_at) + call + resources.timing.in_the_air + MARGIN
    in_time = [job for job in listing.jobs if job.created_at is None or job.created_at <= latest.timestamp()]
    job = _unowned_match(replace(listing, jobs=in_time), work, owned)
    return job is not None and late.adopt(resources, work, job_id=job.job_id)


def _shows(timing: Timing, doubt: Doubt, listing: Listing, owned: Mapping[str, object]) -> _Shows:
    latest = doubt.doubted_at + timing.in_the_air + MARGIN
    if any(_may_be_forgotten(job, doubt.work, by=latest) for job in listing.jobs if job.job_id not in owned):
        return _Shows.FORGOTTEN
    if listing.began_at < doubt.doubted_at + timing.in_the_air:
        return _Shows.TOO_EARLY
    if doubt.absent_since is None or listing.began_at < doubt.absent_since + timing.listings_apart:
        return _Shows.ONCE
    return _Shows.NEVER_ARRIVED


def _ids(listing: Listing) -> list[str]:
    return [job.job_id for job in listing.jobs]


def _unowned_match(listing: Listing, work: Work, owned: dict[str, datetime | None]) -> ListedJob | None:
    """A job with our very request that no attempt owns; identical requests are interchangeable."""
    if work.sent_prompt is None:
        return None
    wanted = normalised(work.sent_prompt)
    for job in listing.jobs:
        known = job.prompt is not None and job.job_id not in owned
        if known and _is_recent(job, work) and normalised(job.prompt or "") == wanted:
            return job
    return None


def _is_recent(job: ListedJob, work: Work) -> bool:
    earliest = (work.intent_at - MARGIN).timestamp() if work.intent_at is not None else 0.0
    return job.created_at is None or job.created_at >= earliest


def _may_be_forgotten(job: ListedJob, work: Work, *, by: datetime) -> bool:
    """Whether a job was made in the doubt's time and the service does not say, or not surely, what it was for.

    Whether a service lists a further job under the very text it began with is not documented: one that does the same
    as ours, under another text, may be ours.
    """
    in_time = job.created_at is None or job.created_at <= by.timestamp()
    further = job.action is not None and job.action == work.changes.get("action", {}).get("name")
    return (job.prompt is None or further) and in_time and _is_recent(job, work)


def every(resources: Resources, *, user_id: str) -> list[Doubt]:
    """All doubts of a user, oldest first."""
    with resources.database.transaction() as connection:
        return doubts.every(connection, user_id=user_id)


def settle_as_paid(
    resources: Resources, attempt_id: AttemptId, *, job_id: str, amount_usd: Decimal | None = None
) -> Settled:
    """A person has found the job: it belongs to this attempt, and the next poll says what became of it.

    Where the service has no jobs there is nothing to fetch: unless the reply is in our store, the generation fails
    with `picture_lost`.

    Args:
        job_id: the service's name for the job, or for the call.
        amount_usd: what the service billed, for one without jobs; None for the whole hold.

    Raises:
        UnknownThing: the attempt is neither in doubt nor was settled as lost.
        BadInput: the job belongs to another attempt, or an amount is named that the job itself will tell.
    """
    doubt = _find_or_none(resources, attempt_id)
    if doubt is None:
        return _found_after_all(resources, attempt_id, job_id=job_id, amount_usd=amount_usd)
    if is_synchronous(doubt.work.provider):
        return _settle_without_job(resources, doubt.work, call=job_id, amount_usd=amount_usd)
    if amount_usd is not None:
        raise BadInput(f"what job {job_id!r} cost is asked of {doubt.work.provider!r}; leave the amount out")
    lane = resources.lanes.get(doubt.work.lane)
    expected = (
        lane.first_look_after(doubt.work.settings, model=doubt.work.model) if lane is not None else timedelta(minutes=5)
    )
    try:
        with resources.database.transaction() as connection:
            doubts.found(
                connection,
                attempt_id,
                job_id=job_id,
                first_look=timedelta(0),
                deadline=expected * 2 + resources.timing.job_deadline,
                actor=history.PERSON,
            )
    except LostRace as race:
        raise BadInput(f"the doubt cannot be settled so: {race}") from race
    return Settled.JOB_ADOPTED


def _found_after_all(
    resources: Resources, attempt_id: AttemptId, *, job_id: str, amount_usd: Decimal | None
) -> Settled:
    """The same, of an attempt whose doubt was settled as lost."""
    with resources.database.transaction() as connection:
        work = late_moves.one(connection, attempt_id)
    if work is None:
        raise UnknownThing(_NOT_IN_DOUBT.format(attempt_id))
    if is_synchronous(work.provider):
        if replies.adopt(resources, work):
            return Settled.REPLY_ADOPTED
        try:
            late.charge(resources, attempt_id, call=job_id, amount_usd=amount_usd)
        except LostRace as race:
            raise BadInput(f"the doubt cannot be settled so: {race}") from race
        return Settled.CHARGED
    if not late.adopt(resources, work, job_id=job_id, actor=history.PERSON):
        raise BadInput(f"job {job_id!r} belongs to another attempt already, or the attempt has moved on")
    return Settled.JOB_ADOPTED


def _settle_without_job(resources: Resources, work: Work, *, call: str, amount_usd: Decimal | None) -> Settled:
    if replies.adopt(resources, work):
        return Settled.REPLY_ADOPTED
    lost = PictureLost(f"a person has found call {call!r} on the bill, and its reply was lost with its picture")
    try:
        with resources.database.transaction() as connection:
            doubts.paid_for_nothing(
                connection,
                work.attempt_id,
                call=call,
                amount=amount_usd,
                said_by=f"said by a person: {call}"[:500],
                failure=lost,
            )
    except LostRace as race:
        raise BadInput(f"the doubt cannot be settled so: {race}") from race
    admit(resources, work.provider)
    return Settled.CHARGED


def settle_as_lost(resources: Resources, attempt_id: AttemptId) -> Settled:
    """A person knows that the job does not exist: the hold is released and the generation goes on.

    A reply in our own store knows better, and is adopted instead.

    Raises:
        UnknownThing: the attempt is not in doubt.
    """
    doubt = _find_or_none(resources, attempt_id)
    if doubt is None:
        raise UnknownThing(_NOT_IN_DOUBT.format(attempt_id))
    if is_synchronous(doubt.work.provider) and replies.adopt(resources, doubt.work):
        return Settled.REPLY_ADOPTED
    said = NeverArrived("a person has looked and says that the job does not exist")
    try:
        with resources.database.transaction() as connection:
            doubts.not_accepted(connection, attempt_id, failure=said, actor=history.PERSON)
    except LostRace as race:
        raise BadInput(f"the doubt cannot be settled so: {race}") from race
    admit(resources, doubt.work.provider)
    return Settled.RELEASED


def _find_or_none(resources: Resources, attempt_id: AttemptId) -> Doubt | None:
    with resources.database.transaction() as connection:
        return doubts.one(connection, attempt_id)
