"""Rebuild the model inputs of an attempt from its stored originals, for a check that found none that suit its model.

A crash of Postgres takes them away, and another scoring model asks for others. The check runs where no picture is
decoded, so this is a task of its own on an `io` worker.
"""

from collections.abc import Mapping
from functools import partial

from db.moves import collection, validation
from db.reads.work import Lease, Work
from domain.disposition import Step
from domain.errors import PictureAway, PictureError, ServiceMissing
from domain.ids import AssetId, AttemptId
from pipeline.attempts import failures
from pipeline.attempts.claims import claimed, releasing
from pipeline.attempts.outcome import Again
from pipeline.resources import Resources
from validation.pixels import decode, model_input
from validation.preprocessing import Preprocessing


def rebuild(resources: Resources, attempt_id: AttemptId, *, preprocessing: Preprocessing) -> Again | None:
    """Make anew what the scoring model looks at, where it is missing or made for another model; then check again."""
    with resources.database.transaction() as connection:
        deaths = collection.deaths(connection, attempt_id)
    with resources.poison_gate.passed(alone=deaths > 0):
        return _claim_and_rebuild(resources, attempt_id, preprocessing)


def _claim_and_rebuild(resources: Resources, attempt_id: AttemptId, preprocessing: Preprocessing) -> Again | None:
    stale = _stale(resources, attempt_id, preprocessing)
    if not stale:
        return None

    def take(lease: Lease) -> Work | None:
        with resources.database.transaction() as connection:
            return validation.claim(connection, attempt_id, lease=lease)

    with claimed(resources, take, when_away=releasing(resources, attempt_id, Step.VALIDATING)) as claim:
        if claim.taken is not None:
            claim.again = _refill(resources, claim.taken, claim.lease, stale, preprocessing)
    return claim.again


def _stale(resources: Resources, attempt_id: AttemptId, preprocessing: Preprocessing) -> dict[AssetId, str]:
    """Pictures without an input that suits, with their keys in the store."""
    with resources.database.transaction() as connection:
        work = validation.look(connection, attempt_id)
        rows = validation.inputs(connection, attempt_id) if work is not None else []
    return {row.asset_id: row.r2_key for row in rows if row.pixels is None or row.preprocessing != preprocessing.digest}


def _refill(
    resources: Resources, work: Work, lease: Lease, keys: Mapping[AssetId, str], preprocessing: Preprocessing
) -> Again | None:
    inputs = {}
    failed = partial(failures.settle, resources, work, step=Step.VALIDATING, token=lease.token)
    try:
        for asset_id, key in keys.items():
            ready = model_input(decode(resources.store.get(key)).image, preprocessing)
            inputs[asset_id] = (ready.pixels, ready.size, ready.preprocessing)
    except (FileNotFoundError, PictureError) as error:
        # A store may be late or mounted wrongly, so this is tried as often as a check; then the picture is lost.
        return failed(PictureAway(f"a stored original cannot be read: {error}"))
    except OSError as error:
        return failed(ServiceMissing(f"the picture store of this worker failed: {error}"))
    with resources.database.transaction() as connection:
        collection.refilled(connection, work.attempt_id, token=lease.token, inputs=inputs)
    resources.dispatch.validate(attempt_id=work.attempt_id, generation_id=work.generation_id)
    return None
