"""Submit one attempt: write the intent, make the one paid call, store the job's id in the same instant.

A reply that is the result itself goes into the store before anything else (`pipeline.attempts.replies`).

Nothing here repeats a call. What a failure means for the attempt is decided in `domain.disposition`.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from db.moves import submission
from db.moves.grouped import Intent, NewJob, read_admitted
from db.reads.work import Lease, Work
from db.records import history
from db.session import DatabaseAway
from domain.disposition import Step
from domain.errors import LikenessError, LostRace, NotSent, ProviderError, RequestError, ServiceMissing, UnknownThing
from domain.ids import AttemptId
from domain.money import show
from domain.states import AttemptKind
from pipeline.attempts import failures, job_times, late_discovery, replies, submission_costs
from pipeline.attempts.claims import KEEP_TRYING_S, Claim, claimed
from pipeline.attempts.outcome import Again
from pipeline.characters import references
from pipeline.process.measures import measured
from pipeline.requests import finishing_calls, follow_up_jobs
from pipeline.resources import Resources
from providers.catalogue import Model, load
from providers.contract import Ask, Delivered, Lane
from providers.transport.clock import running_s

log = logging.getLogger(__name__)


def submit(resources: Resources, attempt_id: AttemptId) -> Again | None:
    """Carry an admitted attempt to its provider.

    A message twice, late or for an attempt that has moved on does nothing.
    """
    work, obstacle = _look(resources, attempt_id)
    if work is None:
        return None
    with resources.traces.step("submit", work):
        return _submit(resources, work, obstacle)


def _submit(resources: Resources, work: Work, obstacle: str | None) -> Again | None:
    resources.fault_points.reach("submit.looked")
    if obstacle is not None:
        with suppress(LostRace), resources.database.transaction() as connection:
            submission.give_back(connection, work.attempt_id, token=None, failure=NotSent(obstacle))
        return None
    lane = resources.lanes.get(work.lane)
    if lane is None:
        missing = ServiceMissing(f"this worker has no key for lane {work.lane!r}; set it and restart the worker")
        _before_the_intent(resources, work, missing, lane_is_served=False)
        return None
    try:
        model = _model(work)
        sent_references = _sent_references(resources, work, model)
        if finishing_calls.takes_a_picture(work):
            work = finishing_calls.without_words(work)
        ask = _ask(resources, lane, work, sent_references)
        sent_prompt = lane.prompt_text(ask)
        cost = (
            None
            if model is None
            else submission_costs.as_sent(resources, lane, work, model=model, sent_references=sent_references)
        )
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
    found = resources.grouped.admitted.do(resources.database, attempt_id)
    if found is None:
        # It has moved on, or the group failed: the message must not be spent on what befell a neighbour.
        with resources.database.transaction() as connection:
            (found,) = read_admitted(connection, [attempt_id])
    if found is None:
        return None, None
    if found.work.cancel_requested:
        return found.work, "a person has canceled it"
    if found.paused:
        return found.work, "its batch is paused"
    return found.work, None if found.lane_open else f"lane {found.work.lane!r} is closed"


def _model(work: Work) -> Model | None:
    try:
        return load().get(work.model)
    except UnknownThing:
        return None


def _sent_references(resources: Resources, work: Work, model: Model | None) -> Sequence[references.SentReference]:
    if work.kind is not AttemptKind.FINISH:
        return references.references_sent(resources, work, model=model)
    return [finishing_calls.picture_sent(resources, work)] if finishing_calls.takes_a_picture(work) else []


def _ask(resources: Resources, lane: Lane, work: Work, sent_references: Sequence[references.SentReference]) -> Ask:
    return Ask(
        attempt_id=str(work.attempt_id),
        token=work.token,
        model=work.model,
        prompt=work.prompt,
        settings=references.settings_sent(resources, lane, work.settings),
        reference_urls=references.urls_of(resources, lane, sent_references),
        hook_url=f"{resources.public_url}/hooks/{work.lane}/{work.token}" if resources.public_url else None,
        action=follow_up_jobs.action_of(resources, work),
    )


def _claim_and_post(resources: Resources, lane: Lane, work: Work, *, ask: Ask, sent_prompt: str) -> Again | None:
    # From before the claim, as the lease runs from there: the answer to its commit may be long on the way.
    begin_by = running_s() + min(resources.timing.intent_to_post.total_seconds(), resources.leases.seconds / 2)

    def write_intent(lease: Lease) -> Work:
        intent = Intent(attempt_id=work.attempt_id, lease=lease, sent_prompt=sent_prompt, price_usd=work.price_usd)
        if resources.grouped.intents.do(resources.database, intent):
            return work
        with resources.database.transaction() as connection:
            return submission.claim(
                connection, work.attempt_id, lease=lease, sent_prompt=sent_prompt, price_usd=work.price_usd
            )

    def undo_intent(claim: Claim[Work], away: DatabaseAway) -> None:
        if claim.taken is not None:
            raise away  # the request may be on its way: rescue puts the attempt in doubt
        _undo_intent(resources, work, claim.lease, away)

    with claimed(resources, write_intent, when_away=undo_intent) as claim:
        if claim.taken is not None:
            resources.fault_points.reach("submit.intent")
            claim.again = _post(resources, lane, work, claim.lease, replace(ask, begin_by=begin_by))
    return claim.again


def _post(resources: Resources, lane: Lane, work: Work, lease: Lease, ask: Ask) -> Again | None:
    """Make the one paid call and store what it answered."""
    assert ask.begin_by is not None
    try:
        _still_fresh(ask.begin_by)
        with measured(resources.measures, lane.name, "submit"):
            answer = lane.submit(ask)
        resources.fault_points.reach("submit.answered")
        if isinstance(answer, Delivered):
            kept = replies.keep(resources, work.attempt_id, answer)
            resources.fault_points.reach("submit.kept")
    except ProviderError as failure:
        return _not_stored(resources, work, lease, failure)
    if isinstance(answer, Delivered):
        replies.book(resources, work, kept, token=lease.token)
    else:
        _store_job(resources, lane, work, lease=lease, job_id=answer.job_id)
    resources.fault_points.reach("submit.stored")
    return None


def _undo_intent(resources: Resources, work: Work, lease: Lease, away: DatabaseAway) -> None:
    """Nothing was sent, which this process alone knows: at OpenAI a doubt about it would be a person's to settle."""
    failure = NotSent(f"nothing was sent, since it is unknown whether the intent was written: {away}")
    try:
        resources.database.insist(
            lambda connection: submission.give_back(connection, work.attempt_id, token=lease.token, failure=failure),
            seconds=KEEP_TRYING_S,
        )
    except LostRace:
        _settle_doubt(resources, work, failure)


def _still_fresh(begin_by: float) -> None:
    """A process that was stopped between the intent and here must not post any more: rescue may have judged by then.

    The lane looks once more, just before the first byte.
    """
    if (late := running_s() - begin_by) >= 0:
        raise NotSent(f"the worker was held up {late:.1f} s too long after the intent, so nothing was sent")


def _store_job(resources: Resources, lane: Lane, work: Work, *, lease: Lease, job_id: str) -> None:
    first_look = job_times.first_look(resources, lane, work)
    deadline = job_times.deadline(resources, lane, work)
    job = NewJob(attempt_id=work.attempt_id, token=lease.token, job_id=job_id, first_look=first_look, deadline=deadline)
    with suppress(DatabaseAway):
        if resources.grouped.jobs.do(resources.database, job):
            return
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
            seconds=KEEP_TRYING_S,
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
            seconds=KEEP_TRYING_S,
        )
    except LostRace as race:
        # Settled meanwhile: as lost, or by an identical attempt that took this job. The list shows what is left.
        log.warning("job %s of attempt %s comes after its doubt was settled: %s", job_id, work.attempt_id, race)
        late_discovery.adopt(resources, work, job_id=job_id, actor=history.THE_REPLY)


def _not_stored(resources: Resources, work: Work, lease: Lease, failure: ProviderError) -> Again | None:
    """No job of the attempt is known: it was refused, or it is in doubt.

    Insisted on while Postgres is away, since who knows it is this process alone; where an earlier write was committed
    and only the answer got lost, the next one loses its race, and nothing is left to do.
    """
    try:
        return failures.settle(
            resources, work, failure, step=Step.SUBMITTING, token=lease.token, insist_s=KEEP_TRYING_S
        )
    except LostRace as race:
        log.warning("attempt %s came to nothing (%s), after its lease: %s", work.attempt_id, failure, race)
        _settle_doubt(resources, work, failure)
        return None


def _settle_doubt(resources: Resources, work: Work, failure: ProviderError) -> None:
    """Rescue has put the attempt in doubt meanwhile; a refusal that is certain is the answer to the doubt."""
    with suppress(LostRace):
        failures.settle(resources, work, failure, step=Step.IN_DOUBT, token=None, insist_s=KEEP_TRYING_S)


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


def _before_the_intent(
    resources: Resources, work: Work, failure: LikenessError, *, lane_is_served: bool = True
) -> None:
    """Writing the request failed, so that nothing is sent; somebody may have claimed the attempt meanwhile."""
    with suppress(LostRace):
        failures.settle(resources, work, failure, step=Step.PREPARING, token=None, lane_is_served=lane_is_served)
