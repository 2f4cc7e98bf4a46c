"""The analyser that needs no key: CLIP zero-shot over a vocabulary, and colours measured from the pixels.

For everything that the vocabulary asks, each word's sentences are embedded and averaged, and the word nearest to the
picture is taken; its confidence is its share of the softmax over the words beside it. Colours ask no model.

Source of zero-shot by prompt templates: Radford et al. 2021, section 3.1.4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.errors import ModelUnloadable
from domain.garments import Attribute, Garment
from pipeline.preparing.vocabulary import Asked, vocabulary_of
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
    found = {
        name: shares_of(asked, picture, scorer=scorer, warmth=vocabulary.warmth)
        for name, asked in [*vocabulary.attributes.items(), *vocabulary.details.items()]
    }
    values: dict[Attribute, str] = {}
    confidence: dict[Attribute, float] = {}
    for attribute, asked in vocabulary.attributes.items():
        if (word := _sure(found[attribute], asked)) is not None:
            values[attribute], confidence[attribute] = word, found[attribute][word]
    details = [_sure(found[name], asked) for name, asked in vocabulary.details.items()]
    colours = colours_of(decode(content).image)
    _colour(colours, values, confidence)
    return Analysed(
        garments=[Garment(values=values, details=[one for one in details if one], confidence=confidence)],
        detail={
            "model": model,
            "calibrated": vocabulary.calibrated,
            "vocabulary": vocabulary.source,
            "runners_up": {str(name): _runners_up(shares) for name, shares in found.items()},
            "colours": [
                {"name": one.name, "hex": one.hex, "share": round(one.share, 3), "off": round(one.name_distance, 1)}
                for one in colours
            ],
        },
    )


def shares_of(asked: Asked, picture: npt.NDArray[np.float64], *, scorer: Scorer, warmth: float) -> dict[str, float]:
    """How the words share the picture among them; together 1.

    Raises:
        ModelUnloadable: the model reads no text.
    """
    words = [_mean([_told(sentence, scorer) for sentence in sentences]) for sentences in asked.sentences.values()]
    logits = np.stack(words) @ (picture / np.linalg.norm(picture)) / warmth
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    return {word: float(share) for word, share in zip(asked.sentences, shares, strict=True)}


def _sure(shares: Mapping[str, float], asked: Asked) -> str | None:
    """The first word; None where it says nothing or is little likelier than by chance."""
    best = max(shares, key=shares.__getitem__)
    return best if best != asked.nothing and shares[best] * len(shares) >= _LEAST_OVER_CHANCE else None


def _runners_up(shares: Mapping[str, float]) -> dict[str, float]:
    return {word: round(shares[word], 3) for word in sorted(shares, key=lambda word: -shares[word])[:3]}


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
