"""Reading a service's own list of jobs to its end, or back to a moment; what that proves, `pipeline.proof` says."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from db.moves import doubts
from pipeline.resources import Resources
from providers.base import Lane
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
        clock_off_s: how much further the service's clock and Postgres' are apart than its replies took, in seconds.
    """

    began_at: datetime
    jobs: Sequence[ListedJob]
    shows_since: datetime
    clock_off_s: float


class _Clock:
    """How far a service's clock is off, by what it writes on its replies."""

    def __init__(self, began_at: datetime) -> None:
        self._started = time.monotonic() - began_at.timestamp()
        self.off_s = 0.0

    def now(self) -> float:
        return time.monotonic() - self._started

    def compare(self, served_at: float | None, *, asked_at: float) -> None:
        """The reply was written between then and now; in the second that it names."""
        if served_at is not None:
            self.off_s = max(self.off_s, asked_at - (served_at + 1), served_at - self.now())


def read_listing(resources: Resources, lane: Lane, *, began_at: datetime, back_to: datetime) -> Listing:
    """Read every part to its end, or to jobs that are surely older than `back_to`.

    Raises:
        ProviderError: a page could not be read; a listing with a hole proves nothing.
    """
    found: list[ListedJob] = []
    clock = _Clock(began_at)
    since = [_read_part(resources, lane, part, back_to=back_to, clock=clock, found=found) for part in lane.list_parts]
    return Listing(began_at=began_at, jobs=found, shows_since=max(since, default=_ALL), clock_off_s=clock.off_s)


def _read_part(
    resources: Resources, lane: Lane, part: str, *, back_to: datetime, clock: _Clock, found: list[ListedJob]
) -> datetime:
    """Add the part's jobs to `found`; returns since when every job is among them."""
    next_page, since = None, _NOTHING
    for _ in range(_MOST_PAGES):
        asked_at = clock.now()
        page = lane.listed_jobs(part=part, page=next_page)
        if page is None:
            return _ALL
        clock.compare(page.served_at, asked_at=asked_at)
        found.extend(page.jobs)
        next_page = page.next_page
        if next_page is None:
            return _ALL
        since = min(since, _reached(resources, lane, page.jobs))
        if since < back_to:
            break
    return since


def _reached(resources: Resources, lane: Lane, jobs: Sequence[ListedJob]) -> datetime:
    """Since when the list shows every job, read to the end of this page, newest first.

    By the service's time of the last job. Where it writes no zone, the last of our own jobs on the page may reach
    further back: it was made before we were told its id.
    """
    if not jobs:
        return _NOTHING
    oldest = jobs[-1]
    if oldest.created_at is not None:
        return datetime.fromtimestamp(oldest.created_at, UTC)
    surely = _NOTHING if oldest.created_before is None else datetime.fromtimestamp(oldest.created_before, UTC)
    with resources.database.transaction() as connection:
        owned = doubts.owned(connection, lane.name, [job.job_id for job in jobs])
    known = [accepted_at for job in jobs if (accepted_at := owned.get(job.job_id)) is not None]
    return min(surely, known[-1]) if known else surely
