"""What one call costs, from the catalogue's price rows: what is expected, and the most it can be.

An unknown price is not zero: without a row that fits, and without a maximum that the caller names, there is
no price and no call.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from domain.errors import BadInput, LimitTooSmall, PriceUnknown
from domain.money import show, usd
from providers import token_prices
from providers.catalogue import Model, PriceRow, TokenRates

#: A reference picture's size is not known here: expected, and assumed to be at most.
INPUT_MP: Final = 1
INPUT_MP_AT_MOST: Final = 4
_BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one call costs.

    Args:
        usd: expected charge.
        at_most_usd: the most it can cost; what is held.
        source: where the figure comes from, and of which day.
    """

    usd: Decimal
    at_most_usd: Decimal
    source: str


def price(
    model: Model,
    settings: Mapping[str, Any],
    *,
    on: date,
    max_image_cost: Decimal | None = None,
    references: int = 0,
    prompt: str = "",
) -> Price:
    """What one call with these settings costs on that day.

    Args:
        max_image_cost: the most that the caller is willing to pay for one call. It stands in for a price that
            is not known, and for one that is only an estimate. Where None, the setting of that name counts.
        references: how many reference pictures go along.
        prompt: the text; models priced by tokens count it.

    Raises:
        PriceUnknown: no price for these settings on that day, and no maximum.
        LimitTooSmall: the call can cost more than the maximum.
        BadInput: a size, a quality or a maximum that cannot be read.
    """
    most = max_image_cost if max_image_cost is not None else _maximum(settings)
    row = _fitting(model, settings, on)
    if most is not None and (row is None or row.estimate):
        return Price(usd=usd(most), at_most_usd=usd(most), source="the maximum that the caller named")
    if row is None:
        raise PriceUnknown(
            f"no price is known for {model.name!r}{_said(model, settings)} on {on};"
            " name the most that one call may cost with --max-image-cost"
        )
    found = _listed(row, model, settings, references=references, prompt=prompt)
    if most is not None and found.at_most_usd > most:
        raise LimitTooSmall(
            f"one call to {model.name!r} can cost {show(found.at_most_usd)} USD,"
            f" more than the {show(most)} USD that --max-image-cost allows"
        )
    return found


def _listed(row: PriceRow, model: Model, settings: Mapping[str, Any], *, references: int, prompt: str) -> Price:
    if row.tokens is not None:
        expected, at_most = _by_tokens(row.tokens, model, settings, references=references, prompt=prompt)
    else:
        expected, at_most = _by_call(row, model, settings, references=references)
    count = _count(model, settings)
    return Price(usd=usd(expected * count), at_most_usd=usd(at_most * count), source=row.source)


def _maximum(settings: Mapping[str, Any]) -> Decimal | None:
    wish = settings.get("max_image_cost")
    if wish is None or wish == "":
        return None
    try:
        found = Decimal(str(wish))
    except InvalidOperation:
        found = Decimal(-1)
    if not found.is_finite() or found <= 0:
        raise BadInput(f"max_image_cost is {wish!r}; it must be an amount of dollars above 0")
    return found


def _wished(model: Model, settings: Mapping[str, Any]) -> dict[str, str]:
    """What a price may depend on: the settings, and the model's defaults where they are silent."""
    wished = {
        "size": settings.get("size") or settings.get("resolution") or model.default_size,
        "quality": settings.get("quality") or model.default_quality,
        "mode": settings.get("mode"),
    }
    return {name: str(value) for name, value in wished.items() if value}


def _said(model: Model, settings: Mapping[str, Any]) -> str:
    wished = _wished(model, settings)
    return f" ({', '.join(f'{name} {value}' for name, value in wished.items())})" if wished else ""


def _fitting(model: Model, settings: Mapping[str, Any], on: date) -> PriceRow | None:
    """The row that holds on the day and fits the settings, the most particular of several."""
    wished = _wished(model, settings)
    fitting = [row for row in model.prices if row.holds_on(on) and row.particulars.items() <= wished.items()]
    return max(fitting, key=lambda row: len(row.particulars), default=None)


def _count(model: Model, settings: Mapping[str, Any]) -> int:
    """How many pictures are asked for, where the price is for one."""
    wish = settings.get("n")
    if wish is None or model.pictures > 1:
        return 1
    if isinstance(wish, bool) or not str(wish).isdecimal() or int(wish) < 1:
        raise BadInput(f"n is {wish!r}; it must be a whole number above 0")
    return int(wish)


def _by_call(row: PriceRow, model: Model, settings: Mapping[str, Any], *, references: int) -> tuple[Decimal, Decimal]:
    base = row.usd or Decimal(0)
    most = row.at_most_usd if row.at_most_usd is not None else base
    if not row.usd_per_output_mp and not row.usd_per_input_mp:
        return base, most
    out = row.usd_per_output_mp * _megapixels(_wished(model, settings).get("size", "1 MP"))
    one = row.usd_per_input_mp * references
    return base + out + one * INPUT_MP, most + out + one * INPUT_MP_AT_MOST


def _megapixels(size: str) -> int:
    """Rounded up, since no service says how it rounds."""
    number, _, unit = size.strip().partition(" ")
    if unit.upper() == "MP":
        try:
            return math.ceil(Decimal(number))
        except InvalidOperation:
            raise BadInput(f"size is {size!r}; write it like '1 MP' or 1024x1024") from None
    width, height = token_prices.pixels(size)
    return -(-width * height // 1_000_000)


def _by_tokens(
    rates: TokenRates, model: Model, settings: Mapping[str, Any], *, references: int, prompt: str
) -> tuple[Decimal, Decimal]:
    wished = _wished(model, settings)
    quality, size = wished.get("quality", "auto"), wished.get("size", "auto")
    all_qualities = token_prices.BASES[rates.family]
    usual = _tokens(rates.family, quality=quality if quality != "auto" else token_prices.USUAL_QUALITY, size=size)
    most = max(
        _tokens(rates.family, quality=one, size=other)
        for one in (all_qualities if quality == "auto" else (quality,))
        for other in (token_prices.AUTO_SIZES if size == "auto" else (size,))
    )
    # No token is shorter than a byte.
    length = len(prompt.encode())
    return (
        token_prices.dollars(usual, usd_per_million=rates.image_out)
        + token_prices.dollars(-(-length // _BYTES_PER_TOKEN), usd_per_million=rates.text_in)
        + token_prices.dollars(references * token_prices.REFERENCE_TOKENS, usd_per_million=rates.image_in),
        token_prices.dollars(most, usd_per_million=rates.image_out)
        + token_prices.dollars(length, usd_per_million=rates.text_in)
        + token_prices.dollars(references * token_prices.REFERENCE_TOKENS_AT_MOST, usd_per_million=rates.image_in),
    )


def _tokens(family: str, *, quality: str, size: str) -> int:
    width, height = token_prices.pixels(token_prices.USUAL_SIZE if size == "auto" else size)
    return token_prices.output_tokens(family, quality=quality, width=width, height=height)
