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
from validation.similarity import joined

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A batch on the host: an array or a failure per item, and the stacked crops of them all.

    `host` is None where there is no array, no memory for them, or more crops than a batch takes; the batch is then left
    to `run`.
    """

    arrays: list[Pixels | LikenessError]
    host: Tensor | None

    @property
    def pictures(self) -> list[Pixels]:
        return [array for array in self.arrays if not isinstance(array, LikenessError)]

    @property
    def crops(self) -> list[Pixels]:
        """(S, S, 3) each."""
        return [crop for picture in self.pictures for crop in picture]


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
        to_array: gives (K, S, S, 3), K crops of a picture; called in `decoders` threads. A `LikenessError` that it
            raises becomes the outcome.
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
            crops = _Ready(arrays=arrays, host=None).crops
            return _Ready(arrays=arrays, host=_prepared(engine, crops) if len(crops) <= run.limit else None)

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
    size = len(batch.crops)
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
    try:
        crops = _finished(engine, run, launched) if launched is not None else run(batch.crops)
    except ScorerError:
        crops = run(batch.crops)
    rows = iter(regrouped(crops, batch.pictures))
    return [array if isinstance(array, LikenessError) else next(rows) for array in batch.arrays]


def _finished(
    engine: Engine, run: BatchRun[Pixels, Embedding], launched: Launched
) -> Sequence[Embedding | ScorerError]:
    rows = engine.finish(launched)
    run.fitted(launched.pictures)
    return rows


def regrouped(crops: Sequence[Embedding | ScorerError], pictures: Sequence[Pixels]) -> list[Embedding | ScorerError]:
    """One outcome per picture, from the outcomes of all their crops in order; a crop that fails fails its picture."""
    outcomes: list[Embedding | ScorerError] = []
    rest = iter(crops)
    for picture in pictures:
        own = [next(rest) for _ in picture]
        failure = next((one for one in own if isinstance(one, ScorerError)), None)
        outcomes.append(failure or joined([one for one in own if isinstance(one, Embedding)]))
    return outcomes
