"""Ask for accepted pictures to be finished that are already there."""

from dataclasses import dataclass
from uuid import UUID

from db.records import batches, finishings
from domain.errors import BadInput, UnknownThing
from domain.finishing import FinishStep
from domain.ids import BatchId, GenerationId
from domain.states import GenerationState
from pipeline.attempts.finishing import admit_waiting
from pipeline.requests.finishing_calls import check_wish
from pipeline.resources import Resources
from pipeline.views import generations
from pipeline.views.status import BatchStatus, of_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for.

    Args:
        new: pictures that wait for it now, and did not before.
    """

    new: int
    status: BatchStatus


def ask(
    resources: Resources,
    target: str,
    *,
    user_id: str,
    steps: tuple[FinishStep, ...],
    model: str | None = None,
    again: bool = False,
) -> Asked:
    """Have the accepted pictures of a batch finished, or that of one generation.

    Args:
        target: a batch's name or id, `BATCH/ROW`, or a generation's id.
        again: also where the same wish was fulfilled before.

    Raises:
        UnknownThing: there is no such batch or generation.
        BadInput: nothing is asked for, the generation has no accepted picture, or nobody here can do it.
    """
    if not steps:
        raise BadInput("say what is to be done: --upscale, --remove-background, or both")
    batch_id, generation_id = _find(resources, target, user_id=user_id)
    with resources.database.transaction() as connection:
        providers = finishings.providers_of(connection, batch_id, generation_id)
    if not providers:
        raise BadInput(f"{target!r} has no accepted picture yet; `likeness list` shows what became of them")
    for provider in providers:
        check_wish(resources, provider, steps, model=model)
    with resources.database.transaction() as connection:
        new = finishings.ask(connection, batch_id, steps=steps, model=model, generation_id=generation_id, again=again)
    admit_waiting(resources)
    return Asked(new=new, status=of_batch(resources, batch_id))


def _find(resources: Resources, target: str, *, user_id: str) -> tuple[BatchId, GenerationId | None]:
    try:
        with resources.database.transaction() as connection:
            return batches.find(connection, target, user_id=user_id).id, None
    except UnknownThing:
        if "/" not in target and not _is_id(target):
            raise
    row = generations.find(resources, target, user_id=user_id).generation
    if row["state"] != GenerationState.COMPLETED:
        raise BadInput(f"{target!r} is {row['state']}; only an accepted picture is finished")
    return BatchId(row["batch_id"]), GenerationId(row["id"])


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
