"""The stages before a picture is asked for, in their order; each can be switched off.

A stage is a name, a place and a function: it takes what is known so far and returns what it adds. Its record, with
time, cost, inputs and outcome, goes into the generation's `pipeline_data`. The generation itself is recorded by its
attempts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from domain.preparation import OFF, Added, Known, Place
from pipeline.preparing import analysis, enhancement, llm_enhancement, optimise, persona_words
from pipeline.preparing.routing import route
from pipeline.resources import Resources

#: Where a stage runs, by what is known; None where it is switched off or has nothing to do.
Placed = Callable[[Known], Place | None]
#: What a stage does. It may be done again after a death, and raises a `LikenessError` where it cannot be done at all.
Run = Callable[[Resources, Known], Added]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    name: str
    place: Placed
    run: Run


def never(_: Known) -> Place | None:
    """The place of a stage that nobody has switched on."""
    return None


def anywhere(_: Known) -> Place | None:
    """The place of a stage that every prepared generation goes through."""
    return Place.ANY


def nothing(_resources: Resources, _known: Known) -> Added:
    """A stage that adds nothing."""
    return OFF


def _enhance(resources: Resources, known: Known) -> Added:
    run = llm_enhancement.run if enhancement.by_llm(known) else enhancement.run
    return run(resources, known)


STAGES: Final = (
    Stage(name="analysis", place=analysis.place, run=analysis.run),
    Stage(name="analysis_fallback", place=analysis.fallback_place, run=analysis.fall_back),
    Stage(name="enhancement", place=enhancement.place, run=_enhance),
    # What a customer likes: `known.wishes["persona"]`. Adds words, and says which and with which weight.
    Stage(name="persona", place=persona_words.place, run=persona_words.run),
    # Which model: a model that the order names is a frozen arm. Adds provider and model.
    Stage(name="routing", place=anywhere, run=route),
    # Which of the candidates: adds the prompt, and their order.
    Stage(name="optimise", place=optimise.place, run=optimise.run),
)
