"""Embed many pictures: while one batch is on the device, the next is decoded and stacked. No scoring."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from torch import Tensor

from domain.errors import LikenessError, OutOfMemory, ScorerError
from validation.base import Embedding
from validation.batching import BatchRun
from validation.engine import Engine, Launched, Pixels

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A batch on the host: an array or a failure per item, and the stacked arrays.

    `host` is None where there is no array or no memory for them; the batch is then left to `run`.
    """

    arrays: list[Pixels | LikenessError]
    host: Tensor | None

    @property
    def pictures(self) -> list[Pixels]:
        return [array for array in self.arrays if not isinstance(array, LikenessError)]


def embedded_in_bulk(
    items: Iterable[Item],
    *,
    to_array: Callable[[Item], Pixels],
    engine: Engine,
    run: BatchRun[Pixels, Embedding],
    decoders: int,
) -> Iterator[list[Embedding | LikenessError]]:
    """Outcomes in the order of `items`, a batch at a time; a bad item fails alone.

    Args:
        items: read one batch ahead, so that a million of them need not be in memory.
        to_array: called in `decoders` threads; a `LikenessError` that it raises becomes the outcome.
        engine: runs the batches.
        run: takes over failed batches, and knows the size that fits.
        decoders: threads.
    """
    source = iter(items)

    def array(item: Item) -> Pixels | LikenessError:
        try:
            return to_array(item)
        except LikenessError as error:
            return error

    with ThreadPoolExecutor(decoders, "decode") as decoding, ThreadPoolExecutor(1, "prepare") as preparing:

        def ready(batch: list[Item]) -> _Ready:
            arrays = list(decoding.map(array, batch))
            pictures = [each for each in arrays if not isinstance(each, LikenessError)]
            return _Ready(arrays=arrays, host=_prepared(engine, pictures))

        def begin_next() -> Future[_Ready] | None:
            batch = list(islice(source, run.limit))
            return preparing.submit(ready, batch) if batch else None

        coming = begin_next()
        under_way: tuple[_Ready, Launched | None] | None = None
        while coming is not None:
            batch = coming.result()
            coming = begin_next()
            launched = _launched(engine, run, batch)
            if under_way is not None:
                yield _outcomes(engine, run, *under_way)
            under_way = batch, launched
        if under_way is not None:
            yield _outcomes(engine, run, *under_way)


def _prepared(engine: Engine, pictures: Sequence[Pixels]) -> Tensor | None:
    if not pictures:
        return None
    try:
        return engine.prepare(pictures)
    except ScorerError:  # `run` will meet it again, and halve the batch or find the item at fault
        return None


def _launched(engine: Engine, run: BatchRun[Pixels, Embedding], batch: _Ready) -> Launched | None:
    """Launch the forward pass of `batch`; None where there is nothing to do, or `_outcomes` must do it."""
    size = len(batch.pictures)
    if batch.host is None or size > run.limit:
        return None
    try:
        return engine.launch(batch.host, pictures=size)
    except OutOfMemory:
        run.did_not_fit(size)
    except Exception:  # noqa: BLE001 - `run` will meet it again, and find the picture that causes it
        return None
    return None


def _outcomes(
    engine: Engine, run: BatchRun[Pixels, Embedding], batch: _Ready, launched: Launched | None
) -> list[Embedding | LikenessError]:
    rows: Iterator[Embedding | ScorerError]
    try:
        rows = iter(_finished(engine, run, launched) if launched is not None else run(batch.pictures))
    except ScorerError:
        rows = iter(run(batch.pictures))
    return [array if isinstance(array, LikenessError) else next(rows) for array in batch.arrays]


def _finished(
    engine: Engine, run: BatchRun[Pixels, Embedding], launched: Launched
) -> Sequence[Embedding | ScorerError]:
    rows = engine.finish(launched)
    run.fitted(launched.pictures)
    return rows
