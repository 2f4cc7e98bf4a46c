"""Output of reference agreement for `character add` and `character show`."""

from typing import Any

from cli.installation import Opened
from cli.terminal import Terminal
from domain.errors import ModelUnloadable, ScorerError
from pipeline.characters.definitions import CharacterRow
from pipeline.characters.reference_agreement import ReferenceAgreement, has_weights, known_agreement, measure_agreement
from pipeline.process.embedding_cache import KeptEmbeddings
from runtime.scoring import open_scoring


def measured_agreement(site: Opened, character: CharacterRow, terminal: Terminal) -> ReferenceAgreement | None:
    """Measure the agreement if the model is on this machine; else note that, and return None."""
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
    """The agreement from cached embeddings, without loading the model."""
    kept = KeptEmbeddings(site.resources.database)
    with open_scoring(site.settings, kept=kept) as scoring:
        return known_agreement(site.resources, scoring, character)


def agreement_document(agreement: ReferenceAgreement | None) -> dict[str, Any] | None:
    """The agreement for `--json`; None where unknown."""
    if agreement is None:
        return None
    return {
        "model": agreement.model,
        "lowest": agreement.lowest,
        "mean": agreement.mean,
        "means": agreement.means,
        "outliers": agreement.outliers,
        "matrix": agreement.matrix,
    }


def agreement_lines(found: ReferenceAgreement | None) -> list[str]:
    """The agreement as text; outliers are numbered from 1."""
    if found is None:
        return []
    lines = [f"references agree with each other: cosine {found.mean:.3f} on average, {found.lowest:.3f} at least"]
    lines += [
        f"reference {at + 1} is far from the others (cosine {found.means[at]:.3f} on average): is it this character?"
        for at in found.outliers
    ]
    return lines
