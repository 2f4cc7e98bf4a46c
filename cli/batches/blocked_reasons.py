"""What holds a batch that a person has to help, and the command by which it goes on: for `status`, `run` and `demo`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from domain.states import GenerationState
from pipeline.operator.lanes import LaneRow
from pipeline.views.status import BatchStatus, OverdueJob
from reports import wording
from reports.wording import dollars

#: A closure that lasts longer than this was made by a person, for good.
_LONG = timedelta(days=365)
#: So many overdue jobs are named.
_NAMED = 5


def paused(found: BatchStatus) -> list[str]:
    """Why it is paused; nothing where it is not."""
    if found.batch.paused_reason is None:
        return []
    return [f"paused: {found.batch.paused_reason}; `likeness resume {found.batch.name}` goes on"]


def stopped(found: BatchStatus) -> list[str]:
    """Which limit leaves too little for the next call, and what to do; nothing where none does or nothing waits."""
    reason, waiting = found.batch.stopped_reason, found.progress.counts[GenerationState.QUEUED]
    if reason is None or not waiting:
        return []
    resume = f"`likeness resume {found.batch.name}"
    rest = f"goes on; {waiting:,} generations wait"
    if reason != "budget":
        # Of a user's month or a lane's day, which a larger budget of the batch would not change.
        return [
            f"stopped by the {reason}: {_needed(found)}",
            f"`likeness limits` shows and changes it; {resume}` {rest}",
        ]
    left = f"{dollars(found.remaining_usd)} of {dollars(found.batch.limit_usd)}"
    return [f"stopped: {left} are left, and {_needed(found)}", f"{resume} --max-cost USD` {rest}"]


def _needed(found: BatchStatus) -> str:
    """What the next call wants; of one that is not the one in the way, as with several models, only that it is."""
    hold, left = found.progress.next_hold_usd, found.remaining_usd
    fits = left is not None and hold is not None and hold <= left
    if hold is None or (fits and found.batch.stopped_reason == "budget"):
        return "that is too little for the next call"
    return f"the next call needs {dollars(hold)} set aside"


def state_in_words(row: LaneRow, now: datetime) -> str:
    """Whether the lane is closed, for how long and why."""
    if row.closed_until is None or not row.is_closed(now):
        return "open"
    if row.closed_until - now > _LONG:
        return f"closed until opened: {row.reason}"
    return f"closed for {(row.closed_until - now).total_seconds():.0f} s: {row.reason}"


def what_holds_up(rows: Sequence[LaneRow]) -> list[str]:
    """Sentences about the closed lanes that generations wait for, with what to type."""
    now = datetime.now(UTC)
    return [f"lane {row.name} is {state_in_words(row, now)}; `likeness lanes open {row.name}` opens it" for row in rows]


def overdue(jobs: Sequence[OverdueJob]) -> list[str]:
    """Sentences about jobs that take too long, the oldest first; of many, the oldest few and their number."""
    told = [
        wording.overdue(f"{one.batch}/{one.position}", job=one.job_id, lane=one.lane, age_s=one.age.total_seconds())
        for one in jobs[:_NAMED]
    ]
    return [*told, f"{len(jobs) - _NAMED:,} more jobs are overdue"] if len(jobs) > _NAMED else told
