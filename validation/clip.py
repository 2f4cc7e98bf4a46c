"""The scorer: scores pictures against references with a CLIP or SigLIP model.

The only public module that imports torch and transformers; `engine`, `precision`, `loading` and others are internal to
it. Concurrent calls share forward passes (`validation.batching`). Verdicts are not made here: thresholds belong to the
character, and `domain.verdict` applies them.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
import torch

from domain.errors import LikenessError, ModelUnloadable, NotAPicture, ScorerError, UnfitPicture
from domain.ids import sha256
from domain.verdict import Origin
from validation.base import Aggregation, Embedding, EmbeddingCache, ModelInput, Reference, Scored
from validation.batching import BatchRun, MicroBatcher, bucket
from validation.bulk import embedded_in_bulk, regrouped
from validation.embedder import ScoringModel
from validation.embedding_lru import EmbeddingMemory
from validation.engine import Engine, Phases, Pixels
from validation.loading import fetch, load_model, pick_device, why_no_cuda
from validation.pixels import decode, model_input
from validation.precision import Precision, choose
from validation.preprocessing import Preprocessing, read_preprocessing
from validation.similarity import Frame, compare
from validation.specimens import specimens
from validation.text_tower import TextTower, open_texts
from validation.weights import revision

__all__ = ["ClipScorer", "Identity", "why_no_cuda"]

logger = logging.getLogger(__name__)

_REFERENCES_KEPT = 1024
_PICTURES_KEPT = 512

_Failure = TypeVar("_Failure", bound=LikenessError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The weights of a scorer: the part of a score's origin that is known when it is loaded.

    Args:
        model: name or path as configured.
        revision: digest of the weights.
    """

    model: str
    revision: str


class ClipScorer:
    """Scores pictures against references; implements `validation.base.Scorer`. Thread-safe.

    Args:
        engine: loaded and warm.
        identity: the weights of `engine`.
        precision: the chosen precision, and why.
        frame: of its embeddings.
        max_batch: pictures per forward pass, until a batch does not fit.
        wait_ms: longest wait of a picture for others.
        cache: persistent cache of embeddings.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        identity: Identity,
        precision: Precision,
        frame: Frame,
        max_batch: int = 64,
        wait_ms: float = 10,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.engine = engine
        self.identity = identity
        self.precision = precision
        self.frame = frame
        specimen: Pixels = specimens(engine.preprocessing.size)[0]
        self._run = BatchRun[Pixels, Embedding](
            engine.embed, probe=lambda: engine.embed([specimen]), max_batch=max_batch
        )
        self._batcher = MicroBatcher(self._run, wait_ms=wait_ms, name="scorer")
        self._references = EmbeddingMemory(model=self.fingerprint, capacity=_REFERENCES_KEPT, cache=cache)
        self._pictures = EmbeddingMemory(model=self.fingerprint, capacity=_PICTURES_KEPT, cache=cache)

    @classmethod
    def load(
        cls,
        model: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        threads: int | None = None,
        max_batch: int = 64,
        wait_ms: float = 10,
        cache: EmbeddingCache | None = None,
    ) -> Self:
        """Load a scorer, choose its precision and warm it up.

        Args:
            model: a local folder, or a name on the hub, which is downloaded if it is not on this machine.
            device: `auto`, `cuda`, `cuda:1`, `mps` or `cpu`.
            dtype: `auto`, which measures, or `float32`, `bfloat16`, `float16`.
            threads: of torch on the CPU; None leaves the choice to torch.

        Raises:
            ModelUnloadable: the message says what to do.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        at = pick_device(device)
        fetch(model)
        preprocessing = read_preprocessing(model)

        def make(precision: torch.dtype) -> Engine:
            loaded = load_model(model, dtype=precision, device=at)
            return Engine(loaded, preprocessing=preprocessing, device=at)

        try:
            engine, precision, frame = choose(make, specimens(preprocessing.size), wish=dtype, device=at)
        except ModelUnloadable:
            raise
        except ScorerError as error:
            raise ModelUnloadable(f"{model!r} is loaded but does not run on {at}: {error}") from error
        if at.type == "cuda":
            torch.cuda.empty_cache()  # memory of the engines that were not chosen
        _log(model, precision)
        return cls(
            engine,
            identity=Identity(model=model, revision=revision(model)),
            precision=precision,
            frame=frame,
            max_batch=max_batch,
            wait_ms=wait_ms,
            cache=cache,
        )

    def warm(self) -> None:
        """Run every batch shape and the text tower once, so that no paid picture waits for their first run.

        Raises:
            OutOfMemory: not even one picture fits.
            ScorerBroken: no picture can be scored.
        """
        pictures = list(specimens(self.recipe.size))
        rows = 1
        while rows <= self.batch_limit and self.engine.device.type != "cpu":  # a CPU has no cost per shape
            batch = [pictures[at % len(pictures)] for at in range(rows)]
            for outcome in self._run(batch):
                if isinstance(outcome, ScorerError):
                    raise outcome
            rows = bucket(rows + 1)
        self.embed_text("a picture")

    @property
    def preprocessing(self) -> str:
        """The preprocessing digest that a `ModelInput` must have."""
        return self.engine.preprocessing.digest

    @property
    def recipe(self) -> Preprocessing:
        """The argument for `validation.pixels.model_input`."""
        return self.engine.preprocessing

    @property
    def fingerprint(self) -> str:
        """Digest under which embeddings are comparable: weights, preprocessing, precision, style statistic."""
        return self.model.fingerprint

    @property
    def model(self) -> ScoringModel:
        """The model's identity and frame, enough to compare embeddings without it."""
        return ScoringModel(
            name=self.identity.model,
            revision=self.identity.revision,
            preprocessing=self.preprocessing,
            dtype=self.precision.dtype,
            frame=self.frame,
            arithmetic=self.precision.as_json(),
        )

    @property
    def phases(self) -> Phases:
        """Seconds spent in each phase so far."""
        return self.engine.phases

    @property
    def batch_limit(self) -> int:
        """Largest batch still tried; smaller than configured after a batch did not fit."""
        return self._run.limit

    @property
    def chunk(self) -> int:
        """Pictures per bulk call: enough to keep the device busy, few enough to show progress."""
        return 4 * self.batch_limit if self.engine.device.type == "cuda" else min(16, self.batch_limit)

    def origin(self, references: Sequence[Reference]) -> Origin:
        """The origin of scores against `references`."""
        return self.model.origin([reference.sha256 for reference in references])

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
            ScorerError: the model or the device failed, or the references are missing or not pictures.
        """
        scored: list[Scored] = []
        for number, outcome in enumerate(self.score_each(pictures, references, aggregation=aggregation), start=1):
            if isinstance(outcome, UnfitPicture):
                raise UnfitPicture(f"picture {number} of {len(pictures)}: {outcome}") from outcome
            if isinstance(outcome, ScorerError):
                raise outcome
            scored.append(outcome)
        return scored

    def score_each(
        self,
        pictures: Sequence[ModelInput],
        references: Sequence[Reference],
        *,
        aggregation: Aggregation = Aggregation.MAX,
    ) -> list[Scored | ScorerError]:
        """As `score`, but the failure of one picture is its outcome and does not affect others.

        Raises:
            ScorerError: the references are missing or not pictures.
        """
        against = self.embed_references(references)
        return self._compared(self.embed(pictures), against, self.origin(references), aggregation)

    def score_chunk(
        self,
        pictures: Iterable[ModelInput | bytes],
        references: Sequence[Reference],
        *,
        aggregation: Aggregation = Aggregation.MAX,
        decoders: int = 2,
    ) -> list[Scored | LikenessError]:
        """As `score_each` for bulk work: prepares the next batch while one is on the device.

        Args:
            pictures: model inputs, or original files, which are decoded here.
        """
        against = self.embed_references(references)
        origin = self.origin(references)
        outcomes: list[Scored | LikenessError] = []
        for batch in self.embed_chunk(pictures, decoders=decoders):
            outcomes += self._compared(batch, against, origin, aggregation)
        return outcomes

    def embed_chunk(
        self, pictures: Iterable[ModelInput | bytes], *, decoders: int = 2
    ) -> Iterator[list[Embedding | LikenessError]]:
        """As `embed` for bulk work, a batch at a time, without the cache.

        Args:
            pictures: model inputs, or original files, which are decoded here; read one batch ahead.
        """
        return embedded_in_bulk(
            pictures, to_array=self._any_array, engine=self.engine, run=self._run, decoders=decoders
        )

    def embed(self, pictures: Sequence[ModelInput]) -> list[Embedding | ScorerError]:
        """One outcome per picture, in order. Pictures with a `source` are cached."""
        outcomes: dict[int, Embedding | ScorerError] = {n: p.embedding for n, p in enumerate(pictures) if p.embedding}
        arrays: dict[int, Pixels] = {}  # (K, S, S, 3) each
        for index in [n for n in range(len(pictures)) if n not in outcomes]:
            try:
                arrays[index] = self._array(pictures[index])
            except UnfitPicture as error:
                outcomes[index] = error
        sources = {index: source for index in arrays if (source := pictures[index].source) is not None}
        of_source = {source: arrays[index] for index, source in sources.items()}
        if sources:
            kept = self._pictures.get(
                list(sources.values()), lambda absent: self._batched([of_source[each] for each in absent])
            )
            outcomes |= zip(sources, kept, strict=True)
        others = [index for index in arrays if index not in sources]
        outcomes |= zip(others, self._batched([arrays[index] for index in others]), strict=True)
        return [outcomes[index] for index in range(len(pictures))]

    def embed_picture(self, content: bytes) -> Embedding:
        """The embedding of a picture file; see `validation.base.Scorer.embed_picture`."""
        return self.embed_references([Reference(sha256=sha256(content), content=content)])[0]

    def embed_text(self, text: str) -> bytes | None:
        """The vector of a text in the space of `Embedding.core`; see `validation.base.Scorer.embed_text`."""
        return None if self._texts is None else self._texts.embed(text)

    @cached_property
    def _texts(self) -> TextTower | None:
        return open_texts(self.identity.model, self.engine)

    def embed_references(self, references: Sequence[Reference]) -> list[Embedding]:
        """The embeddings of `references`, in order; cached.

        Raises:
            ScorerError: there are none, or one is not a picture.
        """
        if not references:
            raise ScorerError("there are no references to score against; add some with `likeness character add`")
        contents = {reference.sha256: reference.content for reference in references}

        def make(sources: Sequence[str]) -> list[Embedding | ScorerError]:
            return self._batched([self._decoded(contents[source]) for source in sources])

        try:
            outcomes = self._references.get([reference.sha256 for reference in references], make)
        except NotAPicture as error:
            raise ScorerError(f"a reference of the character cannot be used: {error}") from error
        for outcome in outcomes:
            if isinstance(outcome, UnfitPicture):
                raise ScorerError(f"a reference of the character cannot be used: {outcome}") from outcome
            if isinstance(outcome, ScorerError):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Embedding)]

    def leave_pictures(self) -> None:
        """From now on look for no picture in the cache and keep none there: whoever asks does both."""
        self._pictures = EmbeddingMemory(model=self.fingerprint, capacity=_PICTURES_KEPT)

    def watch_batches(self, told: Callable[[int, float, float], object]) -> None:
        """Tell of each batch: its crops, the seconds that it waited for company, and those that the model took."""
        self._batcher.on_batch = told

    def close(self) -> None:
        """Finish submitted work, refuse new work, free the device. May be called again."""
        self._batcher.close()
        if self.engine.device.type == "cuda":
            with suppress(RuntimeError):  # a broken device has nothing to free, and was reported already
                torch.cuda.empty_cache()

    def _compared(
        self,
        rows: Sequence[Embedding | _Failure],
        references: Sequence[Embedding],
        origin: Origin,
        aggregation: Aggregation,
    ) -> list[Scored | _Failure]:
        """One outcome per row: the scores of an embedding, or its failure."""
        embeddings = [row for row in rows if isinstance(row, Embedding)]
        compared = iter(compare(embeddings, references, frame=self.frame, aggregation=aggregation))
        outcomes: list[Scored | _Failure] = []
        for row in rows:
            if not isinstance(row, Embedding):
                outcomes.append(row)
                continue
            scores, detail = next(compared)
            outcomes.append(Scored(scores=scores, origin=origin, detail=detail, embedding=row))
        return outcomes

    def _batched(self, pictures: Sequence[Pixels]) -> list[Embedding | ScorerError]:
        """One outcome per picture of (K, S, S, 3), whose crops share batches with those of others."""
        return regrouped(self._batcher.submit_many(crop for picture in pictures for crop in picture), pictures)

    def _any_array(self, picture: ModelInput | bytes) -> Pixels:
        return self._decoded(picture) if isinstance(picture, bytes) else self._array(picture)

    def _decoded(self, content: bytes) -> Pixels:
        """(K, S, S, 3) uint8 of an original file; raises `NotAPicture` where it is none."""
        return self._array(model_input(decode(content).image, self.recipe))

    def _array(self, picture: ModelInput) -> Pixels:
        """(K, S, S, 3) uint8, not copied: K crops, mostly one. `UnfitPicture`: for another model, or of wrong size."""
        size = self.recipe.size
        if picture.preprocessing != self.preprocessing:
            raise UnfitPicture(f"its input was made for another model than {self.identity.model!r}; make it again")
        crops, rest = divmod(len(picture.pixels), size * size * 3)
        if rest or not crops:
            raise UnfitPicture(f"its input has {len(picture.pixels)} bytes instead of {size} x {size} x 3 a crop")
        return np.frombuffer(picture.pixels, dtype=np.uint8).reshape(crops, size, size, 3)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _log(model: str, precision: Precision) -> None:
    for trial in precision.trials:
        logger.info("%s", trial)
    logger.info("model %r on %s in %s (%s)", model, precision.device, precision.dtype, precision.chosen)
