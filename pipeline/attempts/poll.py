"""Sweep one lane: ask the provider about every job whose look is due, and write down what it said.

The poll is the only thing that believes anything; a webhook merely makes a job due now.
"""

import logging
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any

from db.moves import doubts, polling
from db.moves.grouped import MadeJob
from db.reads.work import Lease, Work
from db.session import DatabaseAway
from domain.disposition import LAST_WORDS, Step
from domain.errors import LostRace, ProviderDown, ProviderError, ReplyUnreadable
from domain.schedule import next_look
from pipeline.attempts import failures, job_times
from pipeline.attempts.admit import admit
from pipeline.attempts.claims import Claim, claimed
from pipeline.process.bound_ids import working_on
from pipeline.process.measures import measured
from pipeline.resources import Resources
from providers.contract import Lane, Made, Running

log = logging.getLogger(__name__)

_THREADS = 16
#: A job that was asked to stop ends within seconds.
_STOPPING = timedelta(seconds=2)


def sweep(resources: Resources, lane_name: str) -> int:
    """Look at what is due on the lane, for one tick's time; returns how many jobs came to an end."""
    lane = resources.lanes.get(lane_name)
    if lane is None:
        return 0
    ended = 0
    until = time.monotonic() + resources.timing.sweep.total_seconds()
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix=f"poll-{lane_name}") as pool:
        while True:
            over = _look_at_what_is_due(resources, lane, pool)
            ended += over
            if over:
                admit(resources, lane.provider)
            pause = _until_next(resources, lane_name)
            if pause is None or time.monotonic() + pause > until:
                return ended
            time.sleep(pause)


def _look_at_what_is_due(resources: Resources, lane: Lane, pool: ThreadPoolExecutor) -> int:
    """One look at each job of the lane whose look is due; how many came to an end."""

    def take(lease: Lease) -> tuple[list[Work], datetime] | None:
        with resources.database.transaction() as connection:
            began = doubts.now(connection)
            works = polling.claim_due(connection, lane.name, limit=resources.timing.sweep_size, lease=lease)
        return (works, began) if works else None

    ended = 0
    with claimed(resources, take, when_away=_leave_to_rescue) as claim:
        if claim.taken is not None:
            resources.fault_points.reach("poll.claimed")
            works, began = claim.taken
            looks = [pool.submit(_look, resources, lane, claim.lease, began, work) for work in works]
            # All of them, whatever befalls one: a job that nobody looks at stays claimed until the lease runs out.
            wait(looks)
            ended = sum(look.result() for look in looks)
    return ended


def _leave_to_rescue(_: Claim[Any], away: DatabaseAway) -> None:
    """Looking again is harmless and no death is counted against a job at work."""
    raise away


def _until_next(resources: Resources, lane_name: str) -> float | None:
    """Seconds until the next look is due, or None when nothing is at the provider."""
    with resources.database.transaction() as connection:
        pause = polling.seconds_to_next(connection, lane_name)
    return None if pause is None else max(pause, 0.02)


def _look(resources: Resources, lane: Lane, lease: Lease, began: datetime, work: Work) -> bool:
    """One look at one job, claimed at `began`; whether it came to an end."""
    about = working_on(attempt_id=work.attempt_id, generation_id=work.generation_id, lane=work.lane)
    with about, resources.traces.step("poll", work):
        return _ask_about(resources, lane, lease, began, work)


def _ask_about(resources: Resources, lane: Lane, lease: Lease, began: datetime, work: Work) -> bool:
    assert work.job_id is not None
    to_stop = work.cancel_requested and work.stop_asked_at is None
    perhaps_asked = to_stop and _ask_to_stop(resources, lane, work, lease)
    try:
        with measured(resources.measures, lane.name, "poll"):
            progress = lane.poll(work.job_id)
    except ProviderError as failure:
        if perhaps_asked and isinstance(failure, LAST_WORDS):
            _note_stop(resources, work, lease)
        return _failed(resources, work, lease, failure)
    resources.fault_points.reach("poll.answered")
    if isinstance(progress, Running):
        _running(resources, lane, work, lease=lease, percent=progress.percent, since=began)
        return False
    if perhaps_asked:
        _note_stop(resources, work, lease)
    return _made(resources, work, lease, progress)


def _ask_to_stop(resources: Resources, lane: Lane, work: Work, lease: Lease) -> bool:
    """Tell the provider that a person gave the job up; whether it stopped, and what it cost, the looks say.

    Asking is harmless a second time, so a death between the two halves costs one more call and nothing else.

    Returns:
        Whether the answer was lost: if the job has ended now, the wish may be why, and nobody can be asked again.
    """
    assert work.job_id is not None
    try:
        if not lane.cancel(work.job_id):
            return False
    except ProviderError as failure:
        log.info("job %s could not be asked to stop (%s); the next look asks again", work.job_id, failure)
        return isinstance(failure, ProviderDown | ReplyUnreadable)
    resources.fault_points.reach("poll.stop_asked")
    _note_stop(resources, work, lease)
    return False


def _note_stop(resources: Resources, work: Work, lease: Lease) -> None:
    with resources.database.transaction() as connection:
        polling.stop_asked(connection, work.attempt_id, token=lease.token)


def _running(
    resources: Resources, lane: Lane, work: Work, *, lease: Lease, percent: int | None, since: datetime
) -> None:
    now = datetime.now(UTC)
    age = now - (work.accepted_at or now)
    overdue = work.deadline_at is not None and now > work.deadline_at
    usual = next_look(age=age, expected=lane.first_look_after(work.settings, model=work.model), overdue=overdue)
    wished = job_times.poll_every(resources, work)
    wait = usual if wished is None or overdue else wished
    if work.cancel_requested and lane.cancels and not overdue:
        wait = min(wait, _STOPPING)
    with resources.database.transaction() as connection:
        polling.looked(
            connection,
            work.attempt_id,
            token=lease.token,
            percent=percent,
            next_look=wait,
            since=since,
            # A look that knew of the wish has asked; if the wish did not arrive, it waits its turn like any other.
            stoppable=lane.cancels and not work.cancel_requested,
        )


def _failed(resources: Resources, work: Work, lease: Lease, failure: ProviderError) -> bool:
    """The look failed, or the job did; whether the job came to an end."""
    try:
        failures.settle(resources, work, failure, step=Step.LOOKING, token=lease.token)
    except LostRace:
        return False
    return isinstance(failure, LAST_WORDS)


def _made(resources: Resources, work: Work, lease: Lease, made: Made) -> bool:
    said = made.charged_usd is not None
    job = MadeJob(
        attempt_id=work.attempt_id,
        token=lease.token,
        result=result_of(made),
        charged_usd=made.charged_usd if made.charged_usd is not None else work.price_usd,
        said_by="said by the provider" if said else "price of the catalogue",
    )
    if not resources.grouped.made.do(resources.database, job):
        try:
            with resources.database.transaction() as connection:
                polling.made(
                    connection,
                    work.attempt_id,
                    token=lease.token,
                    result=job.result,
                    charged_usd=job.charged_usd,
                    said_by=job.said_by,
                )
        except LostRace:
            return False
    resources.fault_points.reach("poll.made")
    resources.dispatch.collect(attempt_id=work.attempt_id, generation_id=work.generation_id)
    return True


def result_of(made: Made) -> dict[str, Any]:
    """What the attempt's row keeps of the provider's last word."""
    return {
        "picture_urls": list(made.picture_urls),
        "grid_url": made.grid_url,
        "detail": dict(made.detail),
        "lost": made.lost,
    }
