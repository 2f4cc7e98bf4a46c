"""Fetch what a finished job made: download, verify, decode once, store, prepare the model's input.

The attempt is paid for by now. One verified picture of four suffices; the missing ones are recorded. Only when not one
is to be had, after every try, does the generation fail, charged, and nobody retries it unasked.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from db.moves import collection, validation
from db.moves.collection import NewAsset
from db.moves.rows import hand_back
from db.reads.work import Lease, Work
from db.session import DatabaseAway
from domain.errors import (
    LikenessError,
    LostRace,
    PictureAway,
    PictureError,
    PictureLost,
    ProviderError,
    ServiceMissing,
)
from domain.ids import AssetId, AttemptId
from domain.retry import TryAgain, decide
from domain.states import GenerationState
from pipeline.attempts import replies
from pipeline.attempts.claims import let_go
from pipeline.attempts.outcome import Again
from pipeline.attempts.picture_ingest import Collector, Places, places_in
from pipeline.attempts.poll import result_of
from pipeline.resources import Resources
from providers.contract import Lane, Made
from validation.pixels import Preprocessing, decode, model_input

log = logging.getLogger(__name__)

_THREADS = 4
#: The store or a key is not there: until somebody sees to it, and long enough to spare the log.
_MISSING_HERE = timedelta(seconds=20)


def collect(resources: Resources, attempt_id: AttemptId, *, preprocessing: Preprocessing) -> Again | None:
    """Carry an attempt from the provider's last word to stored pictures, and on to the check.

    Args:
        preprocessing: of the scoring model; what it will look at is made here, where the picture is decoded anyway.
    """
    with resources.database.transaction() as connection:
        deaths = collection.deaths(connection, attempt_id)
    with resources.gate.passed(alone=deaths > 0):
        return _claim_and_collect(resources, attempt_id, preprocessing)


def _claim_and_collect(resources: Resources, attempt_id: AttemptId, preprocessing: Preprocessing) -> Again | None:
    lease = resources.leases.new()
    try:
        with resources.database.transaction() as connection:
            work = collection.claim(connection, attempt_id, lease=lease)
        if work is None:
            return _rebuild(resources, attempt_id, lease, preprocessing)
        with resources.leases.held(lease):
            return _collect(resources, work, lease, preprocessing)
    except LostRace:
        log.info("attempt %s was taken over meanwhile", attempt_id)
        return None
    except DatabaseAway as away:
        return let_go(resources, attempt_id, lease, away)


def _wait_for_this_machine(resources: Resources, work: Work, lease: Lease, missing: ServiceMissing) -> Again:
    """What this worker lacks is the operator's business and must not cost a paid attempt one of its tries."""
    log.warning("attempt %s waits: %s", work.attempt_id, missing)
    with resources.database.transaction() as connection:
        hand_back(connection, work.attempt_id, token=lease.token, failure=missing, wait=_MISSING_HERE)
    return Again(_MISSING_HERE)


def _collect(resources: Resources, work: Work, lease: Lease, preprocessing: Preprocessing) -> Again | None:
    lane = resources.lanes.get(work.lane)
    if lane is None:
        missing = ServiceMissing(f"this worker has no key for lane {work.lane!r}; set it and restart the worker")
        return _wait_for_this_machine(resources, work, lease, missing)
    resources.points.reach("collect.claimed")
    if work.result.get("lost"):
        # The provider's own word that there is nothing to fetch, now or later.
        _lost(resources, work, lease, PictureLost(f"paid for, and no picture is to be had: {work.result['lost']}"))
        return None
    keys = [str(key) for key in work.result.get("reply_keys") or ()]
    read: Callable[[str], bytes] = partial(replies.picture, resources) if keys else lane.fetch_picture
    places = Places(addresses=keys) if keys else _places(resources, lane, work, lease)
    collector = Collector(resources=resources, work=work, read=read, preprocessing=preprocessing)
    last = work.step_tries >= resources.timing.collect_tries
    try:
        found = _collected(collector, places, last=last)
    except OSError as error:
        missing = ServiceMissing(f"the picture store of this worker failed: {error}")
        return _wait_for_this_machine(resources, work, lease, missing)
    stored = [one for one in found if isinstance(one, NewAsset)]
    failures = [one for one in found if isinstance(one, LikenessError)]
    hopeful = any(failure.retryable for failure in failures) and not last
    if not stored or hopeful:
        return _again_or_lost(resources, work, lease, failures, stored=stored)
    resources.points.reach("collect.fetched")
    _keep(resources, work, lease, [_or_missing(one, at) for at, one in enumerate(found)])
    return None


def _collected(collector: Collector, places: Places, *, last: bool) -> list[NewAsset | PictureError]:
    if not places.addresses and places.grid is not None:
        return collector.quarters(places.grid, places.aspect)
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


def _again_or_lost(
    resources: Resources,
    work: Work,
    lease: Lease,
    failures: Sequence[LikenessError],
    *,
    stored: Sequence[NewAsset],
) -> Again | None:
    """Another try while one may help; a picture that is fetched again lands on its own key in the store."""
    failure = next((one for one in failures if one.retryable), None) or (
        failures[0] if failures else PictureLost("the provider named no pictures")
    )
    decision = decide(failure, tries=work.step_tries, limit=resources.timing.collect_tries, luck=resources.luck())
    wait = decision.wait if isinstance(decision, TryAgain) else None
    fixed = bool(work.result.get("reply_keys"))
    if wait is None and work.step_tries < resources.timing.collect_tries and not stored and not fixed:
        # A 404 may mean that the address ran out; the next try asks the provider for a new one.
        wait = timedelta(seconds=2)
    if wait is not None:
        with resources.database.transaction() as connection:
            collection.again(connection, work.attempt_id, token=lease.token, failure=failure, wait=wait)
        return Again(wait)
    tries = f"after {work.step_tries} tries: {failure}"
    _lost(resources, work, lease, PictureLost(f"paid for, and no picture is to be had {tries}"))
    return None


def _lost(resources: Resources, work: Work, lease: Lease, failure: PictureLost) -> None:
    with resources.database.transaction() as connection:
        collection.lost(connection, work.attempt_id, token=lease.token, failure=failure)


def _keep(resources: Resources, work: Work, lease: Lease, assets: Sequence[NewAsset]) -> None:
    with resources.database.transaction() as connection:
        reached = collection.collected(connection, work.attempt_id, token=lease.token, assets=assets)
    resources.points.reach("collect.committed")
    if reached is GenerationState.VALIDATING:
        resources.dispatch.validate(attempt_id=work.attempt_id, generation_id=work.generation_id)


def _rebuild(resources: Resources, attempt_id: AttemptId, lease: Lease, preprocessing: Preprocessing) -> Again | None:
    """The check found no input, or one made for another model: make it anew from the stored originals."""
    with resources.database.transaction() as connection:
        work = validation.look(connection, attempt_id)
        rows = validation.inputs(connection, attempt_id) if work is not None else []
    stale = [row for row in rows if row.pixels is None or row.preprocessing != preprocessing.digest]
    if not stale:
        return None
    with resources.database.transaction() as connection:
        work = validation.claim(connection, attempt_id, lease=lease)
    if work is None:
        return None
    with resources.leases.held(lease):
        return _refill(resources, work, lease, {row.asset_id: row.r2_key for row in stale}, preprocessing)


def _refill(
    resources: Resources, work: Work, lease: Lease, keys: Mapping[AssetId, str], preprocessing: Preprocessing
) -> Again | None:
    inputs = {}
    try:
        for asset_id, key in keys.items():
            ready = model_input(decode(resources.store.get(key)).image, preprocessing)
            inputs[asset_id] = (ready.pixels, ready.size, ready.preprocessing)
    except (FileNotFoundError, PictureError) as error:
        return _original_gone(resources, work, lease, error)
    except OSError as error:
        missing = ServiceMissing(f"the picture store of this worker failed: {error}")
        return _wait_for_this_machine(resources, work, lease, missing)
    with resources.database.transaction() as connection:
        collection.refilled(connection, work.attempt_id, token=lease.token, inputs=inputs)
    resources.dispatch.validate(attempt_id=work.attempt_id, generation_id=work.generation_id)
    return None


def _original_gone(resources: Resources, work: Work, lease: Lease, error: Exception) -> Again | None:
    """A store may be late or mounted wrongly, so this is tried as often as a check; then the picture is lost."""
    failure = PictureAway(f"a stored original cannot be read: {error}")
    decision = decide(failure, tries=work.step_tries, limit=resources.timing.validate_tries, luck=resources.luck())
    with resources.database.transaction() as connection:
        if isinstance(decision, TryAgain):
            validation.again(connection, work.attempt_id, token=lease.token, failure=failure, wait=decision.wait)
            return Again(decision.wait)
        lost = PictureLost(f"paid for and stored, and gone from the store: {error}")
        validation.unfit(connection, work.attempt_id, token=lease.token, failure=lost)
    return None
