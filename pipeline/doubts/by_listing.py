"""Settle doubts by the provider's own list: a job found is adopted, a job proven absent frees its money.

What a listing must be like to prove anything: complete, part after part to the last page; such that it would show the
job if there were one (`pipeline.doubts.evidence`); begun when our request could no longer be in the air; and followed
by a second one, at least `Timing.listings_apart` later, that shows nothing either. Only then is it certain that the
submission was not accepted. There is no other way to "assume it was lost".
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum

from db.moves import doubts
from db.moves import late_discovery as late_moves
from db.moves.doubts import Doubt, NeverArrived
from db.reads.work import Work
from db.records import history, lanes
from domain.errors import LostRace, ProviderError, ReplyUnreadable
from pipeline.attempts import job_times, late_discovery, replies
from pipeline.attempts.admit import admit
from pipeline.doubts import by_webhook, evidence
from pipeline.doubts.job_listing import MARGIN, Listing, read_listing
from pipeline.resources import Resources, Timing
from providers.contract import Lane

log = logging.getLogger(__name__)


def settle(resources: Resources, lane_name: str) -> int:
    """One round for one lane, by our own store where a reply is the result, else by the service's list."""
    lane = resources.lanes.get(lane_name)
    if lane is not None and lane.synchronous:
        return replies.adopt_stored(resources, lane_name)
    return settle_by_listing(resources, lane_name)


def settle_by_listing(resources: Resources, lane_name: str) -> int:
    """One round for one lane; returns how many doubts were settled."""
    lane = resources.lanes.get(lane_name)
    if lane is None:
        return 0
    by_webhook = _settle_by_webhooks(resources, lane)
    if not lane.list_parts:
        return by_webhook
    with resources.database.transaction() as connection:
        doubtful = doubts.of_lane(connection, lane_name)
        watched = late_moves.watched(connection, lane_name)
    listing = _read(resources, lane, [doubt.work for doubt in doubtful], further_back=evidence.CLOCKS)
    settled = 0 if listing is None else _settle_all(resources, lane, doubtful, listing)
    # After the doubts, which are in more need of a job that could be either's.
    settled += _look_back_for(resources, lane, watched, listing)
    if settled:
        resources.fault_points.reach("by_listing.settled")
        admit(resources, lane.provider)
    return settled + by_webhook


def _read(resources: Resources, lane: Lane, works: Sequence[Work], *, further_back: timedelta) -> Listing | None:
    """The lane's list, back to before the oldest of these was sent; None where there are none, or it can't be read."""
    intents = [work.intent_at for work in works if work.intent_at is not None]
    if not works:
        return None
    with resources.database.transaction() as connection:
        began_at = doubts.now(connection)
    try:
        back_to = min(intents, default=began_at) - further_back
        listing = read_listing(resources, lane, began_at=began_at, back_to=back_to)
    except ProviderError as failure:
        log.info("lane %s could not be listed (%s); its doubts wait", lane.name, failure)
        with resources.database.transaction() as connection:
            lanes.note_error(connection, lane.name, failure)
        return None
    resources.fault_points.reach("by_listing.listed")
    return listing


def _settle_all(resources: Resources, lane: Lane, doubtful: Sequence[Doubt], listing: Listing) -> int:
    oldest = min(evidence.sent_at(doubt) for doubt in doubtful)
    with resources.database.transaction() as connection:
        since = evidence.known_since(listing, oldest)
        # Two listings so far apart presume that a list lags by no more.
        until = listing.began_at - resources.timing.listings_apart
        known = doubts.accepted(connection, lane.name, since=since, until=until)
    search = evidence.Search(lane=lane, listing=listing, complaints=evidence.complaints(lane, listing, known))
    concern = search.concern(oldest)
    if concern is not None:
        with resources.database.transaction() as connection:
            lanes.note_error(connection, lane.name, ReplyUnreadable(concern))
    return sum(_settle(resources, search, doubt) for doubt in doubtful)


def _settle_by_webhooks(resources: Resources, lane: Lane) -> int:
    """Adopt the jobs that webhooks named, where fetching them shows our own request; returns how many."""
    with resources.database.transaction() as connection:
        doubtful = [doubt.work for doubt in doubts.of_lane(connection, lane.name)]
        watched = late_moves.watched(connection, lane.name)
    jobs = by_webhook.proven(resources, lane, [*doubtful, *watched])
    found = [
        _found_by_webhook(resources, lane, one, jobs[one.attempt_id]) for one in doubtful if one.attempt_id in jobs
    ]
    found += [
        late_discovery.adopt(resources, one, job_id=jobs[one.attempt_id], actor=history.A_WEBHOOK)
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
                deadline=job_times.deadline(resources, lane, work),
                actor=history.A_WEBHOOK,
            )
    except LostRace as race:
        log.info("doubt of attempt %s was settled by somebody else: %s", work.attempt_id, race)
        return False
    log.info("doubt of attempt %s: its job is %s, as a webhook said", work.attempt_id, job_id)
    return True


class _Shows(StrEnum):
    """What a listing without the job says about a doubt, where it says anything."""

    TOO_EARLY = "the submission may still have been in the air"
    ONCE = "the job is absent, and was not looked for long enough ago"
    NEVER_ARRIVED = "the job is absent for the second time"


_IS_SUBMITTING = "an identical request is being submitted, and a job on the list may be its"


def _settle(resources: Resources, search: evidence.Search, doubt: Doubt) -> bool:
    lane, listing, work = search.lane, search.listing, doubt.work
    by, objection, shows = doubt.doubted_at + resources.timing.in_the_air, None, None
    try:
        with resources.database.transaction() as connection:
            if doubts.identical_is_submitting(connection, work):
                doubts.saw_something(connection, work.attempt_id, why=_IS_SUBMITTING)
                return False
            owned = doubts.owned(connection, lane.name, _ids(listing))
            job = evidence.job_of(lane, work, listing.jobs, owned)
            if job is not None:
                doubts.found(
                    connection,
                    work.attempt_id,
                    job_id=job.job_id,
                    first_look=timedelta(0),
                    deadline=job_times.deadline(resources, lane, work),
                )
            elif (objection := search.objection(doubt, owned, by=by)) is not None:
                doubts.saw_something(connection, work.attempt_id, why=objection)
            elif (shows := _shows(resources.timing, doubt, listing)) is _Shows.ONCE:
                doubts.saw_nothing(connection, work.attempt_id, began_at=listing.began_at)
            elif shows is _Shows.NEVER_ARRIVED:
                proven = f"two complete listings of lane {lane.name!r} do not show the job, so it was not accepted"
                doubts.not_accepted(connection, work.attempt_id, failure=NeverArrived(proven))
    except LostRace as race:
        log.info("doubt of attempt %s was settled by somebody else: %s", work.attempt_id, race)
        return False
    said = objection or shows if job is None else f"its job is {job.job_id}"
    log.info("doubt of attempt %s: %s", work.attempt_id, said)
    return job is not None or shows is _Shows.NEVER_ARRIVED


def _shows(timing: Timing, doubt: Doubt, listing: Listing) -> _Shows:
    if listing.began_at < doubt.doubted_at + timing.in_the_air:
        return _Shows.TOO_EARLY
    if doubt.absent_since is None or listing.began_at < doubt.absent_since + timing.listings_apart:
        return _Shows.ONCE
    return _Shows.NEVER_ARRIVED


def _look_back_for(resources: Resources, lane: Lane, watched: Sequence[Work], listing: Listing | None) -> int:
    """Look for the jobs of these, settled as lost; returns how many turned up.

    One that was sent long ago needs a longer listing than the doubts do, which may fail and must not hold them up.
    """
    near = [work for work in watched if listing is not None and _is_covered(work, listing)]
    far = [work for work in watched if listing is None or not _is_covered(work, listing)]
    farther = _read(resources, lane, far, further_back=MARGIN)
    looks = [(near, listing), (far, farther)]
    found = [_look_back(resources, lane, one, read) for works, read in looks if read is not None for one in works]
    late_discovery.looked(resources, watched)
    return sum(found)


def _is_covered(work: Work, listing: Listing) -> bool:
    return work.intent_at is not None and listing.shows_since <= work.intent_at - MARGIN


def _look_back(resources: Resources, lane: Lane, work: Work, listing: Listing) -> bool:
    """Whether the list shows the job of an attempt whose doubt was settled as lost."""
    with resources.database.transaction() as connection:
        if doubts.identical_is_unanswered(connection, work):
            return False
        owned = doubts.owned(connection, lane.name, _ids(listing))
    call = resources.timing.call_totals.get(lane.name, resources.timing.call_total)
    latest = (work.intent_at or listing.began_at) + call + resources.timing.in_the_air + MARGIN
    in_time = [job for job in listing.jobs if job.created_at is None or job.created_at <= latest.timestamp()]
    job = evidence.job_of(lane, work, in_time, owned)
    return job is not None and late_discovery.adopt(resources, work, job_id=job.job_id)


def _ids(listing: Listing) -> list[str]:
    return [job.job_id for job in listing.jobs]
