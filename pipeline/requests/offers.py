"""Which models could make a picture, and what one call to each would cost: from the request, the catalogue, the lanes.

Nothing is sent: a model is an offer where its wire has words for the whole request, its references can get there, and
there is a price for it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from db.records.characters import ReferenceRow
from domain.errors import BadInput, LimitTooSmall, PriceUnknown
from learning.routing import Needs, Offer
from pipeline.characters.references import SentReference, chosen_references, pixels_of
from pipeline.requests.draft_requests import can_be_said, draft
from pipeline.resources import Resources
from providers.catalogue import Model
from providers.contract import Ask
from providers.prices import Price, price
from providers.registry import service
from providers.setting_values import OVERDUE_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A model that could be asked, what one call to it costs, and how long that usually takes."""

    model: Model
    provider: str
    price: Price
    expected_s: float

    @property
    def usd_per_picture(self) -> Decimal:
        return self.price.usd / self.model.pictures

    def as_offer(self, *, closed: str | None) -> Offer:
        """The facts that routing weighs.

        Args:
            closed: why the provider's lanes take nothing now; None where one is open.
        """
        model = self.model
        return Offer(
            model=model.name,
            provider=self.provider,
            usd=self.price.usd,
            at_most_usd=self.price.at_most_usd,
            pictures=model.pictures,
            references=0 if model.references is None else model.references.most,
            # What the wire cannot say was refused before.
            ratios=("any",),
            negative=model.negative_prompt,
            expected_s=self.expected_s,
            closed=closed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, whatever model it may go to.

    Args:
        settings: overlaid with the changes of its latest try.
        rehearsal: its provider is a stand-in, whose work never becomes a service's.
        references: of all its characters.
        most_usd: of one call; None leaves the budget as the only limit.
    """

    resources: Resources
    prompt: str
    provider: str
    settings: Mapping[str, Any]
    characters: int
    references: Sequence[ReferenceRow]
    most_usd: Decimal | None
    rehearsal: bool
    today: date

    @property
    def needs(self) -> Needs:
        """What a model must fulfil beside what makes it an offer: a job that is overdue by then would not do."""
        overdue_after = self.settings.get(OVERDUE_AFTER)
        deadline_s = float(overdue_after) if overdue_after else None
        return Needs(characters=self.characters, most_usd=self.most_usd, deadline_s=deadline_s)

    def offers(
        self, models: Iterable[Model], *, among: Collection[str], without: Collection[str] = ()
    ) -> list[Offered]:
        """What can be asked of `models`.

        Args:
            among: providers that may be asked.
            without: models that are out of the question.
        """
        found = (self.offer(model, among=among) for model in models if model.name not in without)
        return [one for one in found if one is not None]

    def offer(self, model: Model, *, among: Collection[str]) -> Offered | None:
        """What a call to the model would cost; None where it is not at hand, or lacks words for the request.

        A model of which the catalogue is not sure is left to people, who read the warning.
        """
        provider = self.provider if model.served_by(self.provider) else model.provider
        if not model.sure or provider not in among or (self.rehearsal and provider != self.provider):
            return None
        if model.max_prompt_chars is not None and len(self.prompt) > model.max_prompt_chars:
            return None
        if not self.readable_by(provider, model, self.settings) or not self.can_be_said(model, provider, self.settings):
            return None
        found = self.price_of(model, provider, self.settings)
        if found is None:
            return None
        expected_s = model.expected(self.settings).total_seconds()
        return Offered(model=model, provider=provider, price=found, expected_s=expected_s)

    def draft(self, model: Model, settings: Mapping[str, Any]) -> Ask:
        return draft(model.name, self.prompt, settings, references=len(self.sent_references(model, settings)))

    def sent_references(self, model: Model, settings: Mapping[str, Any]) -> list[SentReference]:
        return chosen_references(settings, self.references, model=model)

    def can_be_said(self, model: Model, provider: str, settings: Mapping[str, Any]) -> bool:
        return can_be_said(service(provider).adapter(), self.draft(model, settings))

    def readable_by(self, provider: str, model: Model, settings: Mapping[str, Any]) -> bool:
        """Whether the references can get to the provider: by an address, or as files."""
        named = all(isinstance(one, str) for one in self.sent_references(model, settings))
        if named or self.resources.store.public_base is not None:
            return True
        lane = next((one for one in self.resources.lanes.values() if one.provider == provider), None)
        if lane is not None:
            return lane.takes_files
        known = service(provider)
        return known.takes_files or known.adapter().takes_files

    def price_of(self, model: Model, provider: str, settings: Mapping[str, Any]) -> Price | None:
        """None where there is no price, or it is above the limit of one call."""
        most = self.most_usd
        if most is None and all(one.estimate for one in model.prices):
            most = self.resources.estimates.get(provider)
        try:
            return price(
                model,
                settings,
                on=self.today,
                max_image_cost=most,
                references=pixels_of(self.sent_references(model, settings)),
                prompt=self.prompt,
            )
        except (PriceUnknown, LimitTooSmall, BadInput):
            return None
