"""What becomes of a failure: repeat, give up, close the lane. Pure, so every case is tried."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import errors
from domain.errors import LikenessError, MaybeSent, NotSent, ProviderDown, ProviderError, RateLimited
from domain.retry import (
    BASE,
    CEILING,
    CLOSES_LANE,
    LONGEST_WISH,
    GiveUp,
    TryAgain,
    closure,
    concerns_lane,
    decide,
    requested_wait,
)


def _classes(base: type[LikenessError] = LikenessError) -> Iterator[type[LikenessError]]:
    for one in base.__subclasses__():
        if one.__module__ == errors.__name__:
            yield one
            yield from _classes(one)


@pytest.mark.parametrize("kind", sorted(_classes(), key=str))
def test_a_class_says_itself_whether_another_try_can_help(kind: type[LikenessError]) -> None:
    decided = decide(kind("x"), tries=1, limit=3, jitter=0.5)
    assert isinstance(decided, TryAgain) == kind.retryable


def test_a_lost_reply_is_never_tried_again() -> None:
    assert isinstance(decide(MaybeSent("lost"), tries=1, limit=99, jitter=0.0), GiveUp)


def test_waits_double_and_stay_below_the_ceiling() -> None:
    waits = [decide(NotSent("x"), tries=tries, limit=99, jitter=0.999999) for tries in range(1, 12)]
    seconds = [wait.wait.total_seconds() for wait in waits if isinstance(wait, TryAgain)]
    assert [round(one) for one in seconds] == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_spreads_a_wait_over_its_upper_half(tries: int, jitter: float) -> None:
    decided = decide(NotSent("x"), tries=tries, limit=10_001, jitter=jitter)
    assert isinstance(decided, TryAgain)
    whole = min(BASE * 2 ** min(tries - 1, 16), CEILING)
    assert whole / 2 <= decided.wait <= whole


@pytest.mark.parametrize(("tries", "again"), [(1, True), (2, True), (3, False), (4, False)])
def test_the_last_try_is_the_last(tries: int, again: bool) -> None:  # noqa: FBT001 -- a column of the table above
    assert isinstance(decide(NotSent("x"), tries=tries, limit=3, jitter=0.5), TryAgain) == again


def test_the_providers_own_wish_is_a_floor() -> None:
    decided = decide(ProviderDown("503", retry_after_s=20), tries=1, limit=3, jitter=0.0)
    assert decided == TryAgain(timedelta(seconds=20))


def test_a_wish_longer_than_a_slot_is_held_gives_up() -> None:
    decided = decide(ProviderDown("503", retry_after_s=61), tries=1, limit=3, jitter=0.0)
    assert isinstance(decided, GiveUp)
    assert "61 s" in decided.why


@pytest.mark.parametrize("wish", [1e15, 1.8e9, 86_401.0])
def test_no_wish_closes_a_lane_for_more_than_a_day(wish: float) -> None:
    assert closure(RateLimited("429", retry_after_s=wish)) == LONGEST_WISH == timedelta(days=1)
    assert isinstance(decide(ProviderDown("503", retry_after_s=wish), tries=1, limit=3, jitter=0.0), GiveUp)


@pytest.mark.parametrize("wish", [float("nan"), float("inf"), float("-inf"), -1.0])
def test_a_wish_that_is_no_number_of_seconds_is_none(wish: float) -> None:
    assert requested_wait(RateLimited("429", retry_after_s=wish)) is None
    assert closure(RateLimited("429", retry_after_s=wish)) == CLOSES_LANE[RateLimited]
    decided = decide(ProviderDown("503", retry_after_s=wish), tries=1, limit=3, jitter=0.0)
    assert decided == TryAgain(timedelta(seconds=0.5))


def test_giving_up_says_why() -> None:
    decided = decide(NotSent("connection refused"), tries=3, limit=3, jitter=0.0)
    assert isinstance(decided, GiveUp)
    assert "connection refused" in decided.why


def test_failures_of_the_account_close_the_lane_and_others_do_not() -> None:
    names = {kind.__name__ for kind in _classes() if closure(kind("x")) is not None}
    assert names == {"RateLimited", "QueueFull", "OutOfMoney", "KeyRefused"}


def test_what_is_about_a_request_or_a_job_never_closes_a_lane() -> None:
    names = {kind.__name__ for kind in _classes() if concerns_lane(kind("x"))}
    assert names == {"NotSent", "RateLimited", "QueueFull", "OutOfMoney", "KeyRefused"}


@pytest.mark.parametrize("kind", sorted(CLOSES_LANE, key=str))
def test_a_closed_lane_opens_by_itself_and_its_failure_may_be_tried_again(kind: type[ProviderError]) -> None:
    assert closure(kind("x")) == CLOSES_LANE[kind]
    assert kind.retryable


def test_a_closure_lasts_as_long_as_the_provider_wishes_and_never_shorter() -> None:
    assert closure(RateLimited("429", retry_after_s=90)) == timedelta(seconds=90)
    assert closure(RateLimited("429", retry_after_s=0.1)) == CLOSES_LANE[RateLimited]
