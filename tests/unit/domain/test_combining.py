"""Whoever asks alone is served at once; those who ask meanwhile are served together, in their order."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from domain.combining import Combiner

WAIT_S = 30


def _asked(combiner: Combiner[int, int], items: Sequence[int]) -> tuple[list[threading.Thread], dict[int, int | None]]:
    found: dict[int, int | None] = {}
    threads = [threading.Thread(target=lambda item=item: found.update({item: combiner.do(item)})) for item in items]
    for thread in threads:
        thread.start()
    return threads, found


class _Held:
    """A server that is busy with the first group until it is told to go on."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def serve(self, group: Sequence[int]) -> list[int]:
        self.groups.append(list(group))
        if len(self.groups) == 1:
            self.begun.set()
            assert self.go_on.wait(WAIT_S)
        return [2 * item for item in group]


@pytest.mark.parametrize(("most", "groups"), [(100, [1, 9]), (4, [1, 4, 4, 1])])
def test_those_who_come_while_one_is_served_form_groups(most: int, groups: list[int]) -> None:
    held = _Held()
    combiner = Combiner(held.serve, most=most)
    first, of_first = _asked(combiner, [0])
    assert held.begun.wait(WAIT_S)
    others, of_others = _asked(combiner, range(1, 10))
    while len(combiner._waiting) < 9:
        threading.Event().wait(0.01)
    held.go_on.set()
    for thread in [*first, *others]:
        thread.join(WAIT_S)
    assert [len(group) for group in held.groups] == groups
    assert of_first | of_others == {item: 2 * item for item in range(10)}


def _groups_of(threads: int, each: int, *, apart_s: float) -> list[int]:
    """Sizes of the groups in which so many threads ask so often, one thing after the other."""
    sizes: list[int] = []

    def serve(group: Sequence[int]) -> list[int]:
        sizes.append(len(group))
        return list(group)

    combiner = Combiner(serve, most=100, apart_s=apart_s)
    # On a busy machine the first thread would be done before the second one is started.
    together = threading.Barrier(threads)

    def ask() -> None:
        together.wait(WAIT_S)
        for item in range(each):
            assert combiner.do(item) == item

    all_of = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in all_of:
        thread.start()
    for thread in all_of:
        thread.join(WAIT_S)
    return sizes


def test_threads_that_ask_in_turn_share_groups_where_these_begin_apart() -> None:
    sizes = _groups_of(8, 5, apart_s=0.2)
    assert sum(sizes) == 40
    # The first may go alone; while one group waits for its time, all others come.
    assert len(sizes) <= 20, sizes


def test_a_lone_thread_waits_for_nobody() -> None:
    began = time.monotonic()
    assert _groups_of(1, 1000, apart_s=3600.0) == [1] * 1000
    assert time.monotonic() - began < WAIT_S


def test_a_group_that_fails_tells_its_own_thread_and_stops_nobody() -> None:
    calls = 0

    def serve(group: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("the first")
        return list(group)

    combiner = Combiner(serve, most=10)
    with pytest.raises(ValueError, match="the first"):
        combiner.do(1)
    assert combiner.do(2) == 2


class _InterruptedError(Exception):
    """As Ctrl-C in the thread that asks."""


@contextmanager
def _interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """This thread, which must be the main one, is interrupted inside the block as soon as `when` holds."""

    def interrupt(*_: object) -> None:
        raise _InterruptedError

    def watch() -> None:
        until = time.monotonic() + WAIT_S
        while not when() and time.monotonic() < until:
            threading.Event().wait(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with pytest.raises(_InterruptedError):
            yield
    finally:
        watching.join(WAIT_S)
        signal.signal(signal.SIGUSR1, before)


def _answers(combiner: Combiner[int, int]) -> bool:
    threads, found = _asked(combiner, [7])
    threads[0].join(WAIT_S)
    return 7 in found


def test_one_who_is_interrupted_while_it_waits_is_not_made_the_leader() -> None:
    held = _Held()
    combiner = Combiner(held.serve, most=10)
    first, of_first = _asked(combiner, [0])
    assert held.begun.wait(WAIT_S)
    with _interrupted(lambda: len(combiner._waiting) == 1):
        combiner.do(1)
    held.go_on.set()
    first[0].join(WAIT_S)
    assert of_first == {0: 0}
    assert _answers(combiner), "nobody waits for the one who has gone"
    assert held.groups == [[0], [7]]


def test_a_leader_who_is_interrupted_before_its_group_begins_leaves_the_lead_to_another() -> None:
    sizes: list[int] = []

    def serve(group: Sequence[int]) -> list[int]:
        sizes.append(len(group))
        return list(group)

    combiner = Combiner(serve, most=10, apart_s=3600.0)
    threads, _ = _asked(combiner, [0])
    threads[0].join(WAIT_S)
    with _interrupted(lambda: len(combiner._waiting) == 1):
        combiner.do(1)
    combiner._earliest = 0.0
    assert _answers(combiner)
    assert sizes == [1, 1]
