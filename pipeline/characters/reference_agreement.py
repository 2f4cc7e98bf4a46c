"""Measure how well a character's references agree with each other, to find one that does not belong."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from db.records.characters import CharacterRow
from pipeline.characters import references
from pipeline.characters.check_files import reference_embeddings
from pipeline.resources import Resources
from validation.embedder import Embedded, Scoring
from validation.similarity import cosines, unpack
from validation.weights import weight_files

__all__ = ["ReferenceAgreement", "has_weights", "known_agreement", "measure_agreement"]

#: A reference is an outlier if its mean cosine with the others is this far below the median. On real photos, pictures
#: of one subject lie within 0.1 of each other, and 0.1 separates accepted from rejected methods.
_FAR = 0.1
#: It must also be this many times the usual distance from the median, for references that differ a lot anyway.
_UNUSUAL = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceAgreement:
    """Cosines between the references.

    Args:
        model: the model that embedded them.
        matrix: pairwise cosines, in their order.
    """

    model: str
    matrix: Sequence[Sequence[float]]

    @property
    def means(self) -> list[float]:
        """Mean cosine of each reference with the others; needs at least two references."""
        return [fmean(value for at, value in enumerate(row) if at != own) for own, row in enumerate(self.matrix)]

    @property
    def lowest(self) -> float:
        """The lowest pairwise cosine."""
        return min(min(row) for row in self.matrix)

    @property
    def mean(self) -> float:
        return fmean(self.means)

    @property
    def outliers(self) -> list[int]:
        """Positions of references that differ from the others far more than usual; empty for fewer than three."""
        if len(self.matrix) < 3:
            return []
        means = self.means
        middle = median(means)
        usual = median(abs(one - middle) for one in means)
        return [at for at, one in enumerate(means) if middle - one > max(_FAR, _UNUSUAL * usual)]


def has_weights(model: str) -> bool:
    """Whether the model's weights are on this machine; this comparison is not worth a download.

    Raises:
        ModelUnloadable: the model is a path to nothing.
    """
    return bool(weight_files(model))


def measure_agreement(resources: Resources, scoring: Scoring, character: CharacterRow) -> ReferenceAgreement | None:
    """Measure the agreement, embedding references as needed; None with a single reference.

    Raises:
        ScorerError: the model cannot be loaded, or a reference cannot be used.
        ServiceMissing: a reference is not in the store of this machine.
    """
    if len(character.references) < 2:
        return None
    return _spread(resources, character, scoring.embedded(references.sources_of(resources, character)))


def known_agreement(resources: Resources, scoring: Scoring, character: CharacterRow) -> ReferenceAgreement | None:
    """The agreement from cached embeddings; None where one is missing."""
    embedded = scoring.known(references.sources_of(resources, character))
    if len(character.references) < 2 or embedded is None:
        return None
    return _spread(resources, character, embedded)


def _spread(resources: Resources, character: CharacterRow, embedded: Embedded) -> ReferenceAgreement:
    found = reference_embeddings(embedded, references.sources_of(resources, character))
    cores, _ = unpack(found)  # (R, D)
    return ReferenceAgreement(model=embedded.model.name, matrix=np.round(cosines(cores, cores), 6).tolist())
