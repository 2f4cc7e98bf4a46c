"""The other end of `runtime.scoring`: embeds what comes in at standard input until that ends.

The scorer is handed in; only `worker.gpu` opens the door to it. The wire is told in `runtime.scoring_protocol`.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from queue import Queue
from threading import Thread
from typing import BinaryIO, Protocol

from domain.errors import LikenessError, ScorerError
from runtime import scoring_protocol as wire
from runtime.scoring_protocol import Message
from validation.base import Embedding, ModelInput
from validation.embedder import ScoringModel
from validation.preprocessing import Preprocessing

#: Requests read ahead; the command keeps at most as many under way.
AHEAD = 2


class BulkScorer(Protocol):
    """What a scoring process asks of the scorer."""

    @property
    def model(self) -> ScoringModel: ...

    @property
    def recipe(self) -> Preprocessing: ...

    @property
    def chunk(self) -> int:
        """Pictures of one request that keep the device busy."""
        ...

    def embed_chunk(self, pictures: Iterable[ModelInput]) -> Iterator[Sequence[Embedding | LikenessError]]: ...


def serve(load: Callable[[], AbstractContextManager[BulkScorer]]) -> int:
    """Load, say `ready`, and answer until standard input ends; returns the exit code."""
    # Whatever a library prints must not get between the messages.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    notes = _Notes(out)
    logging.getLogger("validation").addHandler(notes)
    try:
        with load() as scorer:
            logging.getLogger("validation").removeHandler(notes)
            _say_ready(out, scorer)
            _answer(scorer, sys.stdin.buffer, out)
    except LikenessError as failure:
        wire.write(out, {"failed": wire.failure_header(failure)})
        return failure.exit_code
    except BrokenPipeError:
        return 0  # whoever asked is gone
    return 0


class _Notes(logging.Handler):
    """Tells people what takes long, such as a download."""

    def __init__(self, out: BinaryIO) -> None:
        super().__init__(level=logging.WARNING)
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        wire.write(self._out, {"note": record.getMessage()})


def _say_ready(out: BinaryIO, scorer: BulkScorer) -> None:
    model = scorer.model
    said = {
        "model": {
            "name": model.name,
            "revision": model.revision,
            "preprocessing": model.preprocessing,
            "dtype": model.dtype,
            "arithmetic": model.arithmetic,
        },
        "preprocessing": asdict(scorer.recipe),
        "chunk": scorer.chunk,
    }
    frame = model.frame
    vectors = (frame.core_centre, frame.style_centre, frame.style_spread)
    wire.write(out, {"ready": said}, [vector.astype("<f4").tobytes() for vector in vectors])


def _answer(scorer: BulkScorer, source: BinaryIO, out: BinaryIO) -> None:
    waiting: Queue[Message | None] = Queue(maxsize=AHEAD)

    def read_ahead() -> None:
        while (message := wire.read(source)) is not None:
            waiting.put(message)
        waiting.put(None)

    Thread(target=read_ahead, name="requests", daemon=True).start()
    while (request := waiting.get()) is not None:
        outcomes = _embedded(scorer, request.parts)
        parts = [part for one in outcomes if isinstance(one, Embedding) for part in (one.core, one.style, one.further)]
        said = [None if isinstance(one, Embedding) else wire.failure_header(one) for one in outcomes]
        wire.write(out, {"outcomes": said}, parts)


def _embedded(scorer: BulkScorer, pixels: Sequence[bytes]) -> list[Embedding | LikenessError]:
    size, digest = scorer.recipe.size, scorer.model.preprocessing
    inputs = (ModelInput(pixels=one, size=size, preprocessing=digest) for one in pixels)
    try:
        return [outcome for batch in scorer.embed_chunk(inputs) for outcome in batch]
    except ScorerError as failure:
        return [failure for _ in pixels]
