"""Gives the clock of deadlines, which nobody sets and which nothing stops that stops this process."""

import time


def running_s() -> float:
    """Seconds that only differences of mean anything; goes on while the process is stopped and the machine asleep.

    Python's own monotonic clock stands still while Linux or macOS sleeps: a laptop that was shut between an intent and
    its request would find itself in time. Linux has CLOCK_BOOTTIME for this, macOS CLOCK_MONOTONIC_RAW.
    """
    return time.clock_gettime(_CLOCK)


_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC_RAW", time.CLOCK_MONOTONIC))
