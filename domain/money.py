"""Money is a `Decimal` of US dollars with six places, never a float.

The books are exact to a millionth of a dollar, which is what `NUMERIC(14,6)` stores.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from domain.errors import BadInput

MICRO = Decimal("0.000001")
ZERO = Decimal(0)
#: What a column of the books holds at the most, in whole dollars.
LARGEST = Decimal(99_999_999)


def usd(value: Decimal | int | str) -> Decimal:
    """`value` in dollars, rounded to a millionth, half to even; it must be finite, and at most `LARGEST` either way."""
    return Decimal(value).quantize(MICRO, rounding=ROUND_HALF_EVEN)


def show(value: Decimal | None) -> str | None:
    """`value` as people and JSON read it: at least two places, no trailing zeros after them, no exponent."""
    if value is None:
        return None
    whole, _, places = f"{usd(value):f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def read_limit(text: str, *, what: str) -> Decimal:
    """A limit as a person typed it.

    Raises:
        BadInput: not a number, not finite, zero or negative, or more than the books can hold.
    """
    try:
        value = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise BadInput(f"{what} is {text!r}, which is no amount of dollars; write it like 12.50") from None
    # In this order: what is far too large cannot be rounded, and what rounds to nothing is no limit.
    if not value.is_finite() or not 0 < value <= LARGEST or usd(value) == 0:
        raise BadInput(f"{what} is {text!r}; it must be above 0 and at most {LARGEST} dollars")
    return usd(value)
