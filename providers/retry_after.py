"""How long a service asks us to wait: the `retry-after` header, in both forms that HTTP allows."""

import email.utils
import math
from datetime import UTC, datetime

from providers.base import Reply


def retry_after_s(reply: Reply) -> float | None:
    """Seconds, or None where the service says nothing that can be read.

    A date is compared with the reply's own `date`, so that two clocks need not agree; without one, with ours.
    """
    wish = reply.headers.get("retry-after", "").strip()
    if not wish:
        return None
    try:
        seconds = float(wish)
    except ValueError:
        until = _moment(wish)
        if until is None:
            return None
        seconds = (until - (_moment(reply.headers.get("date", "")) or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _moment(text: str) -> datetime | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
