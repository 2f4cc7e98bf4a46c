"""Micro-batching: threads submit single items, one thread collects them and runs batches. Free of torch.

A lone item and a full batch run at once; the thread waits a few milliseconds for more items only if the last batch had
several. Failures are attributed: a batch that does not fit is halved, and its size remembered for a while; an item that
breaks its batch fails alone; a run that fails for everything is not the items' fault.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from threading import Condition, Lock, Thread
from traceback import clear_frames
from typing import Generic, TypeVar

from domain.errors import OutOfMemory, ScorerBroken, ScorerError, UnfitPicture

# A batch that does not fit empties the allocator's cache, so larger ones are not tried often.
_FULL_BATCHES_BEFORE_MORE = 64

Item = TypeVar("Item")
Result = TypeVar("Result")


def bucket(items: int) -> int:
    """Batch size for `items` where every new shape costs time: the next power of two."""
    return 1 << (items - 1).bit_length()


class BatchRun(Generic[Item, Result]):
    """Runs items in batches, and attributes failures to the items that cause them.

    Args:
        run: returns one outcome per item, in order; raises `OutOfMemory` when the batch is too large for the device.
        probe: runs a known good batch; raises when the device is broken.
        max_batch: the largest batch passed to `run`, at least 1.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result | ScorerError]],
        *,
        probe: Callable[[], object],
        max_batch: int,
    ) -> None:
        self._run = run
        self._probe = probe
        self._most = max(1, max_batch)
        self._limit = self._most
        self._full_batches = 0

    @property
    def limit(self) -> int:
        """The largest batch tried now: `max_batch`, or less after one did not fit."""
        return self._limit

    def did_not_fit(self, size: int) -> None:
        """Record that a batch of `size` was too large for the device."""
        self._limit = max(1, min(self._limit, size // 2))
        self._full_batches = 0

    def fitted(self, size: int) -> None:
        """Record that a batch of `size` ran; after 64 full batches the limit is doubled again.

        Whatever used the memory may be gone by then.
        """
        if size < self._limit or self._limit == self._most:
            return
        self._full_batches += 1
        if self._full_batches >= _FULL_BATCHES_BEFORE_MORE:
            self._limit, self._full_batches = min(2 * self._limit, self._most), 0

    def __call__(self, items: Sequence[Item]) -> list[Result | ScorerError]:
        """One outcome per item, in order; never raises for what `run` raised."""
        outcomes: list[Result | ScorerError] = []
        at = 0
        while at < len(items):  # the limit may shrink on the way
            batch = items[at : at + self._limit]
            outcomes += self._outcomes(batch)
            at += len(batch)
        return outcomes

    def _outcomes(self, batch: Sequence[Item], *, sound: bool = False) -> list[Result | ScorerError]:
        """As `__call__`, for a batch within the limit.

        Args:
            batch: at least one item.
            sound: the probe has passed since the first failure, so an item is most likely at fault.
        """
        try:
            outcomes = list(self._run(batch))
            if len(outcomes) != len(batch):
                raise ScorerError(f"{len(outcomes)} outcomes came back for {len(batch)} items")
        except OutOfMemory as error:
            _let_go(error)
            if len(batch) == 1:
                return [error]
            self.did_not_fit(len(batch))
            return self._halved(batch, sound=sound)
        except Exception as error:  # noqa: BLE001 - callers in other threads wait for it; here is the top of this one
            _let_go(error)
            # Probe again before blaming an item, which was paid for: the device may have broken meanwhile.
            broken = None if sound and len(batch) > 1 else self._broken()
            if broken is not None:
                return [_not_theirs(broken) for _ in batch]
            if len(batch) == 1:
                return [_unfit(error)]
            return self._halved(batch, sound=True)
        self.fitted(len(batch))
        return outcomes

    def _halved(self, batch: Sequence[Item], *, sound: bool) -> list[Result | ScorerError]:
        middle = len(batch) // 2
        return self._outcomes(batch[:middle], sound=sound) + self._outcomes(batch[middle:], sound=sound)

    def _broken(self) -> Exception | None:
        """Why a known good batch fails; None if it runs."""
        try:
            self._probe()
        except Exception as error:  # noqa: BLE001 - any failure of a good batch is the answer to the question asked
            return error
        return None


def _let_go(error: BaseException | None) -> None:
    """Clear the frames of a failed run, which would keep its tensors on the device as long as the exception lives."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # a re-raised exception may be its own context
        seen.add(id(error))
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _not_theirs(broken: Exception) -> ScorerError:
    """The failure of the probe as a failure that is no item's fault."""
    if isinstance(broken, OutOfMemory):
        return _because(OutOfMemory(f"not even one picture that is known to be good fits: {broken}"), broken)
    return _because(ScorerBroken(f"the scorer is broken: {broken}"), broken)


def _because(failure: ScorerError, cause: Exception) -> ScorerError:
    """`failure` with its cause; a new instance per caller, because threads that share one mix their tracebacks."""
    failure.__cause__ = cause
    return failure


def _unfit(error: Exception) -> ScorerError:
    """The failure of one item: good batches run, this one does not."""
    if isinstance(error, UnfitPicture):
        return error
    return _because(UnfitPicture(f"the picture cannot be scored: {error}"), error)


class MicroBatcher(Generic[Item, Result]):
    """Collects items that threads submit at about the same time, and runs them together.

    Thread-safe. `close` runs the items submitted before it; later ones are refused.

    Args:
        run: called by one thread at a time.
        wait_ms: longest time that an item waits for others.
        capacity: items that may wait; further submitters block. Default: four batches.
        name: of the thread.
    """

    def __init__(
        self,
        run: BatchRun[Item, Result],
        *,
        wait_ms: float = 10.0,
        capacity: int | None = None,
        name: str = "micro-batcher",
    ) -> None:
        self._run = run
        self._wait_s = wait_ms / 1000
        self._capacity = capacity or 4 * run.limit
        self._queue: deque[tuple[Item, Future[Result]]] = deque()
        self._lock = Lock()
        self._filled = Condition(self._lock)
        self._room = Condition(self._lock)
        self._company = 0
        self._company_left_at = 0.0
        self._closed = False
        self.batches = 0
        self.items = 0
        #: Told of each batch: its items, the seconds that it waited for company, and those that it ran.
        self.on_batch: Callable[[int, float, float], object] | None = None
        self._waited_s = 0.0
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> Result:
        """The result for `item`; blocks.

        Raises:
            UnfitPicture: this item cannot be scored.
            OutOfMemory: not even one item fits now.
            ScorerBroken: no item can be scored, or the batcher is closed.
        """
        return self.put(item).result()

    def submit_many(self, items: Iterable[Item]) -> list[Result | ScorerError]:
        """One outcome per item, in order; blocks. Failures are returned, not raised."""
        outcomes: list[Result | ScorerError] = []
        for future in [self.put(item) for item in items]:
            try:
                outcomes.append(future.result())
            except ScorerError as error:
                outcomes.append(error)
        return outcomes

    def put(self, item: Item) -> Future[Result]:
        """A future of the result; blocks only while `capacity` items wait.

        Raises:
            ScorerBroken: the batcher is closed.
        """
        future: Future[Result] = Future()
        with self._lock:
            self._room.wait_for(lambda: self._closed or len(self._queue) < self._capacity)
            if self._closed:
                raise ScorerBroken("the scorer is closed and takes no more pictures")
            self._queue.append((item, future))
            self._filled.notify()
        return future

    def close(self) -> None:
        """Refuse new items, run the waiting ones, end the thread. May be called again."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            self._room.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while (gathered := self._gather()) is not None:
            batch = [(item, future) for item, future in gathered if future.set_running_or_notify_cancel()]
            began = time.monotonic()
            outcomes = self._run([item for item, _ in batch])
            if self.on_batch is not None:
                self.on_batch(len(batch), self._waited_s, time.monotonic() - began)
            with self._lock:  # counted before results go out and callers come back
                self.batches += 1
                self.items += len(batch)
                together = len(batch) + len(self._queue)
                self._company = together if together > 1 else 0
                self._company_left_at = time.monotonic()
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if isinstance(outcome, ScorerError):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)

    def _gather(self) -> list[tuple[Item, Future[Result]]] | None:
        """The next batch; None when closed and nothing waits."""
        with self._lock:
            self._filled.wait_for(lambda: self._closed or bool(self._queue))
            begin = time.monotonic()
            # Callers served together tend to come back together; after a pause none are expected.
            expected = self._company if begin - self._company_left_at <= self._wait_s else 0
            expected = min(expected, self._run.limit)
            while len(self._queue) < expected and not self._closed:
                if not self._filled.wait(begin + self._wait_s - time.monotonic()):
                    break
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._run.limit))]
            self._room.notify_all()
            self._waited_s = time.monotonic() - begin
        return taken or None
