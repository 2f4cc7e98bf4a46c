"""The words that a model is asked about a picture, attribute by attribute: data that goes with the weights.

Weights in a folder may bring a `vocabulary.toml` of their own; for all others the one of this folder holds. Nothing is
asked that its vocabulary does not name, and an attribute without words stays unknown.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from domain.errors import ModelUnloadable
from domain.garments import Attribute
from validation.preprocessing import find_file

FILE: Final = "vocabulary.toml"
_OURS: Final = Path(__file__).with_name(FILE)


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    words: Annotated[list[str], Field(min_length=2)]
    templates: list[str] | None = None
    nothing: str | None = None

    @model_validator(mode="after")
    def _nothing_is_a_word(self) -> Self:
        if self.nothing is not None and self.nothing not in self.words:
            raise ValueError(f"{self.nothing!r}, which stands for nothing, is none of the words")
        return self


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    templates: Annotated[list[str], Field(min_length=1)]
    warmth: float = Field(gt=0)
    calibrated: bool
    source: str = Field(min_length=1)
    attributes: dict[Attribute, _Words]
    details: dict[str, _Words] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One thing that is asked of a picture.

    Args:
        sentences: by word, the sentences whose mean stands for it.
        nothing: the word that says that there is none, such as `no hat`; where it is the nearest, nothing is said.
    """

    sentences: Mapping[str, Sequence[str]]
    nothing: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What is asked of a model.

    Args:
        attributes: what has a field in the specification.
        details: by name, what has none and goes among its details, such as a hat.
        warmth: divides the cosines before the softmax.
        calibrated: whether that was fitted, so that a confidence is as right as it says.
        source: where the words come from.
    """

    attributes: Mapping[Attribute, Asked]
    warmth: float
    calibrated: bool
    source: str
    details: Mapping[str, Asked] = field(default_factory=dict)


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
        attributes={attribute: _asked(words, file.templates) for attribute, words in file.attributes.items()},
        details={name: _asked(words, file.templates) for name, words in file.details.items()},
        warmth=file.warmth,
        calibrated=file.calibrated,
        source=file.source,
    )


def _asked(words: _Words, templates: Sequence[str]) -> Asked:
    said = words.templates or templates
    return Asked(
        sentences={word: [template.format(word) for template in said] for word in words.words}, nothing=words.nothing
    )
