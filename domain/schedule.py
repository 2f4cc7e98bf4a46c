"""Poll schedule of a job: rarely before its expected end, often around it. Pure."""

from datetime import timedelta
from typing import Final

#: No service works longer on a job, so an older doubt occupies no place on its lane.
LONGEST_JOB: Final = timedelta(minutes=20)

_SHORTEST = timedelta(milliseconds=200)
_LONGEST = timedelta(seconds=15)
_OVERDUE = timedelta(seconds=60)


def next_look(*, age: timedelta, expected: timedelta, overdue: bool) -> timedelta:
    """How long to wait before polling a job accepted `age` ago.

    Args:
        expected: when most jobs of its kind are done; the first poll is at that time.
        overdue: past our own deadline; polled rarely, but still, because it was paid for.
    """
    if overdue:
        return _OVERDUE
    if age < expected:
        return max(expected - age, _SHORTEST)
    # A tenth of its age: the relative delay stays constant, and the number of calls grows with the logarithm of age.
    return min(max(age / 10, _SHORTEST), _LONGEST)


def after_silence(*, silences: int) -> timedelta:
    """How long to wait after `silences` calls in a row (from 1) that gave no status for the job."""
    return min(timedelta(seconds=2 ** min(silences, 6)), _OVERDUE)
