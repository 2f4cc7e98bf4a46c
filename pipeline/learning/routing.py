"""Decide which model a generation is asked of, from the latest results of all models, and keep the decision.

The first choice of a generation explores; a further try after a rejection takes the cheapest expected model that is
left. A team learns from its own results alone: what one team makes says nothing to another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any, Final

from db.records import routing as rows
from db.records.routing import RoutingDecision
from domain.errors import BadInput
from domain.ids import GenerationId
from learning.beliefs import Beliefs, Result
from learning.routing import Candidate, Choice, Needs, Offer, choose, context_of
from pipeline.resources import Resources

#: Older ones have no weight left.
_RESULTS: Final = 1000
_SPREAD: Final = 1 << 64


def beliefs(resources: Resources, *, team: str) -> Beliefs:
    """What the latest results of a team say of all models."""
    with resources.database.transaction() as connection:
        found = rows.results(connection, team=team, most=_RESULTS)
    return Beliefs.of(
        Result(model=one.model, context=context_of(one.characters), accepted=one.accepted) for one in found
    )


def closed_providers(resources: Resources) -> Mapping[str, str]:
    """Providers that take nothing now, and why."""
    with resources.database.transaction() as connection:
        return rows.closed_providers(connection)


def decide(
    resources: Resources,
    generation_id: GenerationId,
    offers: Sequence[Offer],
    needs: Needs,
    *,
    team: str,
    frozen: str | None = None,
) -> RoutingDecision:
    """The model of a generation's first try; decided once, however often it is asked.

    Args:
        team: whose results count.
        frozen: a model that the order names.

    Raises:
        BadInput: no model can serve; the sentence says why each cannot.
    """
    known = beliefs(resources, team=team)
    choice = choose(offers, needs, known, draw=draw_of(generation_id), frozen=frozen)
    if choice.chosen is None:
        # What is closed now opens again; a generation waits for it in the queue, as for any lane.
        opened = [_opened(one) for one in offers]
        choice = choose(opened, needs, known, draw=draw_of(generation_id), frozen=frozen)
    if choice.chosen is None:
        why = "; ".join(f"{model!r} {reason}" for model, reason in sorted(choice.excluded.items()))
        raise BadInput(f"no model can make this picture{': ' + why if why else ', as none takes all of its settings'}")
    decision = _decision(choice, choice.chosen, number=1)
    with resources.database.transaction() as connection:
        return rows.keep(connection, generation_id, decision)


def next_after(
    resources: Resources, offers: Sequence[Offer], needs: Needs, *, team: str, number: int
) -> RoutingDecision | None:
    """The model of a further try: the cheapest expected of those left, without exploring; None where none is left.

    Args:
        team: whose results count.
        number: of that try.
    """
    choice = choose(offers, needs, beliefs(resources, team=team), draw=0.0)
    if not choice.candidates:
        return None
    best = choice.candidates[0]
    certain = [{**asdict(one), "propensity": float(one is best)} for one in choice.candidates]
    return _decision(choice, best, number=number, candidates=certain, propensity=1.0)


def draw_of(generation_id: GenerationId) -> float:
    """A number in [0, 1) that is the generation's own, so that a repeated decision is the same one."""
    return int.from_bytes(sha256(f"routing {generation_id}".encode()).digest()[:8], "big") / _SPREAD


def _opened(offer: Offer) -> Offer:
    return Offer(**{**asdict(offer), "closed": None})


def _decision(
    choice: Choice,
    chosen: Candidate,
    *,
    number: int,
    candidates: Sequence[Mapping[str, Any]] | None = None,
    propensity: float | None = None,
) -> RoutingDecision:
    found = candidates if candidates is not None else [asdict(one) for one in choice.candidates]
    return RoutingDecision(
        number=number,
        context=choice.context,
        candidates=[{**one, "usd": str(one["usd"])} for one in found],
        excluded=choice.excluded,
        model=chosen.model,
        provider=chosen.provider,
        propensity=chosen.propensity if propensity is None else propensity,
        version=choice.version,
    )
