"""The stage that lends a persona's words to the prompt, and says which words with which weight."""

from typing import Any, Final

from domain.errors import BadInput
from domain.preparation import OFF, Added, Known, Place, StageOutcome
from learning.persona import AUTO, Persona, influence
from pipeline.learning import personas
from pipeline.resources import Resources

_STRENGTH: Final = 0.5
_SHOWN: Final = 5


def place(known: Known) -> Place | None:
    """Nowhere where no persona is wished for; words are compared where a model is loaded."""
    wish = known.wishes.get("persona")
    if wish is None:
        return None
    return Place.GPU if wish == AUTO else Place.ANY


def run(resources: Resources, known: Known) -> Added:
    """Add words to the prompt and to all candidates.

    Raises:
        BadInput, UnknownThing: there is no such persona, or its strength is no number from 0 to 1.
    """
    if not known.prompt:
        return OFF
    wish = str(known.wishes["persona"])
    scores: dict[str, float] = {}
    if wish == AUTO:
        found = personas.nearest(resources, known.prompt, team=known.team)
        if not found:
            return Added(outcome=StageOutcome.OFF, detail={"why": "there is no persona with words, or no text model"})
        persona = found[0].persona
        scores = {one.persona.name: round(one.score, 4) for one in found[:_SHOWN]}
    else:
        persona = personas.find(resources, wish, team=known.team)
    return _lent(persona, known, scores=scores)


def with_words(resources: Resources, known: Known, prompt: str) -> str:
    """Another prompt with the words of a persona that is named, for a stage that writes it anew."""
    wish = known.wishes.get("persona")
    if wish is None or wish == AUTO:
        return prompt
    return influence(personas.find(resources, str(wish), team=known.team), prompt, strength=_strength(known)).prompt


def _lent(persona: Persona, known: Known, *, scores: dict[str, float]) -> Added:
    assert known.prompt is not None
    strength = _strength(known)
    found = influence(persona, known.prompt, strength=strength)
    detail: dict[str, Any] = {
        "persona": persona.name,
        "digest": persona.digest,
        "strength": strength,
        "words": [list(one) for one in found.added],
        "avoided": [list(one) for one in found.avoided],
    }
    if scores:
        detail["scores"] = scores
    candidates = [influence(persona, one, strength=strength).prompt for one in known.candidates]
    return Added(
        prompt=found.prompt,
        candidates=candidates or None,
        inputs={"prompt": known.prompt, "persona": known.wishes["persona"]},
        detail=detail,
    )


def _strength(known: Known) -> float:
    try:
        return float(known.wishes.get("persona_strength", _STRENGTH))
    except (TypeError, ValueError):
        raise BadInput("the strength of a persona is a number from 0 to 1") from None
