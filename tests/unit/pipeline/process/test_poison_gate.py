"""Many steps together, or one alone."""

import threading
from collections.abc import Callable

from pipeline.process.poison_gate import PoisonGate


def _in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_steps_pass_together() -> None:
    gate, both = PoisonGate(), threading.Barrier(2)

    def step() -> None:
        with gate.passed(alone=False):
            both.wait(timeout=30)

    threads = [_in_thread(step), _in_thread(step)]
    for thread in threads:
        thread.join(timeout=30)
    assert not both.broken


def test_one_that_is_alone_waits_for_the_others_and_keeps_them_out() -> None:
    gate, order = PoisonGate(), list[str]()
    inside, leave, asked = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with gate.passed(alone=False):
            inside.set()
            assert leave.wait(timeout=30)
            order.append("first")

    def lonely() -> None:
        asked.set()
        with gate.passed(alone=True):
            order.append("alone")

    def late() -> None:
        with gate.passed(alone=False):
            order.append("late")

    threads = [_in_thread(first)]
    assert inside.wait(timeout=30)
    threads.append(_in_thread(lonely))
    assert asked.wait(timeout=30)
    while gate._waiting_alone == 0:  # the moment from the question to the wait has no event of its own
        pass
    threads.append(_in_thread(late))
    leave.set()
    for thread in threads:
        thread.join(timeout=30)
    assert order == ["first", "alone", "late"]


def test_a_step_that_raises_lets_the_next_one_pass() -> None:
    gate = PoisonGate()
    for alone in (True, False, True):
        try:
            with gate.passed(alone=alone):
                raise RuntimeError
        except RuntimeError:
            pass
    with gate.passed(alone=True):
        pass
