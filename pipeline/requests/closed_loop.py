"""Gather what `domain.escalation` needs to choose the next try after a rejection, and price that try.

Which step comes next is `domain.escalation`'s business. Here it is found out what is possible, from the request, the
catalogue and the lanes, and a step is turned into changes, hold, price, provider and model. The budget is not asked: it
is checked where the next attempt is created, as for every attempt.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from db.moves import later_policy
from db.moves.validation import NewVerdict
from db.reads.work import Work
from db.records import characters, closed_loop
from db.records.characters import ReferenceRow
from db.records.closed_loop import BestPicture, Decision, NextTry, TryState
from db.records.routing import RoutingDecision
from domain.errors import LikenessError, RequestRefused
from domain.escalation import Carried, Chances, Escalation, NextModel, Step, Variation, merged, next_step
from domain.ids import BatchId, GenerationId
from domain.money import show
from domain.routing import Routing
from pipeline.characters.references import named_urls
from pipeline.learning import routing
from pipeline.requests.offers import Asked, Offered
from pipeline.resources import Resources
from providers.catalogue import load
from providers.registry import service


def decide(resources: Resources, work: Work, winner: NewVerdict) -> Decision:
    """What becomes of a generation whose attempt is about to be rejected and whose user allows further tries.

    Args:
        winner: the best of this attempt's verdicts.
    """
    with resources.database.transaction() as connection:
        state = closed_loop.try_state(connection, work.generation_id)
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
        references = [row for one in state.character_ids for row in characters.get(connection, one).references]
    if work.changes != state.changes:
        # A job of an earlier attempt that turned up late: the try that was decided on already is still to come.
        return Decision(reason="the try that was decided on is still to come", next_try=_unchanged(state))
    scores = {"core": round(best.core, 6), "style": round(best.style, 6)}
    if earlier is not None and earlier.core > best.core:
        best = earlier
    return _decision(resources, state, best=best, references=references, scores=scores)


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
        state = closed_loop.try_state(connection, generation_id)
        best = closed_loop.best_picture(connection, generation_id)
        references = [row for one in state.character_ids for row in characters.get(connection, one).references]
    if best is None or not state.policy.on:
        return False
    scores = {"core": round(best.core, 6), "style": round(best.style, 6)}
    decision = _decision(resources, state, best=best, references=references, scores=scores)
    if decision.next_try is None:
        return False
    with resources.database.transaction() as connection:
        return later_policy.take_up(connection, generation_id, decision)


def _decision(
    resources: Resources,
    state: TryState,
    *,
    best: BestPicture,
    references: Sequence[ReferenceRow],
    scores: Mapping[str, float],
) -> Decision:
    """What is decided; a plan that cannot be made, as for a model that the catalogue has lost, is no further try.

    The verdict is paid for by now, and must not be lost for it.
    """
    try:
        return _Loop(resources, state, best=best, references=references).decision(scores)
    except LikenessError as failure:
        return Decision(reason=f"no further try can be planned ({failure})", detail={"before": dict(scores)})


def _unchanged(state: TryState) -> NextTry:
    return NextTry(
        changes=state.changes,
        provider=state.provider,
        model=state.model,
        hold_usd=state.hold_usd,
        price_usd=state.price_usd,
    )


class _Loop:
    """One decision about one generation."""

    def __init__(
        self, resources: Resources, state: TryState, *, best: BestPicture, references: Sequence[ReferenceRow]
    ) -> None:
        self._resources = resources
        self._state = state
        self._best = best
        self._model = load().get(state.model)
        self._asked = Asked(
            resources=resources,
            prompt=state.prompt,
            provider=state.provider,
            settings=state.settings,
            characters=len(state.character_ids),
            references=references,
            most_usd=state.policy.max_image_cost,
            rehearsal=self._model.provider != state.provider,
            today=datetime.now(UTC).date(),
        )
        self._routed: RoutingDecision | None = None

    def decision(self, scores: Mapping[str, float]) -> Decision:
        """The next try, or why there is none.

        Args:
            scores: of the best picture of the try that was rejected.
        """
        state = self._state
        tries = int(state.changes.get("try", 1))
        offer = self._next_model() if Escalation.MODEL in state.policy.steps else None
        step = next_step(state.policy, tries=tries, chances=self._chances(offer))
        said: dict[str, Any] = {"try": tries, "before": dict(scores)}
        following = None if step is None else self._following(step, offer, tries=tries)
        if step is None or following is None:
            used_up = tries >= state.policy.max_tries
            why = f"{tries} of {state.policy.max_tries} tries are used up" if used_up else "no step up is left"
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

    def _chances(self, offer: Offered | None) -> Chances:
        state = self._state
        carried = self._carried(state.settings)
        if carried.weight is not None and (rung := carried.weight.stronger) is not None:
            heavier = {**state.settings, carried.weight.setting: rung}
            if not self._asked.can_be_said(self._model, state.provider, heavier):
                carried = Carried(references=carried.references)
        in_the_way = ["cref_urls"] if named_urls(state.settings) else []
        return Chances(
            carried=carried,
            model=state.model,
            more_references=self._more_references(in_the_way),
            in_the_way=in_the_way,
            variation=self._variation(),
            next_model=None if offer is None else NextModel(name=offer.model.name, provider=offer.provider),
        )

    def _carried(self, settings: Mapping[str, Any]) -> Carried:
        ask = self._asked.draft(self._model, settings)
        wire = service(self._state.provider).adapter()
        try:
            return wire.carried(ask)
        except RequestRefused:
            return Carried()

    def _more_references(self, in_the_way: list[str]) -> int | None:
        settings = merged(self._state.settings, {"settings": dict.fromkeys(in_the_way)})
        if not in_the_way or not self._asked.readable_by(self._state.provider, self._model, settings):
            return None
        if not self._asked.can_be_said(self._model, self._state.provider, settings):
            return None
        return self._carried(settings).references

    def _variation(self) -> Variation | None:
        best, wire = self._best, service(self._state.provider).adapter()
        if best.job_id is None or best.provider != self._state.provider:
            return None
        if (best.job_id, best.position) in self._state.varied:
            return None
        name = wire.variation_of(best.position, detail=best.detail)
        if name is None:
            return None
        action = {"job_id": best.job_id, "name": name, "lane": best.lane, "position": best.position}
        return Variation(picture=best.position, action=action)

    def _next_model(self) -> Offered | None:
        """The cheapest model that is dearer than the present one, by the picture.

        Where the model was left to the product: the one with the least expected cost per accepted picture.
        """
        state = self._state
        known = load().models(references=True, live_on=self._asked.today)
        offers = self._asked.offers(known, among=self._among(), without=state.tried_models)
        if state.routing is not None:
            return self._routed_next(offers)
        now = state.price_usd / self._model.pictures
        return min(
            (offer for offer in offers if offer.usd_per_picture > now),
            key=lambda offer: offer.usd_per_picture,
            default=None,
        )

    def _routed_next(self, offers: Sequence[Offered]) -> Offered | None:
        closed = routing.closed_providers(self._resources)
        self._routed = routing.next_after(
            self._resources,
            [one.as_offer(closed=closed.get(one.provider)) for one in offers],
            self._asked.needs,
            team=self._state.team,
            number=int(self._state.changes.get("try", 1)) + 1,
        )
        if self._routed is None:
            return None
        chosen = self._routed.model
        return next(one for one in offers if one.model.name == chosen)

    def _among(self) -> frozenset[str]:
        state = self._state
        return frozenset({state.provider}) if state.routing is Routing.AUTO else state.providers

    def _following(self, step: Step, offer: Offered | None, *, tries: int) -> NextTry | None:
        state = self._state
        changes: dict[str, Any] = {
            "settings": {**state.changes.get("settings", {}), **step.settings},
            "try": tries + 1,
            "since": state.tries,
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
                routing=self._routed,
            )
        hold, expected = state.hold_usd, state.price_usd
        if step.kind is Escalation.REFERENCES and any(not one.estimate for one in self._model.prices):
            settings = merged(state.settings, {"settings": step.settings})
            found = self._asked.price_of(self._model, state.provider, settings)
            if found is None:
                return None
            hold, expected = found.at_most_usd, found.usd
        return NextTry(changes=changes, provider=state.provider, model=state.model, hold_usd=hold, price_usd=expected)
