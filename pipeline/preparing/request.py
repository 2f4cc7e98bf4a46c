"""The request of a prepared generation: checked and priced as every row is, since the stages have changed it."""

from datetime import UTC, datetime

from db.moves.preparation import Ready
from db.records import closed_loop
from domain.errors import BadInput, RequestRefused
from domain.preparation import Known
from pipeline.characters.references import character_of, chosen_references, pixels_of
from pipeline.requests.draft_requests import draft
from pipeline.resources import Resources
from providers.catalogue import load
from providers.prices import price


def ready(resources: Resources, known: Known) -> Ready:
    """What the generation asks for.

    Raises:
        BadInput, ModelRetired, PriceUnknown, LimitTooSmall: it cannot be asked for.
    """
    if not known.prompt:
        raise BadInput("no stage wrote a prompt: switch the analysis or the enhancement on, or give words of your own")
    model = load().get(known.model)
    today = datetime.now(UTC).date()
    model.check_usable(today)
    if model.max_prompt_chars is not None and len(known.prompt) > model.max_prompt_chars:
        raise BadInput(
            f"the prompt has {len(known.prompt):,} characters; {model.name!r} takes {model.max_prompt_chars:,}"
        )
    characters = [character_of(resources, one) for one in known.character_ids]
    sent_references = chosen_references(
        known.settings, [row for one in characters for row in one.references], model=model
    )
    lane = next((one for one in resources.lanes.values() if one.provider == known.provider), None)
    if lane is not None:
        try:
            lane.check(draft(model.name, known.prompt, known.settings, references=len(sent_references)))
        except RequestRefused as failure:
            raise BadInput(str(failure)) from failure
    with resources.database.transaction() as connection:
        most = closed_loop.policy_of(connection, known.generation_id).max_image_cost
    if most is None and all(one.estimate for one in model.prices):
        most = resources.estimates.get(known.provider)
    found = price(
        model, known.settings, on=today, max_image_cost=most, references=pixels_of(sent_references), prompt=known.prompt
    )
    return Ready(
        prompt=known.prompt,
        provider=known.provider,
        model=model.name,
        settings=known.settings,
        hold_usd=found.at_most_usd,
        price_usd=found.usd,
    )
