"""Audit the books: against themselves, and against the services' lists, which show each charged job and its amount.

Compares only what a service documents: TTAPI lists the cost of each job, Replicate lists jobs without cost, OpenAI has
no list. A listed job that no attempt owns is a difference if it has one of our prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from db.books import audit as books
from db.books.audit import Booked
from db.moves import doubts
from domain.errors import ProviderError
from domain.ids import normalised
from domain.money import ZERO, show
from domain.states import AttemptState
from pipeline.doubts.job_listing import MARGIN, Listing, read_listing
from pipeline.resources import Resources
from providers.contract import Lane
from providers.listed import ListedJob

_ENDED = frozenset({AttemptState.COLLECTING, AttemptState.VALIDATING, AttemptState.FINISHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFigures:
    """One lane's jobs of the window, by the books and by the service.

    Args:
        listed: whether the service lists jobs at all.
        booked_jobs, booked_usd: jobs that ended in the window, and their charges.
        said_usd: the service's own sum for the same jobs; None where it lists no costs.
        strangers: listed jobs that are not ours.
        unreachable: why the list could not be read, or None.
        differences: one sentence each.
    """

    lane: str
    listed: bool
    booked_jobs: int = 0
    booked_usd: Decimal = ZERO
    said_usd: Decimal | None = None
    strangers: int = 0
    unreachable: str | None = None
    differences: Sequence[str] = ()


def of_books(resources: Resources) -> list[str]:
    """Every difference between balances, ledger, attempts and states, as sentences; empty when the books are right."""
    with resources.database.transaction() as connection:
        return books.differences(connection)


def with_services(resources: Resources, *, window: timedelta) -> list[LaneFigures]:
    """Compare every lane of this installation with its service's list, for jobs submitted within `window`."""
    return [_compared(resources, lane, window=window) for lane in resources.lanes.values()]


def _compared(resources: Resources, lane: Lane, *, window: timedelta) -> LaneFigures:
    if not lane.list_parts:
        return LaneFigures(lane=lane.name, listed=False)
    with resources.database.transaction() as connection:
        now = doubts.now(connection)
    since = now - window
    try:
        listing = read_listing(resources, lane, began_at=now, back_to=since - MARGIN)
    except ProviderError as failure:
        return LaneFigures(lane=lane.name, listed=True, unreachable=str(failure))
    if listing.shows_since > since:
        return LaneFigures(lane=lane.name, listed=True, unreachable="its list could not be read back so far")
    with resources.database.transaction() as connection:
        # Jobs newer than the listing or older than the window may be missing from it.
        mine = books.booked(connection, lane.name, since=since, until=now - MARGIN)
        owned = doubts.owned(connection, lane.name, [job.job_id for job in listing.jobs])
        ours = {normalised(text) for text in books.sent_texts(connection, lane.name, since=since - MARGIN)}
    return _figures(lane, listing, [one for one in mine if one.state in _ENDED], owned=set(owned), ours=ours)


def _figures(lane: Lane, listing: Listing, mine: Sequence[Booked], *, owned: set[str], ours: set[str]) -> LaneFigures:
    listed = {job.job_id: job for job in listing.jobs}
    # A follow-up job may have its parent's id plus an action that the adapter adds; the list has one row for both.
    mine = [one for one in mine if one.job_id in listed or one.job_id.partition("#")[0] not in listed]
    differences = [sentence for one in mine if (sentence := _difference(lane, one, listed.get(one.job_id))) is not None]
    unowned = [job for job in listed.values() if job.job_id not in owned]
    lost = [job for job in unowned if job.prompt is not None and normalised(job.prompt) in ours]
    differences += [
        f"job {job.job_id} on the list of lane {lane.name!r} was sent by us and belongs to no attempt" for job in lost
    ]
    listed_usd = [job.charged_usd for one in mine if (job := listed.get(one.job_id)) and job.charged_usd is not None]
    return LaneFigures(
        lane=lane.name,
        listed=True,
        booked_jobs=len(mine),
        booked_usd=sum((one.charged_usd or ZERO for one in mine), ZERO),
        said_usd=sum(listed_usd, ZERO) if listed_usd else None,
        strangers=len(unowned) - len(lost),
        differences=differences,
    )


def _difference(lane: Lane, mine: Booked, job: ListedJob | None) -> str | None:
    charged = mine.charged_usd or ZERO
    if job is None:
        if mine.charged_usd is None:
            return None
        return (
            f"attempt {mine.attempt_id} was charged {show(charged)} USD for job {mine.job_id},"
            f" which the list of lane {lane.name!r} does not show"
        )
    if job.charged_usd is None:
        return _difference_by_its_end(lane, mine, job)
    if job.charged_usd == charged:
        return None
    return (
        f"attempt {mine.attempt_id} was charged {show(charged)} USD, and lane {lane.name!r} says"
        f" {show(job.charged_usd)} USD for job {mine.job_id}"
    )


def _difference_by_its_end(lane: Lane, mine: Booked, job: ListedJob) -> str | None:
    """For a service that lists no costs: charged if and only if it is billed by the way it ended."""
    ended = f"lane {lane.name!r} says that job {mine.job_id} has {job.status}"
    if job.billed is True and mine.charged_usd is None:
        return f"attempt {mine.attempt_id} was charged nothing, and {ended}, which is billed"
    if job.billed is False and mine.charged_usd:
        return f"attempt {mine.attempt_id} was charged {show(mine.charged_usd)} USD, and {ended}, which costs nothing"
    return None
