"""What one listing proves about a doubt: its job, or its absence, or nothing, and then why nothing.

A job is adopted on our exact text, or on a mark that only its attempt's submission bears. Absence takes more: a list
that lacks a job of ours which the service accepted, or tells it otherwise than we asked for it, would lack or hide the
lost one too. So the search that is to prove an absence must first find every job that the lane owns and that was asked
for in the time it covers; and a job that nobody owns and that may be ours in other words proves nothing either.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from db.moves.doubts import Accepted, Doubt
from db.reads.work import Work
from domain.ids import normalised
from pipeline.doubts import provider_clocks
from pipeline.doubts.job_listing import MARGIN, Listing
from providers.contract import Lane
from providers.listed import ListedJob

#: The times on a service's list may be off by so much, whatever its replies say, and hide no job of ours.
CLOCKS: Final = timedelta(minutes=10)
_EVERY: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """Why a listing cannot prove that a job is absent.

    Args:
        until: it concerns every submission with an intent up to then.
    """

    until: datetime
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A listing, with what is held against it."""

    lane: Lane
    listing: Listing
    complaints: Sequence[Complaint]

    def concern(self, sent_at: datetime) -> str | None:
        """Why the listing as a whole proves nothing about a submission of then, or None where it can."""
        return next((one.why for one in self.complaints if sent_at <= one.until), None)

    def objection(self, doubt: Doubt, owned: Collection[str], *, by: datetime) -> str | None:
        """Why the listing does not prove that the job of the doubt is absent, or None where it does.

        Args:
            owned: ids of the listed jobs that an attempt owns.
            by: when the request could no longer be in the air.
        """
        concern = self.concern(sent_at(doubt))
        job = None if concern is not None else _may_be(self.lane, doubt.work, self.listing.jobs, owned, by=by)
        if job is None:
            return concern
        return f"job {job.job_id} on the list of lane {self.lane.name!r} belongs to no attempt and may be this one's"


def sent_at(doubt: Doubt) -> datetime:
    """When the submission left, at the earliest."""
    return doubt.work.intent_at or doubt.doubted_at


def known_since(listing: Listing, oldest: datetime) -> datetime:
    """Which of the lane's jobs the listing must show, if it is to prove anything about a submission of `oldest`."""
    return max(oldest - CLOCKS, listing.shows_since) + MARGIN


def complaints(lane: Lane, listing: Listing, known: Sequence[Accepted]) -> list[Complaint]:
    """What is wrong with the listing as a whole; empty where it can prove an absence.

    Args:
        known: the jobs that the service accepted from this lane, asked for since `known_since`.
    """
    name, jobs = repr(lane.name), {job.job_id: job for job in listing.jobs}
    found = [
        Complaint(
            until=min(listing.shows_since, _EVERY - CLOCKS) + CLOCKS,
            why=f"the list of lane {name} could not be read back to when this was sent: it proves nothing",
        )
    ]
    if abs(listing.ahead_s) > provider_clocks.MOST_OFF_S:
        why = (
            f"the clock of lane {name} is {provider_clocks.told(listing.ahead_s)}: the times on its list prove nothing"
        )
        found.append(Complaint(until=_EVERY, why=why))
    for one in known:
        # A further job may have its parent's id, with its action added by the adapter: the list has one row for both.
        job = jobs.get(one.job_id) or jobs.get(one.job_id.partition("#")[0])
        until = one.intent_at + CLOCKS - MARGIN
        if job is None:
            why = f"the list of lane {name} lacks job {one.job_id}, which it accepted: it proves nothing"
            found.append(Complaint(until=until, why=why))
        elif not (one.is_further or _could_be(lane, job, sent=one.sent_prompt, since=one.intent_at - CLOCKS)):
            why = f"the list of lane {name} tells job {one.job_id} otherwise than it was asked for: it proves nothing"
            found.append(Complaint(until=until, why=why))
    return found


def job_of(lane: Lane, work: Work, jobs: Sequence[ListedJob], owned: Collection[str]) -> ListedJob | None:
    """The job of a lost submission: one with our very request that no attempt owns, or the one that bears its mark.

    Identical requests are interchangeable.
    """
    if work.sent_prompt is None:
        return None
    wanted = normalised(work.sent_prompt)
    since = work.intent_at - MARGIN if work.intent_at is not None else None
    told = [(job, job.prompt) for job in jobs if job.prompt is not None and job.job_id not in owned]
    same = (job for job, prompt in told if _is_made_since(job, since) and normalised(prompt) == wanted)
    fresh = ((job, prompt) for job, prompt in told if job.action is None)
    marked = {job.job_id: job for job, prompt in fresh if lane.bears_mark_of(str(work.attempt_id), prompt)}
    return next(same, None) or (next(iter(marked.values())) if len(marked) == 1 else None)


def _may_be(
    lane: Lane, work: Work, jobs: Sequence[ListedJob], owned: Collection[str], *, by: datetime
) -> ListedJob | None:
    """A job that nobody owns, made about then, that may be the lost one: forgotten by the service, or spelt otherwise.

    Whether a service lists a further job under the very text it began with is not documented: one that does the same
    as ours, under another text, may be ours.
    """
    action = work.changes.get("action", {}).get("name")
    latest = (by + CLOCKS).timestamp()
    since = work.intent_at - CLOCKS if work.intent_at is not None else None
    for job in jobs:
        in_time = job.job_id not in owned and (job.created_at is None or job.created_at <= latest)
        if in_time and _could_be(lane, job, sent=work.sent_prompt, since=since, action=action):
            return job
    return None


def _could_be(
    lane: Lane, job: ListedJob, *, sent: str | None, since: datetime | None, action: str | None = None
) -> bool:
    if not _is_made_since(job, since):
        return False
    if job.prompt is None or sent is None or (job.action is not None and job.action == action):
        return True
    return normalised(job.prompt) == normalised(sent) or lane.resembles(sent, job.prompt)


def _is_made_since(job: ListedJob, moment: datetime | None) -> bool:
    """Whether the job may have been made since then."""
    latest = job.created_at if job.created_at is not None else job.created_before
    return moment is None or latest is None or latest >= moment.timestamp()
