"""The contract between commands and whoever embeds for them: which model it is, and embeddings by digest. No torch.

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

#: Counts up when the same weights begin to give other numbers: another style block, another statistic.
_RECIPE = 1


def fingerprint_of(*, revision: str, preprocessing: str, dtype: str) -> str:
    """Digest under which embeddings are comparable: weights, preprocessing, arithmetic, style statistic."""
    return sha256("\n".join((revision, preprocessing, dtype, str(_RECIPE))).encode())


def references_digest(references: Sequence[str]) -> str:
    """Digest over the digests of a character's references, in their order."""
    return sha256("\n".join(references).encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringModel:
    """A model as far as its embeddings need it.

    Args:
        name: name or path as configured.
        revision: digest of the weights.
        preprocessing: digest of the preprocessing that came with the weights.
        dtype: arithmetic of the forward pass.
        frame: where its embeddings lie.
        arithmetic: for people: on which device it was loaded last, and what was measured of each arithmetic there.
    """

    name: str
    revision: str
    preprocessing: str
    dtype: str
    frame: Frame
    arithmetic: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def fingerprint(self) -> str:
        """The key under which its embeddings are kept."""
        return fingerprint_of(revision=self.revision, preprocessing=self.preprocessing, dtype=self.dtype)

    def origin(self, references: Sequence[str]) -> Origin:
        """What makes a score against references with these digests."""
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
        sha256: digest of its file, under which the embedding is kept.
        read: gives the file's bytes; called in a thread, and only when the embedding is not known.
    """

    sha256: str
    read: Callable[[], bytes]


class Embedder(Protocol):
    """Turns pictures into embeddings, in bulk; for one thread."""

    @property
    def model(self) -> ScoringModel:
        """Who embeds; only embeddings of the same fingerprint may be compared."""
        ...

    def embed(self, pictures: Iterable[Source]) -> Iterator[tuple[str, Embedding | LikenessError]]:
        """Digest and outcome of each picture, every digest once, those that are known first.

        Args:
            pictures: digests may repeat. What one's `read` raises of ours, or as `OSError`, becomes its outcome.

        Raises:
            ScorerError: the scorer is gone; nothing more will come.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Embeddings that may be compared with each other.

    Args:
        model: who made all of them.
        outcomes: by digest; a failure stands where a picture could not be embedded.
    """

    model: ScoringModel
    outcomes: Mapping[str, Embedding | LikenessError]


class Scoring(Protocol):
    """Gives embeddings of one model, and loads it only when one of them is not known. For one thread."""

    @property
    def name(self) -> str:
        """The model's name or path as configured."""
        ...

    def known(self, sources: Sequence[Source]) -> Embedded | None:
        """What the model has embedded already, all by one arithmetic; None where one of `sources` is missing."""
        ...

    def embedded(self, sources: Sequence[Source], *, each: Callable[[], None] = lambda: None) -> Embedded:
        """An outcome for every digest of `sources`.

        Args:
            each: called for every outcome, as it comes.

        Raises:
            ModelUnloadable: one is not known, and the model cannot be loaded.
            ScorerError: the scorer died.
        """
        ...
