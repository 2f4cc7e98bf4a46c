"""The brake on illegal prompts: a provider that keeps money after too many of them in a day is spared the last ones.

TTAPI counts failed jobs of some families (`providers.ttapi_failures.ILLEGAL`) and keeps what it froze for a failed job
after thirty in a day. One bad template gets there in minutes, so the lane is closed well before. What is in flight by
then may still fail: with the usual ten places, the brake at 20 ends below 30.
"""

import logging

from sqlalchemy import Connection

from db import lanes
from domain.errors import LikenessError, ProviderError
from pipeline.resources import Timing

log = logging.getLogger(__name__)


def pull(connection: Connection, lane: str, failure: LikenessError, *, timing: Timing) -> None:
    """Close the lane until its window has room again, if `failure` filled it; in the transaction that counted it.

    A person may open the lane all the same; the next illegal prompt closes it again.
    """
    if not isinstance(failure, ProviderError) or not failure.illegal_prompt:
        return
    wait = lanes.illegal_prompts_until(connection, lane, limit=timing.illegal_prompts)
    if wait is None:
        return
    reason = (
        f"illegal_prompts: {timing.illegal_prompts} prompts in 24 hours were illegal to the provider, which keeps"
        f" the money of failed jobs if it goes on like this; look at the prompts before opening it. The last: {failure}"
    )
    log.warning("lane %s is closed: %s", lane, reason)
    lanes.close(connection, lane, reason=reason[:500], wait=wait)
