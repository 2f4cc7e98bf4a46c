"""Read a provider's list of jobs to its end, or back to a moment. `pipeline.doubts.evidence` says what it proves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from db.moves import doubts
from pipeline.doubts.provider_clocks import Clock
from pipeline.resources import Resources
from providers.contract import Lane
from providers.listed import ListedJob

#: Between an intent and the moment that a service writes on its job, where the clocks agree.
MARGIN: Final = timedelta(minutes=1)
#: Of each part; where these do not reach back far enough, `Listing.shows_since` says so.
_MOST_PAGES: Final = 500
_ALL: Final = datetime.min.replace(tzinfo=UTC)
_NOTHING: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One reading of the account's jobs.

    Args:
        began_at: by the clock of Postgres.
        jobs: newest first within each part.
        shows_since: every job made since then is among them; by the service's clock, or by ours where a job of ours
            shows how far the reading went.
        ahead_s: by how many seconds the service's clock is ahead of Postgres', negative where it is behind; of all
            its replies the worst.
    """

    began_at: datetime
    jobs: Sequence[ListedJob]
    shows_since: datetime
    ahead_s: float


@dataclass(slots=True, kw_only=True)
class _Part:
    """What has been read of one part of the list; the fields are those of `Listing`."""

    jobs: list[ListedJob] = field(default_factory=list)
    shows_since: datetime = _NOTHING
    ahead_s: float = 0.0


def read_listing(resources: Resources, lane: Lane, *, began_at: datetime, back_to: datetime) -> Listing:
    """Read every part to its end, or to jobs that are surely older than `back_to`.

    Raises:
        ProviderError: a page could not be read; a listing with a hole proves nothing.
    """
    clock = Clock(began_at)
    parts = [_read_part(resources, lane, part, back_to=back_to, clock=clock) for part in lane.list_parts]
    return Listing(
        began_at=began_at,
        jobs=[job for one in parts for job in one.jobs],
        shows_since=max((one.shows_since for one in parts), default=_ALL),
        ahead_s=max((one.ahead_s for one in parts), key=abs, default=0.0),
    )


def _read_part(resources: Resources, lane: Lane, part: str, *, back_to: datetime, clock: Clock) -> _Part:
    found = _Part()
    next_page = None
    for _ in range(_MOST_PAGES):
        asked_at_s = clock.now_s()
        page = lane.listed_jobs(part=part, page=next_page)
        if page is None:
            found.shows_since = _ALL
            break
        found.ahead_s = max(found.ahead_s, clock.ahead_s(page.served_at, asked_at_s=asked_at_s), key=abs)
        found.jobs.extend(page.jobs)
        next_page = page.next_page
        found.shows_since = _ALL if next_page is None else min(found.shows_since, _reached(resources, lane, page.jobs))
        if found.shows_since < back_to:
            break
    return found


def _reached(resources: Resources, lane: Lane, jobs: Sequence[ListedJob]) -> datetime:
    """Since when the list shows every job, read to the end of this page, newest first.

    By the service's time of the last job. Where it writes no zone, the last of our own jobs on the page may reach
    further back: it was made before we were told its id.
    """
    if not jobs or _is_newest_last(jobs):
        return _NOTHING
    oldest = jobs[-1]
    if oldest.created_at is not None:
        return datetime.fromtimestamp(oldest.created_at, UTC)
    surely = _NOTHING if oldest.created_before is None else datetime.fromtimestamp(oldest.created_before, UTC)
    with resources.database.transaction() as connection:
        owned = doubts.owned(connection, lane.name, [job.job_id for job in jobs])
    known = [accepted_at for job in jobs if (accepted_at := owned.get(job.job_id)) is not None]
    return min(surely, known[-1]) if known else surely


def _is_newest_last(jobs: Sequence[ListedJob]) -> bool:
    """Whether the page runs the other way round than it was asked for, so that its end says nothing."""
    first, last = (job.created_at or job.created_before for job in (jobs[0], jobs[-1]))
    return first is not None and last is not None and first < last
