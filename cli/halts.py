"""What holds a batch that a person has to help, and the command by which it goes on: for `status`, `run` and `demo`."""

from domain.states import GenerationState
from pipeline.status import BatchStatus
from reports.wording import dollars


def paused(found: BatchStatus) -> list[str]:
    """Why it is paused; nothing where it is not."""
    if found.batch.paused_reason is None:
        return []
    return [f"paused: {found.batch.paused_reason}; `likeness resume {found.batch.name}` goes on"]


def stopped(found: BatchStatus) -> list[str]:
    """Which limit leaves too little for the next call, and what to do; nothing where none does or nothing waits."""
    reason, waiting = found.batch.stopped_reason, found.standing.counts[GenerationState.QUEUED]
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
    hold, left = found.standing.next_hold_usd, found.remaining_usd
    fits = left is not None and hold is not None and hold <= left
    if hold is None or (fits and found.batch.stopped_reason == "budget"):
        return "that is too little for the next call"
    return f"the next call needs {dollars(hold)} set aside"
