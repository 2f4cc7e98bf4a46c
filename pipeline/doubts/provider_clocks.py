"""How far the clocks of the services are from that of Postgres, by which every moment in the rows is measured.

Where they differ, the times on a service's list are no times of ours: a job of this minute looks as old as a job of
yesterday, and the search for a lost one passes it by.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from db.moves import doubts
from domain.errors import ProviderError
from pipeline.resources import Resources

#: The times on the list of a service whose clock is further off than this prove nothing.
MOST_OFF_S: Final = 30.0


class Clock:
    """The clock of Postgres, asked once and carried on by this process's own count of seconds."""

    def __init__(self, now: datetime) -> None:
        self._started = time.monotonic() - now.timestamp()

    def now_s(self) -> float:
        """Unix time."""
        return time.monotonic() - self._started

    def ahead_s(self, served_at: float | None, *, asked_at_s: float) -> float:
        """By how many seconds a service is ahead of us, negative where it is behind; 0 where it may be neither.

        Args:
            served_at: the second, by its clock, in which it wrote a reply that has just come; None where unknown.
            asked_at_s: when we asked, by this clock.
        """
        if served_at is None:
            return 0.0
        return max(0.0, served_at - self.now_s()) - max(0.0, asked_at_s - (served_at + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One lane's service.

    Args:
        ahead_s: as `Clock.ahead_s`; None where it did not say, or could not be asked.
    """

    lane: str
    ahead_s: float | None

    @property
    def is_off(self) -> bool:
        return self.ahead_s is not None and abs(self.ahead_s) > MOST_OFF_S


def look(resources: Resources) -> Iterator[Finding]:
    """Ask every service of this installation that lists jobs what time it is."""
    for lane in resources.lanes.values():
        if not lane.list_parts:
            continue
        with resources.database.transaction() as connection:
            clock = Clock(doubts.now(connection))
        asked_at_s = clock.now_s()
        try:
            said = lane.account()
        except ProviderError:
            said = None
        served_at = None if said is None else said.served_at
        known = served_at is not None
        yield Finding(lane=lane.name, ahead_s=clock.ahead_s(served_at, asked_at_s=asked_at_s) if known else None)


def told(ahead_s: float) -> str:
    """`300 s ahead of ours`."""
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} ours"
