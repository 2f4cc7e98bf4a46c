"""How well a character's references agree, as `character add` and `character show` tell it."""

from typing import Any

from cli.installation import Opened
from cli.terminal import Terminal
from domain.errors import ModelUnloadable, ScorerError
from pipeline.characters.definitions import CharacterRow
from pipeline.characters.reference_agreement import ReferenceAgreement, has_weights, known_agreement, measure_agreement
from pipeline.process.embedding_cache import KeptEmbeddings
from runtime.scoring import open_scoring


def measured_agreement(site: Opened, character: CharacterRow, terminal: Terminal) -> ReferenceAgreement | None:
    """The spread, with the model where it is on this machine; where it is not, that is said, and None."""
    if len(character.references) < 2:
        return None
    kept = KeptEmbeddings(site.resources.database)
    name = site.settings.clip_model
    try:
        if not has_weights(name):
            terminal.note(f"the references were not compared: the weights of {name!r} are not on this machine")
            return None
        with open_scoring(site.settings, kept=kept, say=terminal.note) as scoring:
            return measure_agreement(site.resources, scoring, character)
    except (ModelUnloadable, ScorerError) as failure:
        terminal.note(f"the references were not compared: {failure}")
        return None


def stored_agreement(site: Opened, character: CharacterRow) -> ReferenceAgreement | None:
    """The spread as far as it is known without the model."""
    kept = KeptEmbeddings(site.resources.database)
    with open_scoring(site.settings, kept=kept) as scoring:
        return known_agreement(site.resources, scoring, character)


def spread_document(spread: ReferenceAgreement | None) -> dict[str, Any] | None:
    """The spread in the document of `--json`; None where it is not known."""
    if spread is None:
        return None
    return {
        "model": spread.model,
        "lowest": spread.lowest,
        "mean": spread.mean,
        "means": spread.means,
        "outliers": spread.outliers,
        "matrix": spread.matrix,
    }


def spread_lines(spread: ReferenceAgreement | None) -> list[str]:
    """The spread for people; outliers are named by their place, counted from 1."""
    if spread is None:
        return []
    lines = [f"references agree with each other: cosine {spread.mean:.3f} on average, {spread.lowest:.3f} at least"]
    lines += [
        f"reference {at + 1} is far from the others (cosine {spread.means[at]:.3f} on average): is it this character?"
        for at in spread.outliers
    ]
    return lines
