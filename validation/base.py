"""The contract between the steps and the scorer. No torch here: steps and I/O workers import this module."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.verdict import Origin, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """A picture as the model wants it, before normalisation.

    Args:
        pixels: size x size x 3 bytes, RGB, row by row, uint8.
        size: edge in pixels, the model's own input size.
        preprocessing: digest of the preprocessing that made it.
    """

    pixels: bytes
    size: int
    preprocessing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference picture of a character: original file bytes and their digest."""

    sha256: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores of one picture, with what made them."""

    scores: Scores
    origin: Origin


class Scorer(Protocol):
    """Scores pictures against references; thread-safe, and batches what its callers hand in at the same time."""

    @property
    def preprocessing(self) -> str:
        """Digest that a `ModelInput` must carry to be accepted."""
        ...

    def score(self, pictures: Sequence[ModelInput], references: Sequence[Reference]) -> list[Scored]:
        """Scores of each picture against the references taken together, in the order given.

        Raises:
            UnfitPicture: one of `pictures` cannot be scored.
            ScorerError: the model or the device failed.
        """
        ...
