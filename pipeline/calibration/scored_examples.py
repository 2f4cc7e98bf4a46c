"""Score calibration examples and group dependent ones; those that cannot be scored are left out, with reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domain.errors import LikenessError
from domain.verdict import Aspect, Scores
from pipeline.calibration.examples import Example
from validation.base import Aggregation, Embedding
from validation.embedder import Embedded
from validation.groups import linked
from validation.similarity import compare, cosines, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The scores of a set.

    Args:
        groups: group of each score; equal where examples are not independent.
        crops: in how many crops each was seen; more than one for long pictures.
    """

    scores: Sequence[Scores]
    groups: Sequence[int]
    crops: Sequence[int]


def scored(
    examples: Sequence[Example],
    embedded: Embedded,
    references: Mapping[str, Embedding],
    *,
    aggregation: Aggregation,
    alike: float,
    copies: bool,
    left_out: list[str],
) -> Scored:
    """Score each example against the references; a reference is scored against the others.

    Args:
        references: by digest, in the character's order.
        alike: cosine from which two pictures count as near duplicates.
        copies: whether an example may duplicate a reference; a positive would be compared with itself.
        left_out: receives a sentence for each example without a score.
    """
    found: list[Scores] = []
    kept: list[Example] = []
    embeddings: list[Embedding] = []
    crops: list[int] = []
    for one in examples:
        outcome = embedded.outcomes[one.source.sha256]
        if isinstance(outcome, LikenessError):
            left_out.append(f"{one.named}: {outcome}")
            continue
        others = {digest: reference for digest, reference in references.items() if digest != one.source.sha256}
        why = _unfit(outcome, others, order=list(references), alike=None if copies else alike)
        if why is not None:
            left_out.append(f"{one.named}: {why}")
            continue
        [(scores, detail)] = compare(
            [outcome], list(others.values()), frame=embedded.model.frame, aggregation=aggregation
        )
        found.append(scores)
        kept.append(one)
        embeddings.append(outcome)
        crops.append(detail.crops)
    return Scored(scores=found, groups=_groups(kept, embeddings, alike=alike), crops=crops)


def values_of(scores: Sequence[Scores], aspect: Aspect) -> list[float]:
    """One kind of score of each example."""
    return [one.core if aspect is Aspect.CORE else one.style for one in scores]


def _unfit(
    example: Embedding, others: Mapping[str, Embedding], *, order: Sequence[str], alike: float | None
) -> str | None:
    if not others:
        return "it is the only reference, and cannot be held against itself"
    if alike is None:
        return None
    cosine = cosines(unpack([example])[0], unpack(list(others.values()))[0])[0]  # (R,)
    nearest = int(np.argmax(cosine))
    if cosine[nearest] < alike:
        return None
    number = order.index(list(others)[nearest]) + 1
    return f"it is all but reference {number} (cosine {cosine[nearest]:.4f}), and would be held against itself"


def _groups(examples: Sequence[Example], embeddings: Sequence[Embedding], *, alike: float) -> list[int]:
    if not examples:
        return []
    first: dict[object, int] = {}
    labels = [first.setdefault(one.generation_id or number, number) for number, one in enumerate(examples)]
    cores, _ = unpack(embeddings)  # (N, D)
    return linked(cores, labels, least=alike)
