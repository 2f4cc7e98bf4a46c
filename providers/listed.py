"""Defines what a service's list of jobs says: records, and the part of a lane that reads it.

What a listing proves about a submission whose reply was lost is `pipeline.doubts.evidence`'s business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedJob:
    """A job as the service lists it, for finding one whose id was lost.

    Args:
        prompt: comparable with `Adapter.prompt_text`; None where the service has forgotten it, so that the job
            may be anybody's.
        created_at: Unix time, or None where the service does not say, or says it without a time zone.
        created_before: where the service says it without a time zone, the latest Unix time that it can mean.
        status: the service's own number or word for it; a listing may use others than a poll.
        action: of a job that carries another one further, what it does; None for a fresh one.
        charged_usd: what the service says it charged, or has set aside while it works; None where it does not say.
        billed: where no amount is named, whether a job that has ended so is billed; None where that is not sure, and
            while it works.
    """

    job_id: str
    prompt: str | None
    created_at: float | None
    created_before: float | None = None
    status: str | None = None
    action: str | None = None
    charged_usd: Decimal | None = None
    billed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPage:
    """One page of a listing.

    Args:
        jobs: newest first.
        next_page: what to ask for after this one, in the adapter's own words; None behind the last page.
        served_at: Unix time by the service's clock when it answered, in whole seconds; None where it does not say.
    """

    jobs: Sequence[ListedJob]
    next_page: str | None
    served_at: float | None = None


class Lists(Protocol):
    """The part of `providers.contract.Lane` that is about the service's list of the account's jobs."""

    @property
    def list_parts(self) -> Sequence[str]:
        """The parts of the list, as `providers.adapter.Adapter` has them; none where the service lists no jobs."""
        ...

    def listed_jobs(self, *, part: str, page: str | None = None) -> ListedPage | None:
        """One page of one part, the first or a later one by its name; None where the service lists no jobs."""
        ...

    def resembles(self, sent: str, listed: str) -> bool:
        """Whether the list may spell so what was sent as `sent`: the same request, in other words.

        It adopts nothing. A job that resembles a lost request, and that nobody owns, keeps a listing from proving
        that the request never arrived.
        """
        ...

    def bears_mark_of(self, attempt_id: str, listed: str) -> bool:
        """Whether a listed text bears what no submission but this attempt's can bear, whatever else became of it.

        False where the wire has no such mark.
        """
        ...
