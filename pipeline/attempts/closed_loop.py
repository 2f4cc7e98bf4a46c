"""Gather what `domain.escalation` needs to choose the next try after a rejection, and price that try.

Which step comes next is `domain.escalation`'s business. Here it is found out what is possible, from the request, the
catalogue and the lanes, and a step is turned into changes, hold, price, provider and model. The budget is not asked: it
is checked where the next attempt is created, as for every attempt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from db.moves import later_policy
from db.moves.validation import NewVerdict
from db.reads.work import Work
from db.records import characters, closed_loop
from db.records.characters import ReferenceRow
from db.records.closed_loop import BestPicture, Decision, NextTry, Standing
from domain.errors import BadInput, LikenessError, LimitTooSmall, PriceUnknown, RequestRefused
from domain.escalation import Carried, Chances, Escalation, NextModel, Step, Variation, merged, next_step
from domain.ids import BatchId, GenerationId
from domain.money import show
from pipeline.attempts.draft_requests import can_be_said, draft
from pipeline.characters.references import Going, going_along, named_urls, pixels_of
from pipeline.resources import Resources
from providers.catalogue import Model, load
from providers.contract import Ask
from providers.prices import Price, price
from providers.registry import service


def decide(resources: Resources, work: Work, winner: NewVerdict) -> Decision | None:
    """What becomes of a generation whose attempt is about to be rejected; None where nobody asked for another try.

    Args:
        winner: the best of this attempt's verdicts.
    """
    with resources.database.transaction() as connection:
        if not closed_loop.policy_of(connection, work.generation_id).on:
            return None
        standing = closed_loop.standing(connection, work.generation_id)
        earlier = closed_loop.best_picture(connection, work.generation_id)
        best = BestPicture(
            asset_id=winner.asset_id,
            attempt_id=work.attempt_id,
            position=closed_loop.position_of(connection, winner.asset_id),
            core=winner.verdict.scores.core,
            style=winner.verdict.scores.style,
            lane=work.lane,
            provider=work.provider,
            job_id=work.job_id,
            detail=work.result.get("detail") or {},
        )
        references = [row for one in standing.character_ids for row in characters.get(connection, one).references]
    if work.changes != standing.changes:
        # A job of an earlier attempt that turned up late: the try that was decided on already is still to come.
        return Decision(reason="the try that was decided on is still to come", next_try=_as_it_stands(standing))
    scores = {"core": round(best.core, 6), "style": round(best.style, 6)}
    if earlier is not None and earlier.core > best.core:
        best = earlier
    return _decision(resources, standing, best=best, references=references, scores=scores)


def take_up(resources: Resources, batch_id: BatchId) -> tuple[int, int]:
    """Let the rejected generations of a batch go on by its policy, as if it had been there before.

    Returns:
        How many wait again, and for how many nothing is left to try.
    """
    with resources.database.transaction() as connection:
        ids = later_policy.rejected_of(connection, batch_id)
    queued = sum(_take_up(resources, one) for one in ids)
    return queued, len(ids) - queued


def _take_up(resources: Resources, generation_id: GenerationId) -> bool:
    with resources.database.transaction() as connection:
        standing = closed_loop.standing(connection, generation_id)
        best = closed_loop.best_picture(connection, generation_id)
        references = [row for one in standing.character_ids for row in characters.get(connection, one).references]
    if best is None or not standing.policy.on:
        return False
    scores = {"core": round(best.core, 6), "style": round(best.style, 6)}
    decision = _decision(resources, standing, best=best, references=references, scores=scores)
    if decision.next_try is None:
        return False
    with resources.database.transaction() as connection:
        return later_policy.take_up(connection, generation_id, decision)


def _decision(
    resources: Resources,
    standing: Standing,
    *,
    best: BestPicture,
    references: Sequence[ReferenceRow],
    scores: Mapping[str, float],
) -> Decision:
    """What is decided; a plan that cannot be made, as for a model that the catalogue has lost, is no further try.

    The verdict is paid for by now, and must not be lost for it.
    """
    try:
        return _Loop(resources, standing, best=best, references=references).decision(scores)
    except LikenessError as failure:
        return Decision(reason=f"no further try can be planned ({failure})", detail={"before": dict(scores)})


def _as_it_stands(standing: Standing) -> NextTry:
    return NextTry(
        changes=standing.changes,
        provider=standing.provider,
        model=standing.model,
        hold_usd=standing.hold_usd,
        price_usd=standing.price_usd,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """A model that could be next, and what one call to it costs."""

    model: Model
    provider: str
    price: Price

    @property
    def usd_per_picture(self) -> Decimal:
        return self.price.usd / self.model.pictures


class _Loop:
    """One decision about one generation."""

    def __init__(
        self, resources: Resources, standing: Standing, *, best: BestPicture, references: Sequence[ReferenceRow]
    ) -> None:
        self._resources = resources
        self._standing = standing
        self._best = best
        self._references = references
        self._model = load().get(standing.model)
        self._today: date = datetime.now(UTC).date()

    def decision(self, scores: Mapping[str, float]) -> Decision:
        """The next try, or why there is none.

        Args:
            scores: of the best picture of the try that was rejected.
        """
        standing = self._standing
        tries = int(standing.changes.get("try", 1))
        offer = self._next_model() if Escalation.MODEL in standing.policy.steps else None
        step = next_step(standing.policy, tries=tries, chances=self._chances(offer))
        said: dict[str, Any] = {"try": tries, "before": dict(scores)}
        following = None if step is None else self._following(step, offer, tries=tries)
        if step is None or following is None:
            used_up = tries >= standing.policy.max_tries
            why = f"{tries} of {standing.policy.max_tries} tries are used up" if used_up else "no step up is left"
            return Decision(reason=f"{why}; the best picture of all tries stands for it", detail=said)
        said |= {
            "try": tries + 1,
            "step": step.kind.value,
            "says": step.says,
            "from": step.before,
            "to": step.after,
            "hold_usd": show(following.hold_usd),
        }
        return Decision(reason=f"try {tries + 1}: {step.says}", detail=said, next_try=following)

    def _chances(self, offer: _Offer | None) -> Chances:
        standing = self._standing
        carried = self._carried(standing.settings)
        if carried.weight is not None and (rung := carried.weight.stronger) is not None:
            heavier = {**standing.settings, carried.weight.setting: rung}
            if not self._can_be_said(self._model, standing.provider, heavier):
                carried = Carried(references=carried.references)
        in_the_way = ["cref_urls"] if named_urls(standing.settings) else []
        return Chances(
            carried=carried,
            model=standing.model,
            more_references=self._more_references(in_the_way),
            in_the_way=in_the_way,
            variation=self._variation(),
            next_model=None if offer is None else NextModel(name=offer.model.name, provider=offer.provider),
        )

    def _carried(self, settings: Mapping[str, Any]) -> Carried:
        ask = self._draft(self._model, settings)
        wire = service(self._standing.provider).adapter()
        try:
            return wire.carried(ask)
        except RequestRefused:
            return Carried()

    def _draft(self, model: Model, settings: Mapping[str, Any]) -> Ask:
        return draft(model.name, self._standing.prompt, settings, references=len(self._going(model, settings)))

    def _going(self, model: Model, settings: Mapping[str, Any]) -> list[Going]:
        return going_along(settings, self._references, model=model)

    def _can_be_said(self, model: Model, provider: str, settings: Mapping[str, Any]) -> bool:
        return can_be_said(service(provider).adapter(), self._draft(model, settings))

    def _more_references(self, in_the_way: list[str]) -> int | None:
        settings = merged(self._standing.settings, {"settings": dict.fromkeys(in_the_way)})
        if not in_the_way or not self._readable_by(self._standing.provider, self._model, settings):
            return None
        if not self._can_be_said(self._model, self._standing.provider, settings):
            return None
        return self._carried(settings).references

    def _readable_by(self, provider: str, model: Model, settings: Mapping[str, Any]) -> bool:
        """Whether the references can get to the provider: by an address, or as files."""
        named = all(isinstance(one, str) for one in self._going(model, settings))
        if named or self._resources.store.public_base is not None:
            return True
        lane = next((one for one in self._resources.lanes.values() if one.provider == provider), None)
        if lane is not None:
            return lane.takes_files
        known = service(provider)
        return known.takes_files or known.adapter().takes_files

    def _variation(self) -> Variation | None:
        best, wire = self._best, service(self._standing.provider).adapter()
        if best.job_id is None or best.provider != self._standing.provider:
            return None
        if (best.job_id, best.position) in self._standing.varied:
            return None
        name = wire.variation_of(best.position, detail=best.detail)
        if name is None:
            return None
        action = {"job_id": best.job_id, "name": name, "lane": best.lane, "position": best.position}
        return Variation(picture=best.position, action=action)

    def _next_model(self) -> _Offer | None:
        """The cheapest model that is dearer than the present one, by the picture."""
        now = self._standing.price_usd / self._model.pictures
        known = load().models(references=True, live_on=self._today)
        offers = [offer for model in known if (offer := self._offer(model)) is not None]
        return min(
            (offer for offer in offers if offer.usd_per_picture > now),
            key=lambda offer: offer.usd_per_picture,
            default=None,
        )

    def _offer(self, model: Model) -> _Offer | None:
        """What a call to the model would cost; None where it was tried, is not at hand, or lacks words for the request.

        A model of which the catalogue is not sure is left to people, who read the warning.
        """
        standing = self._standing
        rehearsal = self._model.provider != standing.provider
        provider = standing.provider if model.served_by(standing.provider) else model.provider
        if model.name in standing.tried_models or not model.sure or provider not in standing.providers:
            return None
        if rehearsal and provider != standing.provider:
            return None  # a stand-in's work never becomes a service's
        if model.max_prompt_chars is not None and len(standing.prompt) > model.max_prompt_chars:
            return None
        if not self._readable_by(provider, model, standing.settings):
            return None
        if not self._can_be_said(model, provider, standing.settings):
            return None
        found = self._price(model, provider, standing.settings)
        return None if found is None else _Offer(model=model, provider=provider, price=found)

    def _price(self, model: Model, provider: str, settings: Mapping[str, Any]) -> Price | None:
        most = self._standing.policy.max_image_cost
        if most is None and all(one.estimate for one in model.prices):
            most = self._resources.estimates.get(provider)
        try:
            return price(
                model,
                settings,
                on=self._today,
                max_image_cost=most,
                references=pixels_of(self._going(model, settings)),
                prompt=self._standing.prompt,
            )
        except (PriceUnknown, LimitTooSmall, BadInput):
            return None

    def _following(self, step: Step, offer: _Offer | None, *, tries: int) -> NextTry | None:
        standing = self._standing
        changes: dict[str, Any] = {
            "settings": {**standing.changes.get("settings", {}), **step.settings},
            "try": tries + 1,
            "since": standing.tries,
        }
        if step.action is not None:
            changes["action"] = dict(step.action)
        if step.model is not None:
            assert offer is not None
            return NextTry(
                changes=changes,
                provider=offer.provider,
                model=offer.model.name,
                hold_usd=offer.price.at_most_usd,
                price_usd=offer.price.usd,
            )
        hold, expected = standing.hold_usd, standing.price_usd
        if step.kind is Escalation.REFERENCES and any(not one.estimate for one in self._model.prices):
            found = self._price(self._model, standing.provider, merged(standing.settings, {"settings": step.settings}))
            if found is None:
                return None
            hold, expected = found.at_most_usd, found.usd
        return NextTry(
            changes=changes, provider=standing.provider, model=standing.model, hold_usd=hold, price_usd=expected
        )
