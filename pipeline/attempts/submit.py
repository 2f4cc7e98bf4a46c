"""Submit one attempt: write the intent, make the one paid call, store the job's id in the same instant.

A reply that is the result itself goes into the store before anything else (`pipeline.attempts.replies`).

Nothing here repeats a call. What a failure means for the attempt is the table of `docs/reliability.md`:
certainly not accepted, accepted, or in doubt.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from db.moves import doubts, refusals, submission
from db.reads.work import Lease, Work
from db.records import batches, history, lanes
from db.session import DatabaseAway
from domain.errors import (
    LikenessError,
    LostRace,
    MaybeSent,
    NotSent,
    ProviderError,
    RequestError,
    ServiceMissing,
    UnknownThing,
)
from domain.ids import AttemptId
from domain.money import show
from domain.retry import TryAgain, closing_reason, closure, concerns_lane, decide
from pipeline.attempts import account_blocks, follow_up_jobs, illegal_prompts, late_discovery, replies, submission_costs
from pipeline.attempts.next_try import another_try
from pipeline.attempts.outcome import Again
from pipeline.characters import references
from pipeline.resources import Resources
from providers.catalogue import Model, load
from providers.contract import Ask, Delivered, Lane
from providers.transport.clock import running_s

log = logging.getLogger(__name__)

#: A lane that cannot be reached although its attempts tried: long enough to spare it, short enough to notice.
_UNREACHABLE = timedelta(seconds=30)
#: A key or a file that this machine lacks; another one may have it.
_MISSING_HERE = timedelta(seconds=60)
#: The provider's own upload of a reference failed.
_NOT_WRITTEN = timedelta(seconds=5)
#: For what this process alone knows, while Postgres is away.
_KEEP_TRYING_S: Final = 60.0


def submit(resources: Resources, attempt_id: AttemptId) -> Again | None:
    """Carry an admitted attempt to its provider.

    A message twice, late or for an attempt that has moved on does nothing.
    """
    work, obstacle = _look(resources, attempt_id)
    if work is None:
        return None
    resources.points.reach("submit.looked")
    if obstacle is not None:
        _give_back_unclaimed(resources, work, NotSent(obstacle))
        return None
    lane = resources.lanes.get(work.lane)
    if lane is None:
        missing = ServiceMissing(f"this worker has no key for lane {work.lane!r}; set it and restart the worker")
        with resources.database.transaction() as connection:
            lanes.close(connection, work.lane, reason=closing_reason(missing), wait=_MISSING_HERE)
        _give_back_unclaimed(resources, work, missing)
        return None
    try:
        model = _model(work)
        going = references.going_with(resources, work, model=model)
        ask = _ask(resources, lane, work, going)
        sent_prompt = lane.prompt_text(ask)
        cost = None if model is None else submission_costs.as_sent(resources, lane, work, model=model, going=going)
    except (ProviderError, RequestError, ServiceMissing) as failure:
        _before_the_intent(resources, work, failure)
        return None
    if cost is not None and cost.at_most_usd > work.hold_usd:
        _hold_more(resources, work, cost)
        return None
    priced = work if cost is None else replace(work, price_usd=cost.usd)
    return _claim_and_post(resources, lane, priced, ask=ask, sent_prompt=sent_prompt)


def _look(resources: Resources, attempt_id: AttemptId) -> tuple[Work | None, str | None]:
    """The attempt, if it is admitted and may start now, and what came up since because of which nothing is sent."""
    with resources.database.transaction() as connection:
        work = submission.look(connection, attempt_id)
        if work is None:
            return None, None
        if work.cancel_requested:
            return work, "a person has canceled it"
        if batches.is_paused(connection, work.batch_id):
            return work, "its batch is paused"
        if not lanes.is_open(connection, work.lane):
            return work, f"lane {work.lane!r} is closed"
        return work, None


def _model(work: Work) -> Model | None:
    try:
        return load().get(work.model)
    except UnknownThing:
        return None


def _ask(resources: Resources, lane: Lane, work: Work, going: Sequence[references.Going]) -> Ask:
    return Ask(
        attempt_id=str(work.attempt_id),
        token=work.token,
        model=work.model,
        prompt=work.prompt,
        settings=work.settings,
        reference_urls=references.urls_of(resources, lane, going),
        hook_url=f"{resources.public_url}/hooks/{work.lane}/{work.token}" if resources.public_url else None,
        action=follow_up_jobs.action_of(resources, work),
    )


def _claim_and_post(resources: Resources, lane: Lane, work: Work, *, ask: Ask, sent_prompt: str) -> Again | None:
    lease = resources.leases.new()
    # From before the claim, as the lease runs from there: the answer to its commit may be long on the way.
    begin_by = running_s() + min(resources.timing.intent_to_post.total_seconds(), lease.seconds / 2)
    try:
        _claim(resources, work, lease, sent_prompt)
    except LostRace:
        return None
    resources.points.reach("submit.intent")
    with resources.leases.held(lease):
        try:
            _still_fresh(begin_by)
            answer = lane.submit(replace(ask, begin_by=begin_by))
            resources.points.reach("submit.answered")
            if isinstance(answer, Delivered):
                kept = replies.keep(resources, work.attempt_id, answer)
                resources.points.reach("submit.kept")
        except ProviderError as failure:
            again = _not_accepted(resources, work, lease, failure)
            illegal_prompts.pull(resources, work.lane, failure)
            account_blocks.note(resources, work.lane, failure)
            return again
        if isinstance(answer, Delivered):
            replies.book(resources, work, kept, token=lease.token)
        else:
            _store_job(resources, lane, work, lease=lease, job_id=answer.job_id)
    resources.points.reach("submit.stored")
    return None


def _claim(resources: Resources, work: Work, lease: Lease, sent_prompt: str) -> None:
    """Write the intent; where it is unknown whether it was written, it is undone.

    Nothing was sent then, which this process alone knows: a doubt about it would be a person's to settle at OpenAI.

    Raises:
        LostRace: the intent does not stand, and must not be acted on.
    """
    try:
        with resources.database.transaction() as connection:
            submission.claim(
                connection, work.attempt_id, lease=lease, sent_prompt=sent_prompt, price_usd=work.price_usd
            )
    except DatabaseAway as away:
        failure = NotSent(f"nothing was sent, since it is unknown whether the intent was written: {away}")
        try:
            resources.database.insist(
                lambda connection: submission.give_back(
                    connection, work.attempt_id, token=lease.token, failure=failure
                ),
                seconds=_KEEP_TRYING_S,
            )
        except LostRace:
            _settle_by_refusal(resources, work, failure)
        raise LostRace(str(failure)) from away


def _still_fresh(begin_by: float) -> None:
    """A process that was stopped between the intent and here must not post any more: rescue may have judged by then.

    The lane looks once more, just before the first byte.
    """
    if (late := running_s() - begin_by) >= 0:
        raise NotSent(f"the worker was held up {late:.1f} s too long after the intent, so nothing was sent")


def _store_job(resources: Resources, lane: Lane, work: Work, *, lease: Lease, job_id: str) -> None:
    first_look = lane.first_look_after(work.settings, model=work.model)
    deadline = first_look * 2 + resources.timing.job_deadline
    try:
        resources.database.insist(
            lambda connection: submission.accepted(
                connection,
                work.attempt_id,
                token=lease.token,
                job_id=job_id,
                first_look=first_look,
                deadline=deadline,
            ),
            seconds=60,
        )
    except LostRace:
        # The lease ran out on the way and rescue put the attempt in doubt; here is the answer to the doubt.
        log.warning("job %s of attempt %s came late and is adopted", job_id, work.attempt_id)
        _adopt(resources, work, job_id=job_id, first_look=first_look, deadline=deadline)


def _adopt(resources: Resources, work: Work, *, job_id: str, first_look: timedelta, deadline: timedelta) -> None:
    try:
        resources.database.insist(
            lambda connection: submission.adopt(
                connection, work.attempt_id, job_id=job_id, first_look=first_look, deadline=deadline
            ),
            seconds=60,
        )
    except LostRace as race:
        # Settled meanwhile: as lost, or by an identical attempt that took this job. The list shows what is left.
        log.warning("job %s of attempt %s comes after its doubt was settled: %s", job_id, work.attempt_id, race)
        late_discovery.adopt(resources, work, job_id=job_id, actor=history.THE_REPLY)


def _not_accepted(resources: Resources, work: Work, lease: Lease, failure: ProviderError) -> Again | None:
    try:
        if isinstance(failure, MaybeSent):
            _doubt(resources, work, lease, failure)
            return None
        return _refused(resources, work, lease, failure)
    except LostRace as race:
        log.warning("attempt %s came to nothing (%s), after its lease: %s", work.attempt_id, failure, race)
        _settle_by_refusal(resources, work, failure)
        return None


def _settle_by_refusal(resources: Resources, work: Work, failure: ProviderError) -> None:
    """Rescue has put the attempt in doubt meanwhile; a refusal that is certain is the answer to the doubt."""
    if isinstance(failure, MaybeSent):
        return
    with suppress(LostRace):
        resources.database.insist(
            lambda connection: doubts.not_accepted(
                connection, work.attempt_id, failure=failure, wait=_UNREACHABLE, actor=history.THE_REPLY
            ),
            seconds=_KEEP_TRYING_S,
        )


def _doubt(resources: Resources, work: Work, lease: Lease, failure: MaybeSent) -> None:
    log.warning("attempt %s is in doubt: %s", work.attempt_id, failure)
    with resources.database.transaction() as connection:
        lanes.note_error(connection, work.lane, failure)
        submission.doubt(connection, work.attempt_id, token=lease.token, failure=failure)


def _refused(resources: Resources, work: Work, lease: Lease, failure: ProviderError) -> Again | None:
    """Certainly not accepted: the same attempt again, the queue again, another try of the generation, or the end.

    Insisted on while Postgres is away, since who knows it is this process alone; where an earlier write was committed
    and only the answer got lost, the next one loses its race, and nothing is left to do.
    """
    decision = decide(failure, tries=work.step_tries + 1, limit=resources.timing.submit_tries, luck=resources.luck())
    closing, token = closure(failure), lease.token
    insist = partial(resources.database.insist, seconds=_KEEP_TRYING_S)
    if closing is None and isinstance(decision, TryAgain):
        again = decision.wait
        goes_on = insist(lambda connection: refusals.again(connection, work, token=token, failure=failure, wait=again))
        return Again(again) if goes_on else None
    if not concerns_lane(failure):
        usual = another_try(resources, work, failure)
        insist(lambda connection: refusals.failed_try(connection, work, token=token, failure=failure, wait=usual))
        return None
    log.warning("lane %s is closed: %s", work.lane, failure)
    reason, wait = closing_reason(failure), closing or _UNREACHABLE
    insist(
        lambda connection: refusals.close_lane(connection, work, token=token, failure=failure, reason=reason, wait=wait)
    )
    return None


def _hold_more(resources: Resources, work: Work, cost: submission_costs.Cost) -> None:
    """The hold was for less than this call can cost: the budget must be asked again, and is only where it is taken."""
    failure = NotSent(
        f"the call can cost {show(cost.at_most_usd)} USD as it would be sent now, and {show(work.hold_usd)} USD are"
        " held for it; nothing was sent, and it waits for the larger hold"
    )
    log.info("attempt %s: %s", work.attempt_id, failure)
    with suppress(LostRace), resources.database.transaction() as connection:
        submission.hold_more(
            connection, work.attempt_id, failure=failure, hold_usd=cost.at_most_usd, price_usd=cost.usd
        )


def _before_the_intent(resources: Resources, work: Work, failure: LikenessError) -> None:
    """Writing the request failed: the person's mistake ends the generation, anything else waits in the queue."""
    if isinstance(failure, ServiceMissing):
        _give_back_unclaimed(resources, work, failure, wait=_MISSING_HERE)
    elif failure.retryable:
        _give_back_unclaimed(resources, work, failure, wait=_NOT_WRITTEN)
    else:
        with suppress(LostRace), resources.database.transaction() as connection:
            submission.refuse(connection, work.attempt_id, token=None, failure=failure)


def _give_back_unclaimed(
    resources: Resources, work: Work, failure: LikenessError, *, wait: timedelta | None = None
) -> None:
    """Back into the queue, unless somebody has claimed the attempt meanwhile."""
    with suppress(LostRace), resources.database.transaction() as connection:
        if wait is not None:
            lanes.note_error(connection, work.lane, failure)
        submission.give_back(connection, work.attempt_id, token=None, failure=failure, wait=wait)
