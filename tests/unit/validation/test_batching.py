"""The micro-batcher alone: numbers in, numbers out, a gate instead of a device."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from domain.errors import OutOfMemory, ScorerBroken, ScorerError, UnfitPicture
from validation.batching import BatchRun, MicroBatcher, bucket

PATIENCE_S = 60
LONG_WAIT_MS = 10 * 60 * 1000  # a test that really waited for company would run into its timeout


class Doubler:
    """Doubles numbers; keeps the batches that it saw."""

    def __init__(self, *, poison: frozenset[int] = frozenset(), fits: int = 1000, broken: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.poison = poison
        self.fits = fits
        self.broken = broken
        self.probes = 0

    def __call__(self, items: Sequence[int]) -> list[int | ScorerError]:
        self.batches.append(list(items))
        if len(items) > self.fits:
            raise OutOfMemory("too many")
        if self.broken:
            raise RuntimeError("the device has gone")
        if self.poison.intersection(items):
            raise ValueError("not this one")
        return [2 * item for item in items]

    def probe(self) -> None:
        self.probes += 1
        if self.broken:
            raise RuntimeError("the device has gone")

    def run(self, *, max_batch: int = 64) -> BatchRun[int, int]:
        return BatchRun(self, probe=self.probe, max_batch=max_batch)


@contextmanager
def batcher(
    run: BatchRun[int, int], *, wait_ms: float = 10, capacity: int | None = None
) -> Iterator[MicroBatcher[int, int]]:
    made = MicroBatcher(run, wait_ms=wait_ms, capacity=capacity)
    try:
        yield made
    finally:
        made.close()


class Gate:
    """A run that stops in its first batch until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = Event()
        self.let_go = Event()

    def __call__(self, items: Sequence[int]) -> list[int | ScorerError]:
        self.batches.append(list(items))
        self.entered.set()
        assert self.let_go.wait(PATIENCE_S)
        return [2 * item for item in items]

    def run(self, *, max_batch: int = 64) -> BatchRun[int, int]:
        return BatchRun(self, probe=lambda: None, max_batch=max_batch)


def in_threads(work: Callable[[int], int], items: Sequence[int]) -> list[int]:
    with ThreadPoolExecutor(len(items)) as threads:
        return list(threads.map(work, items, timeout=PATIENCE_S))


def test_every_thread_gets_the_result_of_its_own_item() -> None:
    doubler = Doubler()
    with batcher(doubler.run()) as shared:
        assert in_threads(shared.submit, range(200)) == [2 * n for n in range(200)]
    assert sorted(item for batch in doubler.batches for item in batch) == list(range(200))


def test_a_lone_item_does_not_wait_for_company() -> None:
    doubler = Doubler()
    with batcher(doubler.run(), wait_ms=LONG_WAIT_MS) as shared:
        assert [shared.submit(n) for n in range(5)] == [0, 2, 4, 6, 8]
    assert doubler.batches == [[0], [1], [2], [3], [4]]


def test_what_arrives_during_a_run_shares_the_next_one() -> None:
    gate = Gate()
    with batcher(gate.run(max_batch=8), wait_ms=LONG_WAIT_MS) as shared:
        first = shared.put(0)
        assert gate.entered.wait(PATIENCE_S)
        others = [shared.put(n) for n in range(1, 9)]
        gate.let_go.set()
        assert [future.result(PATIENCE_S) for future in [first, *others]] == [2 * n for n in range(9)]
    assert gate.batches == [[0], [1, 2, 3, 4, 5, 6, 7, 8]]


def test_full_batches_do_not_wait() -> None:
    gate = Gate()
    with batcher(gate.run(max_batch=4), wait_ms=LONG_WAIT_MS) as shared:
        first = shared.put(0)
        assert gate.entered.wait(PATIENCE_S)
        others = [shared.put(n) for n in range(1, 9)]
        gate.let_go.set()
        assert [future.result(PATIENCE_S) for future in [first, *others]] == [2 * n for n in range(9)]
    assert gate.batches == [[0], [1, 2, 3, 4], [5, 6, 7, 8]]


def test_callers_that_come_back_together_are_waited_for_and_the_wait_ends() -> None:
    gate = Gate()
    with batcher(gate.run(), wait_ms=50) as shared:
        first = [shared.put(n) for n in range(3)]
        assert gate.entered.wait(PATIENCE_S)
        rest = [shared.put(n) for n in range(3, 6)]
        gate.let_go.set()
        for future in [*first, *rest]:
            future.result(PATIENCE_S)
        assert shared.submit(9) == 18  # the five others never come back
    assert gate.batches[-1] == [9]


def test_no_batch_is_larger_than_the_limit() -> None:
    gate = Gate()
    with batcher(gate.run(max_batch=4), capacity=100) as shared:
        first = shared.put(0)
        assert gate.entered.wait(PATIENCE_S)
        others = [shared.put(n) for n in range(1, 12)]
        gate.let_go.set()
        assert [future.result(PATIENCE_S) for future in [first, *others]] == [2 * n for n in range(12)]
    assert max(len(batch) for batch in gate.batches) == 4


def test_one_poisoned_item_among_sixty_four_fails_alone() -> None:
    run = Doubler(poison=frozenset({17})).run()
    outcomes = run(range(64))
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ScorerError)] == [17]
    assert type(outcomes[17]) is UnfitPicture
    assert "not this one" in str(outcomes[17])


def test_two_poisoned_items_fail_and_nobody_else() -> None:
    outcomes = Doubler(poison=frozenset({0, 63})).run()(range(64))
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, UnfitPicture)] == [0, 63]


def test_a_poisoned_item_that_comes_alone_is_unfit_because_the_probe_runs() -> None:
    doubler = Doubler(poison=frozenset({5}))
    assert type(doubler.run()([5])[0]) is UnfitPicture
    assert doubler.probes == 1


def test_a_run_that_fails_for_everything_is_not_the_items_fault_and_is_not_tried_in_pieces() -> None:
    doubler = Doubler(broken=True)
    outcomes = doubler.run()(range(64))
    assert {type(outcome) for outcome in outcomes} == {ScorerBroken}
    assert len(doubler.batches) == 1
    assert len({id(outcome) for outcome in outcomes}) == 64  # one instance per caller


def test_a_device_that_breaks_while_a_poisoned_item_is_looked_for_is_not_blamed_on_the_items() -> None:
    doubler = Doubler(poison=frozenset({3}))

    def run(items: Sequence[int]) -> list[int | ScorerError]:
        doubler.broken = doubler.broken or len(items) == 2  # the batch of four was spoilt by an item; then this
        return doubler(items)

    outcomes = BatchRun(run, probe=doubler.probe, max_batch=4)(range(4))
    assert {type(outcome) for outcome in outcomes} == {ScorerBroken}


def test_when_not_even_a_good_item_fits_nobody_is_unfit() -> None:
    def full() -> None:
        raise OutOfMemory("full")

    outcomes = BatchRun(Doubler(poison=frozenset({1})), probe=full, max_batch=4)([0, 1])
    assert {type(outcome) for outcome in outcomes} == {OutOfMemory}


def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_stays_halved() -> None:
    doubler = Doubler(fits=10)
    run = doubler.run(max_batch=64)
    assert run(range(64)) == [2 * n for n in range(64)]
    assert run.limit == 8
    doubler.batches.clear()
    assert run(range(64)) == [2 * n for n in range(64)]
    assert [len(batch) for batch in doubler.batches] == [8] * 8


def test_a_squeeze_that_has_passed_does_not_keep_batches_small_for_ever() -> None:
    doubler = Doubler(fits=0)
    run = doubler.run(max_batch=64)
    run(range(64))
    assert run.limit == 1
    doubler.fits = 64
    run(range(64 * (1 + 2 + 4)))
    assert run.limit == 8
    run(range(64 * (8 + 16 + 32)))
    assert run.limit == 64
    doubler.batches.clear()
    run(range(256))
    assert {len(batch) for batch in doubler.batches} == {64}, "and never above what was asked for"


def test_small_batches_prove_nothing_about_larger_ones() -> None:
    doubler = Doubler(fits=10)
    run = doubler.run(max_batch=64)
    run(range(64))
    for _ in range(200):
        run(range(3))
    assert run.limit == 8


def test_what_still_does_not_fit_is_risked_once_in_a_while_and_loses_nothing() -> None:
    doubler = Doubler(fits=10)
    run = doubler.run(max_batch=64)
    assert run(range(8 * 640)) == [2 * n for n in range(8 * 640)]
    too_large = [len(batch) for batch in doubler.batches if len(batch) > 10]
    on_the_way_down = 7  # 64, and both halves of what did not fit
    assert on_the_way_down < len(too_large) <= on_the_way_down + 640 // 64
    assert run.limit == 8


def test_a_batch_that_did_not_fit_is_let_go_before_a_smaller_one_is_tried() -> None:
    """The frames of an exception keep what the failed run had allocated; on a full device the next try needs it."""
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    seen: list[int] = []

    def run(items: Sequence[int]) -> list[int | ScorerError]:
        seen.append(len(alive))
        tensor = Tensor()
        alive.add(tensor)
        if len(items) > 2:
            try:
                raise RuntimeError("out of memory")
            except RuntimeError as error:
                raise OutOfMemory("too many") from error
        return list(items)

    BatchRun(run, probe=lambda: None, max_batch=16)(range(16))
    assert set(seen) == {0}


class Tensor:
    """Something large that a run holds in a local variable."""


def test_an_item_that_does_not_fit_alone_is_out_of_memory() -> None:
    outcomes = Doubler(fits=0).run()([1, 2])
    assert [type(outcome) for outcome in outcomes] == [OutOfMemory, OutOfMemory]


def test_poison_is_found_where_memory_is_short_too() -> None:
    outcomes = Doubler(poison=frozenset({3}), fits=2).run()(range(16))
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ScorerError)] == [3]


def test_a_run_that_returns_too_few_outcomes_is_a_failure_not_a_shift() -> None:
    run = BatchRun[int, int](lambda items: [1] * (len(items) - 1), probe=lambda: None, max_batch=8)
    assert all(isinstance(outcome, ScorerError) for outcome in run(range(4)))


def test_a_failure_reaches_the_caller_as_an_exception() -> None:
    with batcher(Doubler(poison=frozenset({1})).run()) as shared:
        with pytest.raises(UnfitPicture):
            shared.submit(1)
        assert shared.submit(2) == 4


def test_failures_of_many_are_returned_in_place() -> None:
    with batcher(Doubler(poison=frozenset({1})).run()) as shared:
        outcomes = shared.submit_many([0, 1, 2])
    assert (outcomes[0], type(outcomes[1]), outcomes[2]) == (0, UnfitPicture, 4)


def test_whoever_hands_in_more_than_fits_is_held_back() -> None:
    gate = Gate()
    with batcher(gate.run(max_batch=2), capacity=2) as shared:
        shared.put(0)
        assert gate.entered.wait(PATIENCE_S)
        shared.put(1)
        shared.put(2)
        through = Event()

        def one_too_many() -> None:
            shared.put(3)
            through.set()

        held = Thread(target=one_too_many, daemon=True)
        held.start()
        assert not through.wait(0.05)  # says nothing on a slow machine, but catches a queue without an end
        gate.let_go.set()
        assert through.wait(PATIENCE_S)
        held.join(PATIENCE_S)


def test_closing_runs_what_waits_and_refuses_what_comes() -> None:
    gate = Gate()
    shared = MicroBatcher(gate.run(max_batch=2))
    first = shared.put(0)
    assert gate.entered.wait(PATIENCE_S)
    waiting = [shared.put(n) for n in (1, 2, 3)]
    closing = Thread(target=shared.close, daemon=True)
    closing.start()
    gate.let_go.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert [future.result(PATIENCE_S) for future in [first, *waiting]] == [0, 2, 4, 6]
    with pytest.raises(ScorerError, match="closed"):
        shared.put(4)


def test_closing_lets_go_of_a_caller_that_is_held_back() -> None:
    gate = Gate()
    shared = MicroBatcher(gate.run(max_batch=1), capacity=1)
    shared.put(0)
    assert gate.entered.wait(PATIENCE_S)
    shared.put(1)
    refused: list[ScorerError] = []

    def one_too_many() -> None:
        try:
            shared.put(2)
        except ScorerError as error:
            refused.append(error)

    held, closing = Thread(target=one_too_many, daemon=True), Thread(target=shared.close, daemon=True)
    held.start()
    closing.start()
    held.join(PATIENCE_S)
    gate.let_go.set()
    closing.join(PATIENCE_S)
    assert len(refused) == 1


def test_a_caller_that_gave_up_costs_the_others_nothing() -> None:
    gate = Gate()
    with batcher(gate.run()) as shared:
        shared.put(0)
        assert gate.entered.wait(PATIENCE_S)
        given_up, kept = shared.put(1), shared.put(2)
        assert given_up.cancel()
        gate.let_go.set()
        assert kept.result(PATIENCE_S) == 4
    assert gate.batches == [[0], [2]]


def test_the_load_is_counted() -> None:
    told: list[tuple[int, float, float]] = []
    with batcher(Doubler().run()) as shared:
        shared.on_batch = lambda *batch: told.append(batch)
        shared.submit_many(range(10))
        shared.submit(1)
    assert shared.items == 11
    assert 2 <= shared.batches <= 11
    assert [sum(items for items, _, _ in told), len(told)] == [shared.items, shared.batches]
    assert all(waited_s >= 0 and took_s >= 0 for _, waited_s, took_s in told)


@pytest.mark.parametrize(("items", "rows"), [(1, 1), (2, 2), (3, 4), (5, 8), (33, 64), (64, 64)])
def test_batches_of_a_device_that_likes_equal_shapes_come_in_powers_of_two(items: int, rows: int) -> None:
    assert bucket(items) == rows
