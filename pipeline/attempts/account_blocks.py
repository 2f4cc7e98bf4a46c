"""Closes a lane whose account is blocked in words of moderation: several different prompts refused alike, in a row.

A blocked account is refused like an objectionable prompt, and a whole batch would fail row by row. Prompts that a
provider counts against the account have a brake of their own (`pipeline.attempts.illegal_prompts`).

Source: PROVIDERS.md 8: pollinations#12446 and #9707, gflow-cli#528.
"""

import logging
import re
from datetime import timedelta
from typing import Final

from db.records import lanes
from domain.errors import ContentRefused, LikenessError
from pipeline.resources import Resources

log = logging.getLogger(__name__)

#: Objectionable prompts come in lots too; so many different ones, refused alike and none accepted in between, do not.
IN_A_ROW: Final = 6
_UNTIL_SOMEBODY_LOOKS: Final = timedelta(days=1)
#: What differs between equal refusals: numbers, and names of requests.
_PARTICULARS: Final = re.compile(r"\b\w*\d[\w-]*\b")


def note(resources: Resources, lane: str, failure: LikenessError) -> None:
    """Close the lane if `failure`, which is in its row by now, is the last of several equal ones.

    A person may open the lane all the same; the next refusal of that kind closes it again, the next picture does not.
    """
    if not isinstance(failure, ContentRefused) or failure.illegal_prompt:
        return
    with resources.database.transaction() as connection:
        refusals = lanes.latest_refusals(connection, lane, code=failure.code, count=IN_A_ROW)
        alike = {_PARTICULARS.sub("#", one) for one in refusals}
        if len(refusals) < IN_A_ROW or len(alike) > 1:
            return
        reason = (
            f"account_blocked: {IN_A_ROW} different prompts in a row were refused in the same words, as an account is"
            f" that is blocked; look at the account, and at the prompts, before opening it. The last: {failure}"
        )
        log.warning("lane %s is closed: %s", lane, reason)
        lanes.close(connection, lane, reason=reason[:500], wait=_UNTIL_SOMEBODY_LOOKS)
