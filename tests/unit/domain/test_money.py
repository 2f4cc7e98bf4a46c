"""Money is exact, and read and shown as people write it."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.money import read_limit, show, usd

AMOUNTS = st.decimals(min_value=-99_999_999, max_value=99_999_999, places=6)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [("0.0000005", "0.000000"), ("0.0000015", "0.000002"), ("0.0000025", "0.000002"), ("1", "1.000000"), (2, "2")],
)
def test_amounts_are_rounded_to_a_millionth_half_to_even(value: str | int, rounded: str) -> None:
    assert usd(value) == Decimal(rounded)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0", "0.00"),
        ("0.4", "0.40"),
        ("12.345678", "12.345678"),
        ("1E+3", "1000.00"),
        ("0.1000", "0.10"),
        ("-1", "-1.00"),
    ],
)
def test_amounts_are_shown_with_at_least_two_places_and_no_exponent(value: str, shown: str) -> None:
    assert show(Decimal(value)) == shown


def test_no_amount_is_shown_as_none() -> None:
    assert show(None) is None


@given(AMOUNTS)
def test_what_is_shown_is_what_is_booked(amount: Decimal) -> None:
    shown = show(amount)
    assert shown is not None
    assert Decimal(shown) == usd(amount)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("5", "5"), ("$12.50", "12.5"), (" 0.000001 ", "0.000001"), ("1e2", "100"), ("99999999", "99999999")],
)
def test_a_limit_is_read_as_a_person_writes_it(text: str, limit: str) -> None:
    assert read_limit(text, what="--max-cost") == Decimal(limit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "five",
        "0",
        "-1",
        "nan",
        "inf",
        "sNaN",
        "100000000",
        "0.0000001",
        "-1e999999",
        "5 USD",
        "1,000",
        "99999999.9999999",
    ],
)
def test_what_is_no_limit_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(BadInput, match="--max-cost"):
        read_limit(text, what="--max-cost")


@given(st.text(max_size=20))
def test_a_limit_that_is_accepted_is_one_the_books_can_hold(text: str) -> None:
    try:
        limit = read_limit(text, what="x")
    except BadInput:
        return
    assert 0 < limit <= 99_999_999
    assert limit == usd(limit)
