"""Ask for accepted pictures to be finished that are already there."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from db.records import batches, finishings
from domain.errors import BadInput, UnknownThing
from domain.finishing import FinishStep
from domain.ids import BatchId, GenerationId
from domain.states import GenerationState
from pipeline.attempts.finishing import admit_waiting
from pipeline.requests.finishing_calls import check_wish, most_usd
from pipeline.resources import Resources
from pipeline.views import generations
from pipeline.views.status import BatchStatus, of_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked for, or would be.

    Args:
        new: pictures that wait for it now, and did not before.
        at_most_usd: what their calls can cost, if all of them are made.
        short_usd: what of that does not fit into the batch's budget as it stands; 0 without a budget.
    """

    new: int
    at_most_usd: Decimal
    short_usd: Decimal
    status: BatchStatus


def ask(
    resources: Resources,
    target: str,
    *,
    user_id: str,
    steps: tuple[FinishStep, ...],
    model: str | None = None,
    again: bool = False,
    dry_run: bool = False,
) -> Asked:
    """Have the accepted pictures of a batch finished, or that of one generation.

    Args:
        target: a batch's name or id, `BATCH/ROW`, or a generation's id.
        again: also where the same wish was fulfilled before.
        dry_run: count and price them, and ask for nothing.

    Raises:
        UnknownThing: there is no such batch or generation.
        BadInput: nothing is asked for, the generation has no accepted picture, or nobody here can do it.
    """
    if not steps:
        raise BadInput("say what is to be done: --upscale, --remove-background, or both")
    batch_id, generation_id = _find(resources, target, user_id=user_id)
    return ask_of(
        resources,
        batch_id,
        generation_id=generation_id,
        steps=steps,
        model=model,
        again=again,
        dry_run=dry_run,
    )


def ask_of(
    resources: Resources,
    batch_id: BatchId,
    *,
    steps: tuple[FinishStep, ...],
    generation_id: GenerationId | None = None,
    model: str | None = None,
    again: bool = False,
    dry_run: bool = False,
) -> Asked:
    """The same for a batch that is known, or one generation of it.

    Raises:
        RequestError: there is no accepted picture, or nobody here can do it.
    """
    with resources.database.transaction() as connection:
        found = finishings.accepted(
            connection, batch_id, steps=steps, model=model, generation_id=generation_id, again=again
        )
    if not found:
        raise BadInput("there is no accepted picture yet; `likeness list` shows what became of them")
    at_most = Decimal(0)
    for one in found:
        check_wish(resources, one.provider, steps, model=model)
        at_most += most_usd(
            resources,
            one.provider,
            steps,
            model=model,
            pictures=one.pictures,
            held_usd=one.held_usd,
            max_image_cost=one.max_image_cost,
        )
    before = of_batch(resources, batch_id)
    short = Decimal(0) if before.remaining_usd is None else max(at_most - before.remaining_usd, Decimal(0))
    if dry_run:
        new = sum(one.pictures for one in found)
        return Asked(new=new, at_most_usd=at_most, short_usd=short, status=before)
    with resources.database.transaction() as connection:
        new = finishings.ask(connection, batch_id, steps=steps, model=model, generation_id=generation_id, again=again)
    admit_waiting(resources)
    return Asked(new=new, at_most_usd=at_most, short_usd=short, status=of_batch(resources, batch_id))


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
