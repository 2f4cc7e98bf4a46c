"""Fetch what a finished job made: download, verify, decode once, store, prepare the model's input.

The attempt is paid for by now. One verified picture of four suffices; the missing ones are recorded. Only when not one
is to be had, after every try, does the generation fail, charged, and nobody retries it unasked.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from db.moves import collection
from db.moves.collection import NewAsset
from db.moves.grouped_pictures import PaidClaim, Stored
from db.reads.work import Lease, Work
from domain.disposition import Step
from domain.errors import LikenessError, PictureError, PictureLost, ProviderError, ServiceMissing
from domain.ids import AttemptId
from domain.states import GenerationState
from pipeline.attempts import failures, replies
from pipeline.attempts.claims import passing_the_gate
from pipeline.attempts.outcome import Again
from pipeline.attempts.picture_ingest import Collector, Places, places_in
from pipeline.attempts.poll import result_of
from pipeline.resources import Resources
from providers.contract import Lane, Made
from validation.preprocessing import Preprocessing

log = logging.getLogger(__name__)

_THREADS = 4


def collect(resources: Resources, attempt_id: AttemptId, *, preprocessing: Preprocessing) -> Again | None:
    """Carry an attempt from the provider's last word to stored pictures, and on to the check.

    Args:
        preprocessing: of the scoring model; what it will look at is made here, where the picture is decoded anyway.
    """

    def claim(lease: Lease) -> Work | None:
        return resources.grouped.collections.do(resources.database, PaidClaim(attempt_id=attempt_id, lease=lease))

    def claim_alone(lease: Lease) -> Work | None:
        with resources.database.transaction() as connection:
            return collection.claim(connection, attempt_id, lease=lease)

    def work_on(work: Work, lease: Lease) -> Again | None:
        with resources.traces.step("collect", work):
            return _collect(resources, work, lease, preprocessing=preprocessing)

    return passing_the_gate(
        resources, attempt_id, Step.COLLECTING, claim=claim, claim_alone=claim_alone, work_on=work_on
    )


def _collect(resources: Resources, work: Work, lease: Lease, *, preprocessing: Preprocessing) -> Again | None:
    lane = resources.lanes.get(work.lane)
    if lane is None:
        missing = ServiceMissing(f"this worker has no key for lane {work.lane!r}; set it and restart the worker")
        return _failed(resources, work, lease, missing)
    resources.fault_points.reach("collect.claimed")
    if work.result.get("lost"):
        # The provider's own word that there is nothing to fetch, now or later.
        lost = PictureLost(f"paid for, and no picture is to be had: {work.result['lost']}")
        return _failed(resources, work, lease, lost, is_last_word=True)
    keys = [str(key) for key in work.result.get("reply_keys") or ()]
    read: Callable[[str], bytes] = partial(replies.picture, resources) if keys else lane.fetch_picture
    places = Places(addresses=keys) if keys else _places(resources, lane, work, lease)
    collector = Collector(resources=resources, work=work, read=read, preprocessing=preprocessing)
    last = work.step_tries >= resources.timing.collect_tries
    try:
        found = _collected(collector, places, last=last)
    except OSError as error:
        return _failed(resources, work, lease, ServiceMissing(f"the picture store of this worker failed: {error}"))
    stored = [one for one in found if isinstance(one, NewAsset)]
    failed = [one for one in found if isinstance(one, LikenessError)]
    hopeful = any(failure.retryable for failure in failed) and not last
    if not stored or hopeful:
        # A picture that is fetched again lands on its own key in the store.
        failure = next((one for one in failed if one.retryable), None) or (
            failed[0] if failed else PictureLost("the provider named no pictures")
        )
        return _failed(resources, work, lease, failure, addresses_may_be_renewed=not stored and not keys)
    resources.fault_points.reach("collect.fetched")
    _keep(resources, work, lease, [_or_missing(one, at) for at, one in enumerate(found)])
    return None


def _collected(collector: Collector, places: Places, *, last: bool) -> list[NewAsset | PictureError]:
    if not places.addresses and places.grid is not None:
        return collector.quarters(places.grid, places.aspect)
    if len(places.addresses) == 1:
        found = [collector.single((0, places.addresses[0]))]
    else:
        with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="fetch") as pool:
            found = list(pool.map(collector.single, enumerate(places.addresses)))
    failures = [one for one in found if isinstance(one, PictureError)]
    worth_another = not last and any(failure.retryable for failure in failures)
    return found if worth_another else collector.filled(found, places)


def _places(resources: Resources, lane: Lane, work: Work, lease: Lease) -> Places:
    """Where the pictures are; from the second try on the provider is asked anew, since addresses run out."""
    result = work.result
    if work.step_tries > 1 and work.job_id is not None:
        try:
            made = lane.poll(work.job_id)
        except ProviderError as failure:
            log.info("the addresses of job %s could not be renewed: %s", work.job_id, failure)
        else:
            if isinstance(made, Made) and not made.lost:
                result = result_of(made)
                with resources.database.transaction() as connection:
                    collection.renewed(connection, work.attempt_id, token=lease.token, result=result)
    return places_in(result)


def _or_missing(found: NewAsset | LikenessError, position: int) -> NewAsset:
    if isinstance(found, NewAsset):
        return found
    return NewAsset(position=position, missing_reason=f"{found.code}: {found}"[:1000], metadata={})


def _failed(resources: Resources, work: Work, lease: Lease, failure: LikenessError, **known: Any) -> Again | None:
    return failures.settle(resources, work, failure, step=Step.COLLECTING, token=lease.token, **known)


def _keep(resources: Resources, work: Work, lease: Lease, assets: Sequence[NewAsset]) -> None:
    reached = None
    if work.character_id is not None:
        stored = Stored(work=work, token=lease.token, assets=assets)
        reached = resources.grouped.stored.do(resources.database, stored)
    if reached is None:
        with resources.database.transaction() as connection:
            reached = collection.collected(connection, work.attempt_id, token=lease.token, assets=assets)
    resources.fault_points.reach("collect.committed")
    if reached is GenerationState.VALIDATING:
        resources.dispatch.validate(attempt_id=work.attempt_id, generation_id=work.generation_id)
