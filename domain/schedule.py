"""When to look at a job again: seldom while it cannot be done, often when it should be. Pure."""

from datetime import timedelta
from typing import Final

#: No service works longer on a job: what is in doubt for longer occupies no place there, whatever became of it.
LONGEST_JOB: Final = timedelta(minutes=20)

_SHORTEST = timedelta(milliseconds=200)
_LONGEST = timedelta(seconds=15)
_OVERDUE = timedelta(seconds=60)


def next_look(*, age: timedelta, expected: timedelta, overdue: bool) -> timedelta:
    """How long to wait before the next look at a job accepted `age` ago.

    Args:
        expected: when most jobs of its kind are done; the first look stands there.
        overdue: past our own deadline; it is still somebody's money, so it is looked at, but rarely.
    """
    if overdue:
        return _OVERDUE
    if age < expected:
        return max(expected - age, _SHORTEST)
    # A tenth of what it has taken so far: the relative delay stays constant, and calls grow with the logarithm of age.
    return min(max(age / 10, _SHORTEST), _LONGEST)


def after_silence(*, silences: int) -> timedelta:
    """How long to wait after `silences` calls in a row (from 1) that said nothing about the job."""
    return min(timedelta(seconds=2 ** min(silences, 6)), _OVERDUE)
