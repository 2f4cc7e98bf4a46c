"""Detect a provider outage from repeated faults on a lane, and decide how long to pause the lane. Pure.

A single fault is ambiguous: the prompt may be bad, or the provider down. When several generations fail in a row without
a picture in between, the provider is at fault: the lane is closed and the failures do not count as tries. A prompt that
fails alone, or among others that succeed, uses up its tries. Reasons: docs/decisions/0028-an-outage-delays-a-batch.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.errors import JobFailed, JobTimedOut, LikenessError
from domain.ids import GenerationId

#: More than the tries of one generation, so that a single prompt cannot close a lane.
IN_A_ROW: Final = 5
_SEVERAL: Final = 2
#: The first pause; it doubles each time, up to LONGEST_PAUSE.
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=10)
#: The longest wait of a generation for its next try, so that all of them notice the end of an outage.
LONGEST_WAIT: Final = timedelta(minutes=30)
#: After this long, faults count as failed tries again: nobody waits for an outage that long.
LONGEST_RUN: Final = timedelta(hours=24)

#: Failures by which a provider reports that a job failed on its side.
FAULTS: Final = (JobFailed, JobTimedOut)
CODES: Final = tuple(kind("").code for kind in FAULTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An attempt that failed at the provider.

    Args:
        began_at: when its request was sent.
        ended_at: when the provider reported the failure.
    """

    generation_id: GenerationId
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a run of faults means for the lane, and for the attempt with the latest fault.

    Args:
        faults: length of the run, as far as it was read.
        pause: how long the lane stays closed.
        closes: whether this fault closes the lane; otherwise it stays open, or an earlier fault closed it.
        counts: the fault counts as a failed try because the run has lasted too long.
    """

    faults: int
    pause: timedelta
    closes: bool
    counts: bool

    def wait(self, number: int) -> timedelta:
        """How long a generation waits after its attempt `number` (from 1) failed.

        The wait grows with each attempt, so that prompts that failed often do not keep the others of the batch from
        being tried.
        """
        return min(self.pause * max(number, 1), LONGEST_WAIT)

    def reason(self, last: LikenessError) -> str:
        """The text for the lane's row."""
        return (
            f"repeated_faults: {self.faults} attempts in a row failed at the provider, without a picture in between;"
            f" it is tried again by itself, and no try is counted. The last: {last}"
        )[:500]


def is_fault(failure: LikenessError) -> bool:
    """Whether `failure` can be part of an outage: it happened at the provider, and nothing was charged."""
    return isinstance(failure, FAULTS) and not failure.charged_usd


def outage(run: Sequence[Fault]) -> Outage | None:
    """The outage shown by a lane's faults since its last success, oldest first; None where they show none."""
    closings = _closings(run)
    if closings == 0:
        return None
    return Outage(
        faults=len(run),
        pause=min(FIRST_PAUSE * 2 ** min(closings - 1, 16), LONGEST_PAUSE),
        closes=closings > _closings(run[:-1]),
        counts=run[-1].ended_at - run[0].ended_at > LONGEST_RUN,
    )


def _closings(run: Sequence[Fault]) -> int:
    """How often the run has closed its lane, each time by IN_A_ROW faults of several generations.

    Attempts that were running when the lane closed fail for the same reason and do not count again. Every reopening
    needs IN_A_ROW new faults to close the lane, so that one bad prompt does not shut out the others.
    """
    closings = 0
    closed_at: datetime | None = None
    anew: list[GenerationId] = []
    for fault in run:
        if closed_at is not None and fault.began_at <= closed_at:
            continue
        anew.append(fault.generation_id)
        if len(anew) >= IN_A_ROW and len(set(anew)) >= _SEVERAL:
            closings, closed_at, anew = closings + 1, fault.ended_at, []
    return closings
