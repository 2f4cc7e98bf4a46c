"""Close a lane before its provider has counted so many illegal prompts in a day that it keeps the money of failed jobs.

TTAPI counts failed jobs of some families (`providers.ttapi.failures.ILLEGAL`) and keeps what it froze for a failed job
after thirty in a day. One bad template gets there in minutes, so the lane is closed well before; and since everything
in flight by then may still fail, admission keeps strikes and places together below the limit, whatever number of jobs
the account allows.
"""

import logging
from typing import Final

from db.records import lanes
from domain.errors import LikenessError, ProviderError
from pipeline.resources import Resources
from providers.registry import SERVICES

log = logging.getLogger(__name__)

#: Kept free for strikes that no row shows in time: jobs that turn up late, a day that the provider begins elsewhere.
_SPARE: Final = 2


def most_at_risk(resources: Resources, provider: str) -> int | None:
    """How many strikes of a day and attempts in flight a lane may have together; None where nobody counts strikes."""
    service = SERVICES.get(provider)
    if service is None or not service.counts_illegal:
        return None
    return resources.timing.illegal_limit - _SPARE


def close_when_full(resources: Resources, lane: str, failure: LikenessError) -> None:
    """Close the lane until its window has room again, if `failure`, which is in its row by now, filled it.

    A person may open the lane all the same; the next illegal prompt closes it again.
    """
    if not isinstance(failure, ProviderError) or not failure.illegal_prompt:
        return
    limit = min(resources.timing.illegal_prompts, resources.timing.illegal_limit - _SPARE)
    _close_if_full(resources, lane, limit=limit, last=f". The last: {failure}")


def close_if_still_full(resources: Resources, lane: str, *, provider: str) -> None:
    """Close a lane that a person has opened, where its window leaves no place at all: open, it would stand still."""
    most = most_at_risk(resources, provider)
    if most is not None:
        _close_if_full(resources, lane, limit=most)


def _close_if_full(resources: Resources, lane: str, *, limit: int, last: str = "") -> None:
    with resources.database.transaction() as connection:
        wait = lanes.illegal_prompts_until(connection, lane, limit=limit)
        if wait is None:
            return
        reason = (
            f"illegal_prompts: {limit} prompts in 24 hours were illegal to the provider, which keeps the money of"
            f" failed jobs if it goes on like this; look at the prompts before opening it{last}"
        )
        log.warning("lane %s is closed: %s", lane, reason)
        lanes.close(connection, lane, reason=reason[:500], wait=wait)
