"""Repeated faults: when a lane's provider fails everybody, and how long the lane is left alone then. Pure.

One fault says nothing certain: the prompt may be bad, or the provider down. What tells them apart is what else happens
on the lane. Where several generations fail in a row and nobody gets a picture in between, the provider is to blame: the
lane is closed, and the generations wait for the end of it with their tries uncounted. A prompt that fails alone, or
among others that succeed, uses up its tries. Why so: docs/decisions/0028-an-outage-delays-a-batch.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from domain.errors import JobFailed, JobTimedOut, LikenessError
from domain.ids import GenerationId

#: More than a generation has tries, so that no single one makes a run.
IN_A_ROW: Final = 5
_SEVERAL: Final = 2
#: The first pause; each further one is twice as long, up to the ceiling.
FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=10)
#: No generation waits longer than this for its next try, so that the end of an outage is noticed by all of it.
LONGEST_WAIT: Final = timedelta(minutes=30)
#: A run that lasts longer is no outage that anybody waits for: its faults are failed tries again.
LONGEST_RUN: Final = timedelta(hours=24)

#: The provider's word that a job, or a submission, came to nothing through no fault of ours.
FAULTS: Final = (JobFailed, JobTimedOut)
CODES: Final = tuple(kind("").code for kind in FAULTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An attempt that came to nothing at the provider.

    Args:
        began_at: when its request left.
        ended_at: when the provider's word was heard.
    """

    generation_id: GenerationId
    began_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What a run of faults means for the lane, and for the attempt whose fault is its last.

    Args:
        faults: in a row, as far as they were read.
        pause: how long the lane is left alone.
        closes: this very fault closes the lane; it was open, or is closed by an earlier one, otherwise.
        counts: the fault is a failed try of its generation all the same, since the run lasts too long.
    """

    faults: int
    pause: timedelta
    closes: bool
    counts: bool

    def wait(self, number: int) -> timedelta:
        """How long the generation waits whose attempt `number` (from 1) met the fault.

        Longer with each attempt, so that those who have failed often let those go first who have not: at the head of
        a batch, bad prompts would else be all that is ever tried.
        """
        return min(self.pause * max(number, 1), LONGEST_WAIT)

    def reason(self, last: LikenessError) -> str:
        """What the row of the lane says."""
        return (
            f"repeated_faults: {self.faults} attempts in a row failed at the provider, without a picture in between;"
            f" it is tried again by itself, and no try is counted. The last: {last}"
        )[:500]


def is_fault(failure: LikenessError) -> bool:
    """Whether `failure` may be an outage's: the provider's own, and for nothing."""
    return isinstance(failure, FAULTS) and not failure.charged_usd


def outage(run: Sequence[Fault]) -> Outage | None:
    """What the lane's faults since its last success say, oldest first, the present one last; None if nothing."""
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
    """How often the run has closed its lane: each time by so many faults of several generations, begun since the last.

    What was under way when the lane was closed fails of the same, and closes nothing again. That takes as many anew:
    the lane is opened with all of its places, so that one bad prompt among them does not shut out the others.
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
