"""How long to wait for a device that is full."""

from pipeline.process.device_backoff import DeviceBackoff


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_whoever_comes_back_each_time_waits_twice_as_long_up_to_a_minute() -> None:
    clock = Clock()
    full, waits = DeviceBackoff(clock), list[float]()
    for _ in range(10):
        waits.append(full.wait().total_seconds())
        clock.now += waits[-1]
    assert waits == [1, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_many_who_come_at_once_do_not_make_each_other_wait() -> None:
    full = DeviceBackoff(Clock())
    assert {full.wait().total_seconds() for _ in range(64)} == {1}


def test_a_device_that_has_served_somebody_begins_anew() -> None:
    clock = Clock()
    full = DeviceBackoff(clock)
    full.wait()
    clock.now += 50
    assert full.wait().total_seconds() == 50
    full.over()
    assert full.wait().total_seconds() == 1
