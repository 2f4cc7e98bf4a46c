"""The analyser that needs no key: CLIP zero-shot over a vocabulary, and colours measured from the pixels.

For every attribute of the vocabulary, each word's sentences are embedded and averaged, and the word nearest to the
picture is taken; its confidence is its share of the softmax over the attribute's words. Colours ask no model.

Source of zero-shot by prompt templates: Radford et al. 2021, section 3.1.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.errors import ModelUnloadable
from domain.garments import Attribute, Garment
from pipeline.preparing.vocabulary import Vocabulary, vocabulary_of
from validation.base import Scorer
from validation.colours import Colour, colours_of
from validation.pixels import decode

_STORED = "<f4"
#: A word is given up as unknown where it has less than this over an even share of its attribute.
_LEAST_OVER_CHANCE = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """What an analyser found in a picture.

    Args:
        detail: for the record: versions, the runners-up, what was measured.
    """

    garments: Sequence[Garment]
    detail: dict[str, Any]


def analyse(content: bytes, *, scorer: Scorer, model: str) -> Analysed:
    """The specification of a picture by the model that is loaded.

    Raises:
        NotAPicture: it is none.
        ModelUnloadable: the model reads no text, or its vocabulary cannot be used.
        ScorerError: the device failed.
    """
    vocabulary = vocabulary_of(model)
    picture = np.frombuffer(scorer.embed_picture(content).core, dtype=_STORED).astype(np.float64)
    values: dict[Attribute, str] = {}
    confidence: dict[Attribute, float] = {}
    runners: dict[str, Any] = {}
    for attribute in vocabulary.sentences:
        shares = shares_of(attribute, picture, scorer=scorer, vocabulary=vocabulary)
        best = sorted(shares, key=lambda word: -shares[word])
        runners[attribute.value] = {word: round(shares[word], 3) for word in best[:3]}
        if shares[best[0]] * len(shares) >= _LEAST_OVER_CHANCE:
            values[attribute], confidence[attribute] = best[0], shares[best[0]]
    colours = colours_of(decode(content).image)
    _colour(colours, values, confidence)
    return Analysed(
        garments=[Garment(values=values, confidence=confidence)],
        detail={
            "model": model,
            "calibrated": vocabulary.calibrated,
            "vocabulary": vocabulary.source,
            "runners_up": runners,
            "colours": [
                {"name": one.name, "hex": one.hex, "share": round(one.share, 3), "off": round(one.name_distance, 1)}
                for one in colours
            ],
        },
    )


def shares_of(
    attribute: Attribute, picture: npt.NDArray[np.float64], *, scorer: Scorer, vocabulary: Vocabulary
) -> dict[str, float]:
    """How the attribute's words share the picture among them; together 1.

    Raises:
        ModelUnloadable: the model reads no text.
    """
    asked = vocabulary.sentences[attribute]
    words = np.stack([_mean([_told(sentence, scorer) for sentence in sentences]) for sentences in asked.values()])
    logits = words @ (picture / np.linalg.norm(picture)) / vocabulary.warmth
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    return {word: float(share) for word, share in zip(asked, shares, strict=True)}


def _told(sentence: str, scorer: Scorer) -> npt.NDArray[np.float64]:
    told = scorer.embed_text(sentence)
    if told is None:
        raise ModelUnloadable("the model of this worker reads no text, so that it cannot say what a picture shows")
    return np.frombuffer(told, dtype=_STORED).astype(np.float64)


def _mean(vectors: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    mean: npt.NDArray[np.float64] = np.mean(vectors, axis=0)
    return mean / np.linalg.norm(mean)


def _colour(colours: Sequence[Colour], values: dict[Attribute, str], confidence: dict[Attribute, float]) -> None:
    """The first colour, and the next of another name; how sure is how much of the middle they fill."""
    first = colours[0]
    values[Attribute.COLOUR_PRIMARY], confidence[Attribute.COLOUR_PRIMARY] = first.name, first.share
    for one in colours[1:]:
        if one.name != first.name:
            values[Attribute.COLOUR_SECONDARY], confidence[Attribute.COLOUR_SECONDARY] = one.name, one.share
            break
