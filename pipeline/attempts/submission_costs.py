"""What one submission costs, as it is about to be sent: settings, references and prices of this moment.

The price that was found when the generation was enqueued is a plan: a character gets further references, a reference
named by its address turns out large, a price changes. What is charged is what was sent. Whether a hold is large enough
is asked here; whether a budget is, where attempts are created.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from db.reads.work import Work
from db.records import closed_loop
from domain.errors import PictureAway, PictureError
from domain.stored_pictures import stored_picture
from pipeline.characters.references import SentReference, pixels_of
from pipeline.resources import Resources
from providers.catalogue import Model
from providers.contract import Lane
from providers.prices import PIXELS_AT_MOST, by_reference_size, listed, price
from validation.pixels import pixels_in

#: A submission waits no longer for the sizes of its references, of all together: well within the time after which an
#: attempt that nobody has claimed is published again.
MEASURED_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the call that is about to be sent costs.

    Args:
        usd: charged where the provider names no charge of its own.
        at_most_usd: what must be held for it.
    """

    usd: Decimal
    at_most_usd: Decimal


def as_sent(
    resources: Resources, lane: Lane, work: Work, *, model: Model, sent_references: Sequence[SentReference]
) -> Cost | None:
    """The cost of submitting `work` now with the references that go along.

    Returns:
        None where the catalogue has no price, or only an estimate: then what was set aside at the admission holds.

    Raises:
        LimitTooSmall: the call can cost more than was held, and more than the caller allows for one.
        BadInput: the model has no such size, quality or mode any more.
    """
    today = datetime.now(UTC).date()
    sizes = (
        _sizes(resources, lane, sent_references) if by_reference_size(model, on=today) else pixels_of(sent_references)
    )
    found = listed(model, work.settings, on=today, references=sizes, prompt=work.prompt)
    if found is None or found.estimate:
        return None
    if found.at_most_usd > work.hold_usd:
        _check_maximum(resources, work, model=model, sizes=sizes, on=today)
    return Cost(usd=found.usd, at_most_usd=found.at_most_usd)


def _check_maximum(resources: Resources, work: Work, *, model: Model, sizes: Sequence[int | None], on: date) -> None:
    """A hold may grow, but not beyond what a person allows for one call."""
    with resources.database.transaction() as connection:
        most = closed_loop.policy_of(connection, work.generation_id).max_image_cost
    price(model, work.settings, on=on, max_image_cost=most, references=sizes, prompt=work.prompt)


def _sizes(resources: Resources, lane: Lane, sent_references: Sequence[SentReference]) -> list[int | None]:
    """The pixels of each reference; one that cannot be measured is charged at the most that is assumed."""
    until = time.monotonic() + MEASURED_WITHIN_S
    return [
        _measured(resources, lane, one, until=until) if isinstance(one, str) else one.width * one.height
        for one in sent_references
    ]


def _measured(resources: Resources, lane: Lane, url: str, *, until: float) -> int:
    def measure() -> int:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise PictureAway("the references before this one took all the time that there is")
        stored = stored_picture(url)
        return pixels_in(lane.fetch_picture(url, total_s=left_s) if stored is None else resources.store.get(stored.key))

    try:
        return resources.reference_cache.pixels(url, measure)
    except (PictureError, OSError):
        return PIXELS_AT_MOST
