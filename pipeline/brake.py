"""The brake on illegal prompts: a provider that keeps money after too many of them in a day is spared the last ones.

TTAPI counts failed jobs of some families (`providers.ttapi_failures.ILLEGAL`) and keeps what it froze for a failed job
after thirty in a day. One bad template gets there in minutes, so the lane is closed well before. What is in flight by
then may still fail: with the usual ten places, the brake at 20 ends below 30.
"""

import logging

from db import lanes
from domain.errors import LikenessError, ProviderError
from pipeline.resources import Resources

log = logging.getLogger(__name__)


def pull(resources: Resources, lane: str, failure: LikenessError) -> None:
    """Close the lane until its window has room again, if `failure`, which is in its row by now, filled it.

    A person may open the lane all the same; the next illegal prompt closes it again.
    """
    if not isinstance(failure, ProviderError) or not failure.illegal_prompt:
        return
    limit = resources.timing.illegal_prompts
    with resources.database.transaction() as connection:
        wait = lanes.illegal_prompts_until(connection, lane, limit=limit)
        if wait is None:
            return
        reason = (
            f"illegal_prompts: {limit} prompts in 24 hours were illegal to the provider, which keeps the money of"
            f" failed jobs if it goes on like this; look at the prompts before opening it. The last: {failure}"
        )
        log.warning("lane %s is closed: %s", lane, reason)
        lanes.close(connection, lane, reason=reason[:500], wait=wait)
