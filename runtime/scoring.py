"""Run the scoring model in a child process, so that commands need neither torch nor the queue.

`with scoring_process(settings, kept=..., say=...) as scorer` starts it (`python -m worker.gpu --pipe`), loads the
configured model there, and ends it with the block. `scorer.embed(sources)` gives embeddings by digest, `scorer.model`
identifies the model and the frame in which they are compared (`validation.similarity.compare`). Pictures are read and
decoded here, in threads; pictures whose embedding is in `kept` are not read, and new embeddings are stored there.
`open_scoring` starts the process only when something has to be embedded.
"""

import contextlib
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from domain.errors import BadInput, LikenessError, ScorerError
from pipeline.process.embedding_cache import KeptEmbeddings
from runtime import scoring_protocol as wire
from runtime.scoring_protocol import Message
from runtime.settings import Settings
from validation.base import Embedding, ModelInput
from validation.embedder import Embedded, ScoringModel, Source
from validation.pixels import decode, model_input
from validation.preprocessing import Preprocessing
from validation.similarity import Frame

#: Requests in flight: one on the device, one being prepared. The process reads as many ahead.
_UNDER_WAY = 2
_GRACE_S = 5.0
_Outcome = tuple[str, Embedding | LikenessError]


class ScoringProcess:
    """Client of the scoring process; implements `validation.embedder.Embedder`. For one thread.

    Args:
        process: a process that has sent `ready`.
        ready: that message.
        kept: embedding cache, or None.
        log: log file of the process.
        decoders: threads that read and decode.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        ready: Message,
        *,
        kept: KeptEmbeddings | None,
        log: Path,
        decoders: int | None = None,
    ) -> None:
        header = ready.header["ready"]
        self._process = process
        self._kept = kept
        self._log = log
        # Leave one core to the process; a GPU embeds as many pictures as all the others can decode.
        self._decoders = decoders or max(1, (os.cpu_count() or 2) - 1)
        self._chunk = int(header["chunk"])
        self._recipe = _recipe_of(header["preprocessing"])
        self._model = _model_of(header["model"], ready.parts)

    @property
    def model(self) -> ScoringModel:
        """The model; only embeddings of the same fingerprint may be compared."""
        return self._model

    def embed(self, pictures: Iterable[Source]) -> Iterator[_Outcome]:
        """Digest and outcome of each picture, every digest once; see `validation.embedder.Embedder.embed`."""
        under_way: deque[list[str]] = deque()
        with ThreadPoolExecutor(self._decoders, "decode") as decoding:
            try:
                for chunk in _chunks(pictures, self._chunk):
                    known = self._known(chunk)
                    yield from known.items()
                    ready = list(decoding.map(self._ready, (one for one in chunk if one.sha256 not in known)))
                    yield from ((source, one) for source, one in ready if isinstance(one, LikenessError))
                    inputs = {source: one for source, one in ready if isinstance(one, ModelInput)}
                    if inputs:
                        self._ask([one.pixels for one in inputs.values()])
                        under_way.append(list(inputs))
                    while len(under_way) >= _UNDER_WAY:
                        yield from self._answer(under_way.popleft())
                while under_way:
                    yield from self._answer(under_way.popleft())
            finally:
                # The caller stopped early: read the outstanding answers, so that the next request gets its own.
                while under_way:
                    self._answer(under_way.popleft())

    def _known(self, chunk: Sequence[Source]) -> dict[str, Embedding]:
        if self._kept is None:
            return {}
        return dict(self._kept.get_many([one.sha256 for one in chunk], model=self._model.fingerprint))

    def _ready(self, source: Source) -> tuple[str, ModelInput | LikenessError]:
        try:
            return source.sha256, model_input(decode(source.read()).image, self._recipe)
        except LikenessError as failure:
            return source.sha256, failure
        except OSError as error:
            return source.sha256, BadInput(f"the picture cannot be read: {error.strerror or error}")

    def _ask(self, pixels: Sequence[bytes]) -> None:
        try:
            wire.write(_pipe(self._process.stdin), {"pictures": len(pixels)}, pixels)
        except OSError:
            raise self._gone() from None

    def _answer(self, sources: Sequence[str]) -> list[_Outcome]:
        message = wire.read(_pipe(self._process.stdout))
        if message is None:
            raise self._gone()
        parts = iter(message.parts)
        outcomes: list[_Outcome] = [
            (source, wire.failure_from_header(failure) if failure else _embedding(parts))
            for source, failure in zip(sources, message.header["outcomes"], strict=True)
        ]
        made = {source: one for source, one in outcomes if isinstance(one, Embedding)}
        if self._kept is not None and made:
            self._kept.put_many(made, model=self._model.fingerprint)
        return outcomes

    def _gone(self) -> ScorerError:
        return _death_report(self._process, self._log)


@contextlib.contextmanager
def scoring_process(
    settings: Settings,
    *,
    kept: KeptEmbeddings | None = None,
    say: Callable[[str], None] = lambda _: None,
    model: str | None = None,
) -> Iterator[ScoringProcess]:
    """A scorer in a child process that ends with the block.

    Args:
        kept: the embedding cache (`pipeline.process.embedding_cache.KeptEmbeddings`).
        say: called with progress messages, such as the download of a model.
        model: instead of the configured one.

    Raises:
        ModelUnloadable: and its sentence says what to do.
        ScorerError: the process died before it was ready.
    """
    log = settings.home / "logs" / "scoring.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as errors:
        process = subprocess.Popen(
            (sys.executable, "-m", "worker.gpu", "--pipe"),
            env=_environment(settings, model),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Ctrl-C is for the command, which then ends this process in order.
            start_new_session=True,
        )
    try:
        scorer = ScoringProcess(process, _until_ready(process, log, say), kept=kept, log=log)
        if kept is not None:
            kept.keep_model(scorer.model)
        yield scorer
    finally:
        _end(process)


class ScoringOnDemand:
    """Implements `validation.embedder.Scoring`; starts the process at the first picture that is not in the cache.

    Args:
        start: starts the process; called at most once.
        kept: the embedding cache.
        name: of the model.
    """

    def __init__(self, start: Callable[[], ScoringProcess], *, kept: KeptEmbeddings, name: str) -> None:
        self.name = name
        self._start = start
        self._kept = kept
        self._known_as: list[ScoringModel] | None = None
        self._process: ScoringProcess | None = None

    def embedded(self, sources: Sequence[Source], *, each: Callable[[], None] = lambda: None) -> Embedded:
        """See `validation.embedder.Scoring.embedded`."""
        if self._process is None:
            known = self.known(sources)
            if known is not None:
                for _ in known.outcomes:
                    each()
                return known
            self._process = self._start()
        outcomes: dict[str, Embedding | LikenessError] = {}
        for digest, outcome in self._process.embed(sources):
            outcomes[digest] = outcome
            each()
        return Embedded(model=self._process.model, outcomes=outcomes)

    def known(self, sources: Sequence[Source]) -> Embedded | None:
        """See `validation.embedder.Scoring.known`."""
        digests = sorted({source.sha256 for source in sources})
        for model in self._models():
            found = self._kept.get_many(digests, model=model.fingerprint)
            if len(found) == len(digests):
                return Embedded(model=model, outcomes=found)
        return None

    def _models(self) -> list[ScoringModel]:
        """The variants of the model in the cache; a loaded one comes first, because it can embed the rest as well."""
        if self._known_as is None:
            self._known_as = self._kept.models(self.name)
        if self._process is None:
            return self._known_as
        loaded = self._process.model
        return [loaded, *(model for model in self._known_as if model.fingerprint != loaded.fingerprint)]


@contextlib.contextmanager
def open_scoring(
    settings: Settings, *, kept: KeptEmbeddings, say: Callable[[str], None] = lambda _: None, model: str | None = None
) -> Iterator[ScoringOnDemand]:
    """Scoring with the configured model, or `model`; its process starts when needed and ends with the block."""
    with contextlib.ExitStack() as stack:
        yield ScoringOnDemand(
            lambda: stack.enter_context(scoring_process(settings, kept=kept, say=say, model=model)),
            kept=kept,
            name=model or settings.clip_model,
        )


def _environment(settings: Settings, model: str | None) -> dict[str, str]:
    given = {"CLIP_MODEL": model or settings.clip_model, "LIKENESS_DEVICE": settings.clip_device}
    return {**os.environ, **given}


def _until_ready(process: "subprocess.Popen[bytes]", log: Path, say: Callable[[str], None]) -> Message:
    while (message := wire.read(_pipe(process.stdout))) is not None:
        if "ready" in message.header:
            return message
        if "failed" in message.header:
            raise wire.failure_from_header(message.header["failed"])
        say(str(message.header["note"]))
    raise _death_report(process, log)


def _death_report(process: "subprocess.Popen[bytes]", log: Path) -> ScorerError:
    try:
        status: Any = process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        status = "unknown"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    last_line = lines[-1] if lines else "it logged nothing"
    return ScorerError(f"the scoring process ended with status {status}: {last_line} (its log is {log})")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close its input, which ends it; kill it if a forward pass takes too long."""
    with contextlib.suppress(OSError):
        _pipe(process.stdin).close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _pipe(process.stdout).close()


def _pipe(stream: Any) -> BinaryIO:
    assert stream is not None
    pipe: BinaryIO = stream
    return pipe


def _chunks(pictures: Iterable[Source], size: int) -> Iterator[list[Source]]:
    """`pictures` without repeated digests, `size` at a time."""
    seen: set[str] = set()

    def new() -> Iterator[Source]:
        for one in pictures:
            if one.sha256 not in seen:
                seen.add(one.sha256)
                yield one

    source = new()
    while chunk := list(islice(source, size)):
        yield chunk


def _embedding(parts: Iterator[bytes]) -> Embedding:
    return Embedding(core=next(parts), style=next(parts), further=next(parts))


def _recipe_of(fields: dict[str, Any]) -> Preprocessing:
    return Preprocessing(**{**fields, "mean": tuple(fields["mean"]), "std": tuple(fields["std"])})


def _model_of(fields: dict[str, Any], vectors: Sequence[bytes]) -> ScoringModel:
    core_centre, style_centre, style_spread = (
        np.frombuffer(vector, dtype="<f4").astype(np.float32) for vector in vectors
    )
    frame = Frame(core_centre=core_centre, style_centre=style_centre, style_spread=style_spread)
    return ScoringModel(**fields, frame=frame)
