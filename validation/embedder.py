"""The contract of an embedder for commands: the identity of its model, and embeddings by digest. Free of torch.

With a `ScoringModel` and stored embeddings, scores are computed without the model (`validation.similarity`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.errors import LikenessError
from domain.ids import sha256
from domain.verdict import Origin
from validation.base import Embedding
from validation.similarity import Frame

#: Increase when the same weights give other numbers, such as after a change of the style statistic.
_RECIPE = 1


def fingerprint_of(*, revision: str, preprocessing: str, dtype: str) -> str:
    """Digest under which embeddings are comparable: weights, preprocessing, precision, style statistic."""
    return sha256("\n".join((revision, preprocessing, dtype, str(_RECIPE))).encode())


def references_digest(references: Sequence[str]) -> str:
    """Digest over the digests of a character's references, in their order."""
    return sha256("\n".join(references).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringModel:
    """The identity of a model, and the frame of its embeddings.

    Args:
        name: name or path as configured.
        revision: digest of the weights.
        preprocessing: digest of the preprocessing that came with the weights.
        dtype: precision of the forward pass.
        frame: of its embeddings.
        arithmetic: for users: the device it was loaded on last, and the measurements of each precision there.
    """

    name: str
    revision: str
    preprocessing: str
    dtype: str
    frame: Frame
    arithmetic: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def fingerprint(self) -> str:
        """Cache key of its embeddings."""
        return fingerprint_of(revision=self.revision, preprocessing=self.preprocessing, dtype=self.dtype)

    def origin(self, references: Sequence[str]) -> Origin:
        """The origin of scores against references with these digests."""
        return Origin(
            model=self.name,
            revision=self.revision,
            preprocessing=self.preprocessing,
            dtype=self.dtype,
            references=references_digest(references),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A picture to embed.

    Args:
        sha256: digest of its file, the cache key of the embedding.
        read: returns the file's bytes; called in a thread, and only when the embedding is not cached.
    """

    sha256: str
    read: Callable[[], bytes]


class Embedder(Protocol):
    """Turns pictures into embeddings, in bulk; for one thread."""

    @property
    def model(self) -> ScoringModel:
        """The model; only embeddings of the same fingerprint may be compared."""
        ...

    def embed(self, pictures: Iterable[Source]) -> Iterator[tuple[str, Embedding | LikenessError]]:
        """Digest and outcome of each picture, every digest once, cached ones first.

        Args:
            pictures: digests may repeat. A `LikenessError` or `OSError` of `read` becomes the outcome.

        Raises:
            ScorerError: the scorer died.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Embeddings that may be compared with each other.

    Args:
        model: the model of all of them.
        outcomes: by digest; a failure where a picture could not be embedded.
    """

    model: ScoringModel
    outcomes: Mapping[str, Embedding | LikenessError]


class Scoring(Protocol):
    """Gives embeddings of one model, and loads it only when one is not cached. For one thread."""

    @property
    def name(self) -> str:
        """The model's name or path as configured."""
        ...

    def known(self, sources: Sequence[Source]) -> Embedded | None:
        """Cached embeddings, all of one precision; None where one of `sources` is missing."""
        ...

    def embedded(self, sources: Sequence[Source], *, each: Callable[[], None] = lambda: None) -> Embedded:
        """An outcome for every digest of `sources`.

        Args:
            each: called for every outcome, as it is made.

        Raises:
            ModelUnloadable: one is not cached, and the model cannot be loaded.
            ScorerError: the scorer died.
        """
        ...
