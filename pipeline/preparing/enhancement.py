"""The second stage: prompts to choose from, in the model's own dialect. The person's words are kept as they were."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from domain.errors import BadInput
from domain.garments import Garment, read_spec
from domain.preparation import Added, Known, Place, StageOutcome
from pipeline.preparing import composer
from pipeline.preparing.composer import Composed, Wanted
from pipeline.resources import Resources
from providers.catalogue import Model, load
from providers.midjourney.spelling import taken_apart

OFF_WORD: Final = "off"
LOCAL: Final = "local"
LLM: Final = "llm"


def place(known: Known) -> Place | None:
    """Where it runs: nowhere where words go as they are and nothing goes beside them."""
    if as_given(known) and not known.wishes.get("block") and not known.negative:
        return None
    return Place.IO if by_llm(known) else Place.ANY


def as_given(known: Known) -> bool:
    """Whether it is off and somebody has written a prompt; the block and the negative still belong to that."""
    return _wish(known) == OFF_WORD and bool(known.original)


def by_llm(known: Known) -> bool:
    return _wish(known) == LLM


def _wish(known: Known) -> str:
    return str(known.wishes.get("enhance", LOCAL if known.spec is not None else OFF_WORD))


def run(_: Resources, known: Known) -> Added:
    """Prompts by the composer, or the words as they are; the first of them is what would be sent.

    Raises:
        BadInput: there is nothing to compose of.
    """
    model = load().get(known.model)
    found = composed_for(known, model)
    return added(
        known,
        found,
        detail={"enhancer": OFF_WORD if as_given(known) else LOCAL, "version": composer.VERSION, "model": model.name},
    )


def added(known: Known, found: Composed, *, detail: dict[str, Any]) -> Added:
    """What a set of prompts adds to what is known."""
    return Added(
        prompt=found.prompts[0],
        candidates=list(found.prompts),
        settings={"negative_prompt": found.negative} if known.negative or found.negative else None,
        inputs={"prompt": known.original, "spec": known.spec is not None, "negative": known.negative},
        detail={**detail, "notes": list(found.notes)},
    )


def costing(stage: Added, cost_usd: Decimal, *, outcome: StageOutcome = StageOutcome.DONE) -> Added:
    return replace(stage, cost_usd=cost_usd, outcome=outcome)


def composed_for(known: Known, model: Model) -> Composed:
    """Prompts for a model: also asked for anew where a later stage chooses another one, which has another dialect."""
    wanted = wanted_of(known)
    if not wanted.words and not wanted.garments:
        raise BadInput(
            "nobody could say what the picture shows, and there are no words; give --prompt, or another picture"
        )
    if as_given(known):
        return composer.as_given(wanted, model)
    return composer.compose(wanted, model, seed=seed_of(known), candidates=candidates_of(known))


def wanted_of(known: Known) -> Wanted:
    """What prompts are made of, with Midjourney's flags told from the words."""
    written = taken_apart(known.original or "")
    return Wanted(
        words=written.words or None,
        garments=garments_of(known),
        negative=known.negative,
        block=str(known.wishes.get("block") or ""),
        flags=written.behind,
    )


def garments_of(known: Known) -> Sequence[Garment]:
    return read_spec(known.spec) if known.spec is not None else ()


def seed_of(known: Known) -> int:
    """The row's own seed, or its place in the batch."""
    seed = known.settings.get("seed")
    return seed if isinstance(seed, int) else known.position


def candidates_of(known: Known) -> int:
    return int(known.wishes.get("candidates", 4))
