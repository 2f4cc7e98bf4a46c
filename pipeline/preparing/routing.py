"""The stage that chooses the model: a model that the order names is a frozen arm, else `learning.routing` chooses."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from db.records import closed_loop
from domain.errors import BadInput
from domain.preparation import OFF, Added, Known
from domain.routing import Routing
from learning.persona import AUTO
from pipeline.characters.references import character_of
from pipeline.learning import routing
from pipeline.preparing import enhancement, persona_words
from pipeline.preparing.composer import Composed
from pipeline.requests.offers import Asked, Offered
from pipeline.resources import Resources
from providers.catalogue import load

#: So many candidates stand in the record of the stage; all of them in `routing_decisions`.
_SHOWN: Final = 5


def route(resources: Resources, known: Known) -> Added:
    """Choose the model.

    Raises:
        BadInput: there is no prompt, or no model can serve.
    """
    if not known.prompt:
        raise BadInput("no stage wrote a prompt: switch the analysis or the enhancement on, or give words of your own")
    wish = Routing.of(known.wishes.get("routing"))
    asked = _asked(resources, known, known.prompt)
    offers = _offers(resources, known, asked, wish)
    if wish is None and not offers:
        return OFF  # a model that the catalogue is not sure of: named, and so used, and nothing is learned of it
    closed = routing.closed_providers(resources)
    decision = routing.decide(
        resources,
        known.generation_id,
        [one.as_offer(closed=closed.get(one.provider)) for one in offers],
        # A model that a person names is asked, however slow it is.
        asked.needs if wish is not None else replace(asked.needs, deadline_s=None),
        team=known.team,
        frozen=load().get(known.model).name if wish is None else None,
    )
    composed = _in_the_dialect_of(resources, known, decision.model)
    return Added(
        prompt=composed.prompts[0] if composed else None,
        candidates=composed.prompts if composed else None,
        settings={"negative_prompt": composed.negative} if composed and known.negative else None,
        provider=decision.provider,
        model=decision.model,
        inputs={"context": decision.context, "routing": None if wish is None else wish.value},
        detail={
            "version": decision.version,
            "propensity": decision.propensity,
            "candidates": list(decision.candidates[:_SHOWN]),
            "excluded": dict(decision.excluded),
        },
    )


def _in_the_dialect_of(resources: Resources, known: Known, model: str) -> Composed | None:
    """What was composed for another model, composed anew; None where it stays as it is."""
    if not known.candidates or model == load().get(known.model).name or known.wishes.get("persona") == AUTO:
        return None
    if enhancement.by_llm(known):
        return None
    found = enhancement.composed_for(known, load().get(model))
    return replace(found, prompts=[persona_words.with_words(resources, known, one) for one in found.prompts])


def _asked(resources: Resources, known: Known, prompt: str) -> Asked:
    characters = [character_of(resources, one) for one in known.character_ids]
    with resources.database.transaction() as connection:
        most = closed_loop.policy_of(connection, known.generation_id).max_image_cost
    return Asked(
        resources=resources,
        prompt=prompt,
        provider=known.provider,
        settings=known.settings,
        characters=len(characters),
        references=[row for one in characters for row in one.references],
        most_usd=most,
        rehearsal=load().get(known.model).provider != known.provider,
        today=datetime.now(UTC).date(),
    )


def _offers(resources: Resources, known: Known, asked: Asked, wish: Routing | None) -> list[Offered]:
    served = {one.provider for one in resources.lanes.values()}
    among = served if wish is Routing.ANY else {known.provider}
    models = [load().get(known.model)] if wish is None else load().models(live_on=asked.today)
    return asked.offers(models, among=among)
