"""Reading a service's own list of jobs to its end, or back to a moment; what that proves, `pipeline.doubts` says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from db.moves import doubts
from domain.errors import ReplyUnreadable
from pipeline.resources import Resources
from providers.base import Lane
from providers.listed import ListedJob

#: Clocks differ; a listing must reach back this far before the intent.
MARGIN: Final = timedelta(minutes=1)
#: A listing longer than this is given up for this round rather than believed.
_MOST_PAGES: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One complete reading of the account's jobs.

    Args:
        began_at: by the clock of Postgres.
        jobs: those that could answer a doubt, newest first within each part.
    """

    began_at: datetime
    jobs: Sequence[ListedJob]


def read_listing(resources: Resources, lane: Lane, *, began_at: datetime, back_to: datetime) -> Listing:
    """Read every part to its end, or to jobs that are older than any doubt.

    Raises:
        ProviderError: a page could not be read; a listing with a hole proves nothing.
    """
    found: list[ListedJob] = []
    for part in lane.list_parts:
        next_page: str | None = None
        for _ in range(_MOST_PAGES):
            page = lane.listed_jobs(part=part, page=next_page)
            if page is None:
                break
            found.extend(page.jobs)
            next_page = page.next_page
            if next_page is None or (page.jobs and _reaches_back(resources, lane, page.jobs, back_to)):
                break
        else:
            raise ReplyUnreadable(f"the list of lane {lane.name!r} has more than {_MOST_PAGES} pages")
    return Listing(began_at=began_at, jobs=found)


def _reaches_back(resources: Resources, lane: Lane, jobs: Sequence[ListedJob], back_to: datetime) -> bool:
    """Whether this page, newest first, ends before `back_to`, by the service's times or by those of jobs we own."""
    oldest = jobs[-1]
    if oldest.created_at is not None:
        return datetime.fromtimestamp(oldest.created_at, UTC) < back_to
    with resources.database.transaction() as connection:
        intents = doubts.owned(connection, lane.name, [job.job_id for job in jobs]).values()
    return any(intent is not None and intent < back_to for intent in intents)
