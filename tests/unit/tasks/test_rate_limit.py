"""What a limit means and how it is remembered; the tokens themselves are tested on a real Redis."""

import threading
import time
from collections.abc import Callable

import pytest

from tasks.rate_limit import (
    Limit,
    LimitReader,
    LimitUnknown,
    ensure_fresh_token,
    lane_of_task,
    open_token_store,
    period_us,
)

NOWHERE = open_token_store("redis://127.0.0.1:1/0")
"""Nothing listens on port 1: whoever asks it gets no token."""


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def known_period(reader: LimitReader, lane: str) -> int | None:
    """The period once the reader's thread has brought it."""
    found: list[int | None] = []

    def known() -> bool:
        try:
            found.append(reader.period_us(lane))
        except LimitUnknown:
            return False
        return True

    eventually(known)
    return found[0]


@pytest.mark.parametrize(
    ("limit", "expected_us"),
    [
        ("20/s", 51_021),
        ("600/m", 102_041),
        ("6/m", 10_204_082),
        ("100/h", 36_734_694),
        (20, 51_021),
        ("0.5/s", 2_040_817),
    ],
)
def test_a_limit_is_read_as_celery_reads_it_and_run_at_98_percent(limit: Limit, expected_us: int) -> None:
    assert period_us(limit) == expected_us


@pytest.mark.parametrize("limit", [None, "0", 0, "", "0/m"])
def test_no_limit_has_no_period(limit: Limit) -> None:
    assert period_us(limit) is None


@pytest.mark.parametrize("limit", ["often", "20/day", "-1/s", "nan", "inf", "/s", "1/s/s", -3.0])
def test_a_limit_that_is_none_is_refused_by_name(limit: Limit) -> None:
    with pytest.raises(ValueError, match="is not a rate limit"):
        period_us(limit)


@pytest.mark.parametrize(
    ("name", "lane"),
    [
        ("generation.submit.ttapi", "ttapi"),
        ("generation.submit.ttapi-2", "ttapi-2"),
        ("generation.submit.", None),
        ("generation.submit", None),
        ("lane.poll", None),
    ],
)
def test_only_a_submission_has_a_lane(name: str, lane: str | None) -> None:
    assert lane_of_task(name) == lane


def test_a_limit_is_unknown_until_it_has_been_read_and_the_question_does_not_block() -> None:
    answer = threading.Event()
    reader = LimitReader(lambda lane: "20/s" if answer.wait(30) else None)
    with pytest.raises(LimitUnknown):
        reader.period_us("ttapi")
    answer.set()
    assert known_period(reader, "ttapi") == 51_021


def test_a_limit_is_read_once_a_second_however_often_it_is_asked_for() -> None:
    clock, reads = Clock(), list[str]()

    def read(lane: str) -> Limit:
        reads.append(lane)
        return f"{len(reads)}/s"

    reader = LimitReader(read, clock=clock)
    assert known_period(reader, "ttapi") == period_us("1/s")
    clock.now_s += 0.9
    assert [reader.period_us("ttapi") for _ in range(100)] == [period_us("1/s")] * 100
    clock.now_s += 0.2
    eventually(lambda: reader.period_us("ttapi") == period_us("2/s"))
    assert reads == ["ttapi", "ttapi"]


def test_a_limit_that_can_no_longer_be_read_becomes_unknown_and_never_none(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    answers: list[Limit] = ["20/s"]
    reader = LimitReader(lambda lane: answers[0], clock=clock)
    assert known_period(reader, "ttapi") == 51_021
    answers.clear()
    for _ in range(5):
        clock.now_s += 2.1
        with pytest.raises(LimitUnknown):
            reader.period_us("ttapi")
        eventually(lambda: not any(thread.name == "limit-ttapi" for thread in threading.enumerate()))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    answers.append("6/m")
    clock.now_s += 1.1
    assert known_period(reader, "ttapi") == 10_204_082


def test_a_limit_that_makes_no_sense_holds_the_lane(caplog: pytest.LogCaptureFixture) -> None:
    reader = LimitReader(lambda lane: "often")
    with pytest.raises(LimitUnknown):
        reader.period_us("ttapi")
    eventually(lambda: "'often' is not a rate limit" in caplog.text)
    with pytest.raises(LimitUnknown):
        reader.period_us("ttapi")


def test_a_forgotten_limit_is_read_anew() -> None:
    answers: list[Limit] = ["20/s"]
    reader = LimitReader(lambda lane: answers[0], clock=Clock())
    assert known_period(reader, "ttapi") == 51_021
    answers[0] = "6/m"
    reader.forget()
    assert known_period(reader, "ttapi") == 10_204_082


def test_a_fresh_token_needs_no_second_one() -> None:
    assert ensure_fresh_token(NOWHERE, "ttapi", limit="20/s", taken_at=time.monotonic()) == 0.0


def test_without_a_limit_no_token_is_needed() -> None:
    assert ensure_fresh_token(NOWHERE, "ttapi", limit="0", taken_at=None) == 0.0


@pytest.mark.parametrize("age_s", [None, 1.5, 3600.0])
def test_a_stale_token_and_no_redis_means_waiting(age_s: float | None) -> None:
    taken_at = None if age_s is None else time.monotonic() - age_s
    assert ensure_fresh_token(NOWHERE, "ttapi", limit="20/s", taken_at=taken_at) == 1.0
