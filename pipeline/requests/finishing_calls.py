"""How an accepted picture is finished: by its own service's action, or by a model that takes a picture.

An upscale goes to the service that made the picture where that has actions (Midjourney), unless a person names a model;
anything else goes to the catalogue's model for the step. From a grid Midjourney first gives the picture alone, which is
a call of its own. What a stand-in made stays with the stand-in.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from db.moves.finishing import NewCall
from db.reads.work import Work
from db.records import closed_loop, finishings
from db.records.characters import ReferenceRow
from db.records.finishings import CHANGE, Picture, Waiting
from domain.errors import BadInput, RequestError, RequestRefused
from domain.finishing import FinishStep
from domain.ids import AssetId
from domain.states import AttemptKind
from pipeline.characters.references import can_be_read
from pipeline.resources import Resources
from providers.catalogue import Model, load
from providers.prices import price
from providers.registry import service

#: Midjourney's actions for one wish: the picture alone, from a grid, and then the larger one.
_OWN_CALLS: Final = 2


def call_for(resources: Resources, wish: Waiting) -> tuple[str, NewCall]:
    """The next call that the wish needs, and its provider.

    Raises:
        RequestError: it cannot be fulfilled; the sentence says why.
    """
    if not wish.accepted:
        raise BadInput("the picture is no longer accepted")
    if wish.picture is None:
        raise BadInput("the picture was deleted")
    step, picture = wish.steps[0], wish.picture
    own = _own_action(wish, picture) if step is FinishStep.UPSCALE and wish.model is None else None
    if own is not None:
        return picture.provider, own
    model = check(resources, picture.provider, step, model=wish.model, own=False)
    with resources.database.transaction() as connection:
        most = closed_loop.policy_of(connection, wish.generation_id).max_image_cost
    found = price(model, {}, on=datetime.now(UTC).date(), max_image_cost=most)
    return model.provider, NewCall(
        wish=wish,
        model=model.name,
        lane=None,
        changes={},
        last=True,
        hold_usd=found.at_most_usd,
        price_usd=found.usd,
    )


def _own_action(wish: Waiting, picture: Picture) -> NewCall | None:
    """The action on the picture's own job, at the price of that job; None where it offers none."""
    if picture.job_id is None:
        return None
    found = service(picture.provider).adapter().upscale_of(picture.position, detail=picture.detail)
    if found is None:
        return None
    name, last = found
    action = {"job_id": picture.job_id, "name": name, "lane": picture.lane, "position": picture.position}
    return NewCall(
        wish=wish,
        model=picture.model,
        lane=picture.lane,
        changes={"action": action},
        last=last,
        hold_usd=picture.hold_usd,
        price_usd=picture.price_usd,
    )


def check_wish(resources: Resources, provider: str, steps: Sequence[FinishStep], *, model: str | None = None) -> None:
    """Refuse a wish for pictures of `provider` that nobody here could fulfil.

    Raises:
        RequestError: as `check`.
    """
    if model is not None and len(steps) != 1:
        raise BadInput("a model does one thing to a picture; name --upscale or --remove-background with it")
    for step in steps:
        check(resources, provider, step, model=model, own=True)


def check(resources: Resources, provider: str, step: FinishStep, *, model: str | None, own: bool) -> Model:
    """The catalogue's model for the step, where a lane of its provider takes pictures of `provider`.

    Args:
        own: whether the picture's own service may do it instead, in which case nothing is refused.

    Raises:
        BadInput, UnknownThing, ModelRetired: no such model, or nobody here serves it.
    """
    finisher = load().finisher(step, model)
    if own and model is None and step is FinishStep.UPSCALE and service(provider).adapter().upscales:
        return finisher
    finisher.check_usable(datetime.now(UTC).date())
    if provider == "sandbox":
        raise BadInput(f"a rehearsal's pictures stay with the stand-in, which does not do {step.value!r}")
    lane = next((one for one in resources.lanes.values() if one.provider == finisher.provider), None)
    if lane is None:
        key = service(finisher.provider).key_setting
        raise BadInput(f"{finisher.name!r} does {step.value!r}, and {key} is not set; put it into .env")
    if not can_be_read(resources, lane):
        raise BadInput(f"pictures cannot get to {finisher.provider!r}; set R2_CDN_URL and the other R2 settings")
    return finisher


def most_usd(
    resources: Resources,
    provider: str,
    steps: Sequence[FinishStep],
    *,
    pictures: int,
    held_usd: Decimal,
    model: str | None = None,
    max_image_cost: Decimal | None = None,
) -> Decimal:
    """The most that finishing can cost: the holds of its calls, if every picture is accepted.

    Args:
        held_usd: for the calls that make the pictures, together; an action on a job is held like the job.
        max_image_cost: as `providers.prices.price`.

    Raises:
        RequestError: nobody here can do it, or a call can cost more than the maximum.
    """
    total = Decimal(0)
    for step in steps:
        own = step is FinishStep.UPSCALE and model is None and service(provider).adapter().upscales
        by_action = _OWN_CALLS * held_usd if own else Decimal(0)
        try:
            finisher = check(resources, provider, step, model=model, own=False)
            found = price(finisher, {}, on=datetime.now(UTC).date(), max_image_cost=max_image_cost)
        except RequestError:
            if not own:
                raise
            total += by_action
            continue
        # A job that offers no action is finished by the model.
        total += max(by_action, pictures * found.at_most_usd)
    return total


def takes_a_picture(work: Work) -> bool:
    """Whether the attempt sends a stored picture to a model, and neither words nor an action."""
    return work.kind is AttemptKind.FINISH and "action" not in work.changes


def without_words(work: Work) -> Work:
    """The attempt as such a model is asked: what its generation says to another model is not for this one."""
    return replace(work, prompt="", settings={})


def picture_sent(resources: Resources, work: Work) -> ReferenceRow:
    """The stored picture that the attempt sends.

    Raises:
        RequestRefused: it was deleted meanwhile.
    """
    change: dict[str, Any] = work.changes[CHANGE]
    with resources.database.transaction() as connection:
        found = finishings.stored_picture(connection, AssetId(UUID(change["of"])))
    if found is None:
        raise RequestRefused("the picture was deleted; nothing was sent")
    return found
