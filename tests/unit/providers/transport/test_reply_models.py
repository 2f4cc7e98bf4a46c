"""Replies read by models: values under several names and in several types, and none that spoils the others."""

from decimal import Decimal

import pytest

from providers.contract import Reply
from providers.transport.http_dates import served_at
from providers.transport.reply_models import (
    Moment,
    Number,
    Percent,
    ReplyModel,
    Rows,
    Text,
    TextOrTexts,
    Texts,
    Whole,
    latest_unix_time,
    named,
    unix_time,
)
from providers.transport.retry_after import retry_after_s


class Inner(ReplyModel):
    name: Text = None


class Said(ReplyModel):
    text: Text = named("a", "b")
    texts: Texts = ()
    one_or_more: TextOrTexts = ()
    number: Number = None
    whole: Whole = None
    percent: Percent = None
    moment: Moment = None
    rows: Rows = None
    inner: Inner = Inner()


def said(**values: object) -> Said:
    return Said.model_validate(values)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"b": "2", "a": "1"}, "1"),
        ({"a": None, "b": " 2 "}, "2"),
        ({"a": "", "b": 3}, "3"),
        ({"a": True, "b": [1]}, None),
        ({}, None),
    ],
)
def test_the_first_name_that_says_something_wins(values: dict[str, object], found: str | None) -> None:
    assert Said.model_validate(values).text == found


@pytest.mark.parametrize("content", [b"", b"null", b"[1]", b'"text"', b"{", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_object_is_none(content: bytes) -> None:
    assert Said.read(content) is None


def test_one_value_of_no_use_spoils_no_other() -> None:
    found = Said.read(b'{"a": {"x": 1}, "number": [], "rows": "none", "inner": 7, "texts": {}, "whole": "12"}')
    assert found is not None
    assert (found.text, found.number, found.rows, found.inner.name, found.texts, found.whole) == (
        None,
        None,
        None,
        None,
        [],
        12,
    )


def test_an_object_that_says_nothing_is_empty() -> None:
    assert said(inner={"name": None}).inner.is_empty
    assert not said(inner={"other": 0}).inner.is_empty


def test_what_is_kept_for_people_is_kept_as_it_came() -> None:
    assert said(a="2", number="7", more=[None]).excerpt("number", "more", "missing") == {"number": "7", "more": [None]}


def test_a_string_by_itself_is_a_list_of_one_where_that_is_meant() -> None:
    assert said(one_or_more="https://x/1.png").one_or_more == ["https://x/1.png"]
    assert said(texts="https://x/1.png").texts == []
    assert said(texts=["a", " ", 1, " b "]).texts == ["a", "b"]


@pytest.mark.parametrize(("value", "found"), [("2", "2"), (2, "2"), (1.5, "1.5"), ("1e2", "100")])
def test_numbers_come_as_text_too(value: object, found: str) -> None:
    assert said(number=value).number == Decimal(found)


@pytest.mark.parametrize("value", ["", "two", True, None, [], "nan", "inf", float("inf")])
def test_what_is_no_number_is_none(value: object) -> None:
    assert said(number=value).number is None


@pytest.mark.parametrize(("value", "found"), [(7, 7), ("7.0", 7), (7.5, None), (2**63, None), ("1e999999999", None)])
def test_a_whole_number_is_one_that_a_row_can_hold(value: object, found: int | None) -> None:
    assert said(whole=value).whole == found


@pytest.mark.parametrize(("value", "found"), [("31%", 31), (99.9, 99), (-1, 0), ("1e50", 100), ("1e999999999", None)])
def test_a_percentage_stays_one(value: object, found: int | None) -> None:
    assert said(percent=value).percent == found


def test_rows_may_lie_one_step_deeper() -> None:
    assert said(rows=[{"a": 1}]).rows == [{"a": 1}]
    assert said(rows={"total": 1, "rows": [{"a": 1}]}).rows == [{"a": 1}]
    assert said(rows=[1]).rows is None
    assert said(rows={"total": 1}).rows is None


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
    assert unix_time(said(moment=value).moment) == seconds


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
    assert latest_unix_time(said(moment=value).moment) == seconds


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
