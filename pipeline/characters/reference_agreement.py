"""How well a character's references agree with each other, before anything is held against them."""

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

#: A reference is an outlier where its mean cosine with the others lies this far below the middle of all: on real
#: photos, one subject's pictures lie within 0.1 of each other, and 0.1 separates accepted from rejected methods.
_FAR = 0.1
#: And at least so many times the usual distance from the middle, in references that lie far apart anyway.
_UNUSUAL = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceAgreement:
    """Cosines between the references.

    Args:
        model: who embedded them.
        matrix: cosine of each with each, in their order.
    """

    model: str
    matrix: Sequence[Sequence[float]]

    @property
    def means(self) -> list[float]:
        """Mean cosine of each reference with the others; needs at least two."""
        return [fmean(value for at, value in enumerate(row) if at != own) for own, row in enumerate(self.matrix)]

    @property
    def lowest(self) -> float:
        """The cosine of the two references that are least alike."""
        return min(min(row) for row in self.matrix)

    @property
    def mean(self) -> float:
        return fmean(self.means)

    @property
    def outliers(self) -> list[int]:
        """Positions of references that are far less like the others than the others are; of fewer than three, none."""
        if len(self.matrix) < 3:
            return []
        means = self.means
        middle = median(means)
        usual = median(abs(one - middle) for one in means)
        return [at for at, one in enumerate(means) if middle - one > max(_FAR, _UNUSUAL * usual)]


def has_weights(model: str) -> bool:
    """Whether the model's weights are on this machine: looking at references is not worth a download.

    Raises:
        ModelUnloadable: the model is a path to nothing.
    """
    return bool(weight_files(model))


def measure_agreement(resources: Resources, scoring: Scoring, character: CharacterRow) -> ReferenceAgreement | None:
    """The spread, embedding what is not known; None with a single reference.

    Raises:
        ScorerError: the model cannot be had, or a reference cannot be used.
        ServiceMissing: a reference is not in the store of this machine.
    """
    if len(character.references) < 2:
        return None
    return _spread(resources, character, scoring.embedded(references.sources_of(resources, character)))


def known_agreement(resources: Resources, scoring: Scoring, character: CharacterRow) -> ReferenceAgreement | None:
    """The spread from what is kept; None where that does not suffice."""
    embedded = scoring.known(references.sources_of(resources, character))
    if len(character.references) < 2 or embedded is None:
        return None
    return _spread(resources, character, embedded)


def _spread(resources: Resources, character: CharacterRow, embedded: Embedded) -> ReferenceAgreement:
    found = reference_embeddings(embedded, references.sources_of(resources, character))
    cores, _ = unpack(found)  # (R, D)
    return ReferenceAgreement(model=embedded.model.name, matrix=np.round(cosines(cores, cores), 6).tolist())
