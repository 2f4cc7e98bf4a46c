"""Money is a `Decimal` of US dollars with six places, never a float.

The books are exact to a millionth of a dollar, which is what `NUMERIC(14,6)` stores.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from domain.errors import BadInput

MICRO = Decimal("0.000001")
ZERO = Decimal(0)
#: The largest amount that a money column holds, in whole dollars.
LARGEST = Decimal(99_999_999)


def usd(value: Decimal | int | str) -> Decimal:
    """`value` in dollars, rounded to a millionth, half to even; it must be finite, and at most `LARGEST` either way."""
    return Decimal(value).quantize(MICRO, rounding=ROUND_HALF_EVEN)


def show(value: Decimal | None) -> str | None:
    """Format `value` for users and JSON: at least two places, no further trailing zeros, no exponent."""
    if value is None:
        return None
    whole, _, places = f"{usd(value):f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def read_limit(text: str, *, what: str) -> Decimal:
    """Parse a limit that a user typed.

    Raises:
        BadInput: not a number, not finite, zero or negative, or more than the books can hold.
    """
    try:
        value = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        raise BadInput(f"{what} is {text!r}, which is no amount of dollars; write it like 12.50") from None
    # In this order: a value that is far too large cannot be rounded, and one that rounds to 0 is no limit.
    if not value.is_finite() or not 0 < value <= LARGEST or usd(value) == 0:
        raise BadInput(f"{what} is {text!r}; it must be above 0 and at most {LARGEST} dollars")
    return usd(value)


def limit_of(value: Decimal | float | str | None, *, what: str) -> Decimal | None:
    """The limit that a script gives; None for none.

    Raises:
        BadInput: as `read_limit`.
    """
    return None if value is None else read_limit(str(value), what=what)
