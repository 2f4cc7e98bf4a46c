"""The words that a model is asked about a picture, attribute by attribute: data that goes with the weights.

Weights in a folder may bring a `vocabulary.toml` of their own; for all others the one of this folder holds. Nothing is
asked that its vocabulary does not name, and an attribute without words stays unknown.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from domain.errors import ModelUnloadable
from domain.garments import Attribute
from validation.preprocessing import find_file

FILE: Final = "vocabulary.toml"
_OURS: Final = Path(__file__).with_name(FILE)


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    words: Annotated[list[str], Field(min_length=2)]
    templates: list[str] | None = None


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    templates: Annotated[list[str], Field(min_length=1)]
    warmth: float = Field(gt=0)
    calibrated: bool
    source: str = Field(min_length=1)
    attributes: dict[Attribute, _Words]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What is asked of a model.

    Args:
        sentences: by attribute and word, the sentences whose mean stands for the word.
        warmth: divides the cosines before the softmax.
        calibrated: whether that was fitted, so that a confidence is as right as it says.
        source: where the words come from.
    """

    sentences: Mapping[Attribute, Mapping[str, Sequence[str]]]
    warmth: float
    calibrated: bool
    source: str


@cache
def vocabulary_of(model: str) -> Vocabulary:
    """The vocabulary of these weights.

    Raises:
        ModelUnloadable: their own cannot be read.
    """
    own = find_file(model, FILE)
    return _read(own or _OURS)


def _read(path: Path) -> Vocabulary:
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        file = TypeAdapter(_File).validate_python(content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ModelUnloadable(f"the vocabulary {str(path)!r} cannot be used: {' '.join(str(error).split())}") from error
    return Vocabulary(
        sentences={
            attribute: {
                word: [template.format(word) for template in asked.templates or file.templates] for word in asked.words
            }
            for attribute, asked in file.attributes.items()
        },
        warmth=file.warmth,
        calibrated=file.calibrated,
        source=file.source,
    )
