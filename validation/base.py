"""The contract of the scorer. Free of torch, because steps and I/O workers import it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from domain.verdict import Origin, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInput:
    """A picture in the model's input size, before normalisation; a long one in several crops (`validation.crops`).

    Args:
        pixels: crops x size x size x 3 bytes, RGB, row by row, uint8; the central crop first.
        size: edge in pixels, the model's own input size.
        preprocessing: digest of the preprocessing that made it.
        source: digest of the original file, the cache key of the embedding; None caches nothing.
        embedding: of this picture by this model, where whoever asks has found it.
    """

    pixels: bytes
    size: int
    preprocessing: str
    source: str | None = None
    embedding: "Embedding | None" = None


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
    """The result of a forward pass for one picture; scores are computed from it without the model.

    Args:
        core: the projected image vector with unit length, little-endian float32; of the central crop.
        style: channel statistics of a middle block (`validation.similarity`), little-endian float32; likewise.
        further: core and style of each further crop of a long picture, one behind the other.
    """

    core: bytes
    style: bytes
    further: bytes = b""


class EmbeddingCache(Protocol):
    """A persistent, thread-safe cache, so that no picture is embedded twice.

    `model` is the fingerprint of weights, preprocessing and precision; embeddings of different fingerprints never mix.
    """

    def get_many(self, sources: Sequence[str], *, model: str) -> Mapping[str, Embedding]:
        """The cached embeddings by digest of the original file; the others are absent."""
        ...

    def put_many(self, embeddings: Mapping[str, Embedding], *, model: str) -> None:
        """Store `embeddings` by digest of the original file; existing ones stay."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """All variants of one comparison, so that a later threshold can use another one.

    Raw values are plain cosines. Corrected ones are cosines after subtracting the fixed centre of the model (style: and
    scaling each channel to the same spread), so that unrelated pictures lie near 0.

    Args:
        nearest: index of the reference with the highest raw core cosine.
        crop: which crop of the picture was compared, the one with the highest raw core cosine; counted from 1 at the
            left or top.
        crops: how many there are; 1 for all but long pictures.
    """

    core_raw: float
    core_corrected: float
    style_raw: float
    style_corrected: float
    nearest: int
    crop: int = 1
    crops: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Scores of one picture and their origin; `detail` and `embedding` where the scorer provides them."""

    scores: Scores
    origin: Origin
    detail: Detail | None = None
    embedding: Embedding | None = None


class Scorer(Protocol):
    """Scores pictures against references; thread-safe, and batches concurrent calls."""

    @property
    def preprocessing(self) -> str:
        """The preprocessing digest that a `ModelInput` must have."""
        ...

    @property
    def fingerprint(self) -> str:
        """The digest under which its embeddings are comparable."""
        ...

    def score(
        self,
        pictures: Sequence[ModelInput],
        references: Sequence[Reference],
        *,
        aggregation: Aggregation = Aggregation.MAX,
    ) -> list[Scored]:
        """Scores of each picture against all references together, in order.

        Raises:
            UnfitPicture: one of `pictures` cannot be scored.
            ScorerError: the model or the device failed.
        """
        ...

    def embed_picture(self, content: bytes) -> Embedding:
        """The embedding of a picture file.

        Raises:
            NotAPicture: it is none.
            UnfitPicture, ScorerError: as `score`.
        """
        ...

    def embed_text(self, text: str) -> bytes | None:
        """The vector of a text in the space of `Embedding.core`; longer texts than the model's context are cut.

        None where the model has no tokenizer.

        Raises:
            ScorerError: the device failed.
        """
        ...
