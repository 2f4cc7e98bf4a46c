"""Counts the tokens of OpenAI's pictures by size and quality, with the formula of OpenAI's own calculator.

Source: PROVIDERS.md 3.3, the guide's calculator, checked against the five figures it publishes for 1024x1024.
"""

import re
from decimal import Decimal
from typing import Final

from domain.errors import BadInput

#: The formula's base by quality word. The words mean less from 2.5 on: its `high` is the older `medium`.
BASES: Final = {
    "gpt-image-2.5": {"low": 16, "medium": 24, "high": 48, "xhigh": 64, "max": 96},
    "gpt-image-2": {"low": 16, "medium": 48, "high": 96},
}
#: What `auto` was measured to be; the service may choose any.
USUAL_QUALITY: Final = "medium"
USUAL_SIZE: Final = "1024x1024"
#: What `auto` chooses among.
AUTO_SIZES: Final = ("1024x1024", "1536x1024", "1024x1536")
#: One reference picture, as input: seen, and twice that to be safe. Source: one project's budget (1500 and 1536).
REFERENCE_TOKENS: Final = 1536
REFERENCE_TOKENS_AT_MOST: Final = 2 * REFERENCE_TOKENS

_MILLION: Final = 1_000_000


def output_tokens(family: str, *, quality: str, width: int, height: int) -> int:
    """Tokens that one picture of `width` x `height` pixels costs.

    Raises:
        BadInput: the family has no such quality, or there are no pixels.
    """
    base = BASES[family].get(quality)
    if base is None:
        raise BadInput(f"quality is {quality!r}; {family} has {', '.join(BASES[family])}")
    if min(width, height) < 1:
        raise BadInput(f"a picture of {width}x{height} pixels can't be made")
    # round() takes an exact half to the even number, as the calculator does.
    shorter = round(base * min(width, height) / max(width, height))
    return -(-base * shorter * (2 * _MILLION + width * height) // (4 * _MILLION))


def pixels(size: str) -> tuple[int, int]:
    """Width and height of a size like `1536x1024`.

    Raises:
        BadInput: not of that form.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size.strip().lower())
    if found is None:
        raise BadInput(f"size is {size!r}; write it like 1024x1024")
    return int(found[1]), int(found[2])


def dollars(tokens: int, *, usd_per_million: Decimal) -> Decimal:
    return tokens * usd_per_million / _MILLION
