"""Rate limits as Celery writes them, and when to look at a job again."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.rates import per_second, places_within, time_for
from domain.schedule import after_silence, next_look

SECONDS = st.floats(0, 86_400).map(lambda seconds: timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("limit", "rate"),
    [("10/s", 10.0), ("600/m", 10.0), ("36000/h", 10.0), ("5", 5.0), (" 0.5/s ", 0.5), (None, None), ("", None)],
)
def test_rates_are_read_in_celerys_notation(limit: str | None, rate: float | None) -> None:
    assert per_second(limit) == rate


@pytest.mark.parametrize(("limit", "seconds"), [("100/h", 72.0), ("600/m", 0.2), (None, 0.0), ("0", 0.0)])
def test_a_limit_says_how_long_two_submissions_take(limit: str | None, seconds: float) -> None:
    assert time_for(2, limit=limit) == timedelta(seconds=seconds)


@pytest.mark.parametrize("limit", ["0", "0/m", "  "])
def test_zero_means_no_limit(limit: str) -> None:
    assert per_second(limit) is None


@pytest.mark.parametrize("limit", ["ten/s", "10/d", "-1/s", "10/s/s", "/m", "nan/s", "inf", "1e999/s"])
def test_what_is_no_rate_is_refused(limit: str) -> None:
    with pytest.raises(BadInput, match="no rate limit"):
        per_second(limit)


@pytest.mark.parametrize(
    ("limit", "places"), [("60/m", 10), ("6/m", 1), ("1/h", 1), ("100/s", 12), (None, 12), ("0", 12)]
)
def test_a_rate_is_turned_into_places_ahead(limit: str | None, places: int) -> None:
    assert places_within(limit, seconds=10, at_most=12) == places


def test_the_first_look_stands_where_most_jobs_are_done() -> None:
    assert next_look(age=timedelta(0), expected=timedelta(seconds=60), overdue=False) == timedelta(seconds=60)


def test_looks_become_rarer_with_age_and_never_too_rare() -> None:
    expected = timedelta(seconds=60)
    waits = [next_look(age=timedelta(seconds=age), expected=expected, overdue=False) for age in (60, 90, 120, 600)]
    assert waits == [timedelta(seconds=seconds) for seconds in (6, 9, 12, 15)]


def test_an_overdue_job_is_still_looked_at() -> None:
    assert next_look(age=timedelta(days=1), expected=timedelta(seconds=1), overdue=True) == timedelta(seconds=60)


@given(SECONDS, SECONDS, st.booleans())
def test_a_look_is_never_at_once_and_never_before_it_is_expected(
    age: timedelta,
    expected: timedelta,
    overdue: bool,  # noqa: FBT001 -- drawn
) -> None:
    wait = next_look(age=age, expected=expected, overdue=overdue)
    assert wait >= timedelta(milliseconds=200)
    assert overdue or age >= expected or age + wait >= expected


def test_silence_is_answered_with_patience() -> None:
    waits = [after_silence(silences=number).total_seconds() for number in (1, 2, 3, 5, 6, 1000)]
    assert waits == [2, 4, 8, 32, 60, 60]
