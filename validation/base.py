"""The contract between the steps and the scorer. No torch here: steps and I/O workers import this module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.verdict import Origin, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """A picture as the model wants it, before normalisation.

    Args:
        pixels: size x size x 3 bytes, RGB, row by row, uint8.
        size: edge in pixels, the model's own input size.
        preprocessing: digest of the preprocessing that made it.
        source: digest of the original file, the key under which the embedding is kept; None keeps nothing.
    """

    pixels: bytes
    size: int
    preprocessing: str
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference picture of a character: original file bytes and their digest."""

    sha256: str
    content: bytes


class Aggregation(StrEnum):
    """How the similarities to several references become one score."""

    MAX = "max"  # the nearest reference decides
    MEAN = "mean"  # all references count alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What one forward pass says about one picture; all scores are computed from it, without the model.

    Args:
        core: the projected image vector at unit length, little-endian float32.
        style: channel statistics of a middle block (`validation.similarity`), little-endian float32.
    """

    core: bytes
    style: bytes


class EmbeddingCache(Protocol):
    """Keeps embeddings beyond this process, so that no picture is embedded twice; thread-safe.

    `model` is the fingerprint of weights, preprocessing and arithmetic: embeddings of two fingerprints never mix.
    """

    def get_many(self, sources: Sequence[str], *, model: str) -> Mapping[str, Embedding]:
        """The embeddings that are known, by digest of the original file; the others are simply absent."""
        ...

    def put_many(self, embeddings: Mapping[str, Embedding], *, model: str) -> None:
        """Keep `embeddings`, by digest of the original file; one that is there already stays."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """Every reading of one comparison, so that a later threshold can be set on another one.

    Raw values are plain cosines. Corrected ones are cosines after the fixed centre of the model is taken off
    (style: and each channel brought to the same spread), so that unrelated pictures lie near 0.

    Args:
        nearest: index of the reference with the highest raw core cosine.
    """

    core_raw: float
    core_corrected: float
    style_raw: float
    style_corrected: float
    nearest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores of one picture, with what made them; `detail` and `embedding` where the scorer has more to tell."""

    scores: Scores
    origin: Origin
    detail: Detail | None = None
    embedding: Embedding | None = None


class Scorer(Protocol):
    """Scores pictures against references; thread-safe, and batches what its callers hand in at the same time."""

    @property
    def preprocessing(self) -> str:
        """Digest that a `ModelInput` must carry to be accepted."""
        ...

    def score(
        self,
        pictures: Sequence[ModelInput],
        references: Sequence[Reference],
        *,
        aggregation: Aggregation = Aggregation.MAX,
    ) -> list[Scored]:
        """Scores of each picture against the references taken together, in the order given.

        Raises:
            UnfitPicture: one of `pictures` cannot be scored.
            ScorerError: the model or the device failed.
        """
        ...

    def embed_text(self, text: str) -> bytes | None:
        """The vector of a text in the space of `Embedding.core`, cut where the model's context ends.

        None where the model cannot read: its folder has no tokenizer.

        Raises:
            ScorerError: the device failed.
        """
        ...
