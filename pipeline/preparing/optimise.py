"""The stage that ranks candidate prompts by the preference head, where there is one that is worth something.

The head was fitted to pictures. Prompts are scored in the same space by their texts: only differences count, in which
the distance between texts and pictures cancels out; how well that transfers is not known, and its reward is recorded.
"""

from typing import Final

from db.records import embeddings
from domain.preparation import OFF, Added, Known, Place, StageOutcome
from pipeline.learning import preferences
from pipeline.preparing.elsewhere import Elsewhere
from pipeline.resources import Resources
from providers.midjourney.prompt import words_before_flags

OFF_WORD: Final = "off"


def place(known: Known) -> Place | None:
    """Nowhere where it is off, or there is nothing to choose from."""
    chosen = known.wishes.get("optimise") != OFF_WORD and len(known.candidates) > 1
    return Place.ANY if chosen else None


def run(resources: Resources, known: Known) -> Added:
    """Put the candidates in the order of their rewards; the first is sent.

    Raises:
        Elsewhere: there is a head, and no model here that reads the prompts.
    """
    with resources.database.transaction() as connection:
        frames = embeddings.frames(connection)
    head = preferences.usable_head(resources, frames[0].fingerprint, batch_id=known.batch_id) if frames else None
    if head is None:
        return Added(outcome=StageOutcome.OFF, detail={"why": "not enough data"})
    if resources.scorer is None:
        raise Elsewhere(Place.GPU)
    told = [resources.scorer.embed_text(words_before_flags(one)) for one in known.candidates]
    vectors = [one for one in told if one is not None]
    if len(vectors) < len(told) or len(vectors[0]) != 4 * len(head.weights):
        return OFF  # a model without texts, or another one than the head was fitted to
    ranked = preferences.ranked(head, known.candidates, vectors, user_id=known.user_id)
    return Added(
        prompt=ranked[0][0],
        candidates=[prompt for prompt, _ in ranked],
        inputs={"prompt": known.prompt, "candidates": len(ranked)},
        detail={"head": head.digest, "rewards": [round(reward, 4) for _, reward in ranked]},
    )
