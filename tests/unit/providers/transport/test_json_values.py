"""Values under several names and in several types."""

from decimal import Decimal

import pytest

from providers.contract import Reply
from providers.transport import json_values as read
from providers.transport.http_dates import served_at
from providers.transport.retry_after import retry_after_s


def test_the_first_name_with_a_usable_value_wins() -> None:
    assert read.text({"b": "2", "a": "1"}, "a", "b") == "1"
    assert read.text({"a": None, "b": " 2 "}, "a", "b") == "2"
    assert read.text({"a": "  ", "b": 3}, "a", "b") == "3"
    assert read.text({"a": True, "b": [1]}, "a", "b") is None


@pytest.mark.parametrize(("value", "found"), [("2", "2"), (2, "2"), (1.5, "1.5"), ("1e2", "100")])
def test_numbers_come_as_text_too(value: object, found: str) -> None:
    assert read.number({"x": value}, "x") == Decimal(found)


@pytest.mark.parametrize("value", ["", "two", True, None, [], "nan", "inf", float("inf")])
def test_what_is_no_number_is_none(value: object) -> None:
    assert read.number({"x": value}, "x") is None


@pytest.mark.parametrize(("value", "found"), [(7, 7), ("7.0", 7), (7.5, None), (2**63, None), ("1e999999999", None)])
def test_a_whole_number_is_one_that_a_row_can_hold(value: object, found: int | None) -> None:
    assert read.whole({"x": value}, "x") == found


@pytest.mark.parametrize(("value", "found"), [("31%", 31), (99.9, 99), (-1, 0), ("1e50", 100), ("1e999999999", None)])
def test_a_percentage_stays_one(value: object, found: int | None) -> None:
    assert read.percent({"x": value}, "x") == found


def test_rows_may_lie_one_step_deeper() -> None:
    assert read.rows({"data": [{"a": 1}]}, "data") == [{"a": 1}]
    assert read.rows({"data": {"total": 1, "rows": [{"a": 1}]}}, "data") == [{"a": 1}]
    assert read.rows({"data": [1]}, "data") is None
    assert read.rows({"data": {"total": 1}}, "data") is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1795255200, 1795255200.0),
        (1795255200000, 1795255200.0),
        ("2026-11-21T10:00:00Z", 1795255200.0),
        ("2026-11-21T18:00:00+08:00", 1795255200.0),
        ("2026-11-21 10:00:00", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_not_guessed(value: object, seconds: float | None) -> None:
    assert read.unix_time({"t": value}, "t") == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-11-21 10:00:00", 1795255200.0 + 12 * 3600),
        ("2026-11-21T10:00:00Z", None),
        (1795255200, None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_a_time_without_a_zone_is_over_everywhere_half_a_day_later(value: object, seconds: float | None) -> None:
    assert read.latest_unix_time({"t": value}, "t") == seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("Sat, 21 Nov 2026 10:00:00 GMT", 1795255200.0),
        ("Sat, 21 Nov 2026 10:00:00 -0000", 1795255200.0),
        ("soon", None),
    ],
)
def test_a_reply_tells_the_time_of_its_service(written: str, seconds: float | None) -> None:
    assert served_at(Reply(status=200, headers={"date": written}, content=b"")) == seconds
    assert served_at(Reply(status=200, headers={}, content=b"")) is None


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("2.5", 2.5), ("-3", None), ("inf", None), ("nan", None), ("", None)]
)
def test_a_wait_is_finite_and_not_negative(value: str, seconds: float | None) -> None:
    assert retry_after_s(Reply(status=429, headers={"retry-after": value}, content=b"")) == seconds


def test_a_date_in_the_past_is_no_wait() -> None:
    past = {"retry-after": "Sat, 21 Nov 2020 10:00:00 GMT"}
    assert retry_after_s(Reply(status=429, headers=past, content=b"")) == 0
