"""Rate limits in Celery's notation: a number, and a unit after a slash."""

import math
from datetime import timedelta

from domain.errors import BadInput

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def per_second(limit: str | None) -> float | None:
    """`600/m` is 10.0; None, an empty text and zero mean no limit, as they do for Celery.

    Raises:
        BadInput: not a rate.
    """
    if limit is None or limit.strip() in {"", "0"}:
        return None
    number, _, unit = limit.strip().partition("/")
    try:
        rate = float(number) / _SECONDS[unit or "s"]
    except (ValueError, KeyError):
        raise BadInput(f"{limit!r} is no rate limit; write it like 10/s, 600/m or 100/h") from None
    if not math.isfinite(rate) or rate < 0:
        raise BadInput(f"{limit!r} is no rate limit; write it like 600/m")
    return rate or None


def places_within(limit: str | None, *, seconds: float, at_most: int) -> int:
    """How many submissions the limit allows in `seconds`; at least one, so that a slow lane still moves."""
    rate = per_second(limit)
    return at_most if rate is None else max(1, min(at_most, int(rate * seconds)))


def time_for(number: int, *, limit: str | None) -> timedelta:
    """How long the limit takes to let so many submissions go; nothing without a limit."""
    rate = per_second(limit)
    return timedelta(0) if rate is None else timedelta(seconds=number / rate)
