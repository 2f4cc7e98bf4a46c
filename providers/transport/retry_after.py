"""Reads how long a service asks us to wait, in both forms that HTTP allows.

A service's number, wherever it stands, goes through `meant_s`: an epoch time, a sign or `nan` is no pause.
"""

import math
from datetime import UTC, datetime

from domain.retry import LONGEST_WISH
from providers.contract import Reply
from providers.transport.http_dates import http_date


def retry_after_s(reply: Reply) -> float | None:
    """Seconds, at most a day; None where the service says nothing that can be read.

    A date is compared with the reply's own `date`, so that two clocks need not agree; without one, with ours.
    """
    wish = reply.headers.get("retry-after", "").strip()
    if not wish:
        return None
    try:
        return meant_s(float(wish))
    except ValueError:
        until = http_date(wish)
    if until is None:
        return None
    # A moment that has passed is no pause, and yet the service's word.
    return meant_s(max(0.0, (until - (http_date(reply.headers.get("date", "")) or datetime.now(UTC))).total_seconds()))


def meant_s(seconds: float) -> float | None:
    """`seconds` as a pause that can be meant: a day at most, and None for what is negative or no number."""
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, LONGEST_WISH.total_seconds())
