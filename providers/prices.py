"""Prices one call from the catalogue's rows: what is expected, and the most that it can be.

An unknown price is not zero: for a model without a price, and without a maximum that the caller names, there is no
call. What is priced is what is sent (`providers.price_options`), read by the wire that sends it.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from domain.errors import BadInput, LimitTooSmall, PriceUnknown, RequestRefused
from domain.money import LARGEST, read_limit, show, usd
from providers.catalogue import Model, PriceRow, TokenRates
from providers.openai import body, token_prices
from providers.price_options import PriceOptions
from providers.prompt_flags import as_settings
from providers.replicate import inputs
from providers.ttapi import modes

#: Who writes the body of a model's calls, by the model's own provider; stand-ins speak its wire.
_OPTIONS_OF: Final[Mapping[str, Callable[[Mapping[str, Any], Model], PriceOptions]]] = {
    "ttapi": modes.price_options_of,
    "replicate": inputs.price_options_of,
    "openai": body.price_options_of,
}

#: Whose models have no flags, so that those in a prompt become settings. At TTAPI no flag has a price.
_READ_FLAGS: Final = frozenset({"replicate", "openai"})

#: A reference whose size nobody knows: expected as one megapixel, and held as four, the largest picture that the models
#: priced by megapixels make themselves. A larger one is found before it is sent, where it can be measured.
INPUT_MP: Final = 1
INPUT_MP_AT_MOST: Final = 4
PIXELS_AT_MOST: Final = INPUT_MP_AT_MOST * 1_000_000
#: A model's own megapixel may be 1024 x 1024. Source: PROVIDERS.md 2.6, no service says how it rounds.
_MOST_PIXELS_PER_MP: Final = 1024 * 1024
_BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one call costs.

    Args:
        usd: expected charge.
        at_most_usd: the most it can cost; what is held.
        source: where the figure comes from, and of which day.
        estimate: a figure of ours, which the service's own word replaces, or what the caller named.
        row: of the catalogue; None for a maximum that the caller named.
    """

    usd: Decimal
    at_most_usd: Decimal
    source: str
    estimate: bool = False
    row: PriceRow | None = None


def price(
    model: Model,
    settings: Mapping[str, Any],
    *,
    on: date,
    max_image_cost: Decimal | None = None,
    references: Sequence[int | None] = (),
    prompt: str = "",
) -> Price:
    """What one call with these settings costs on that day.

    Args:
        max_image_cost: the most that the caller is willing to pay for one call. It stands in for a price that
            nobody knows, and for one that is only an estimate; never for one that these settings do not have. Where
            None, the setting of that name counts.
        references: pixels of each reference picture that goes along, None where nobody has measured it.
        prompt: the text; models priced by tokens count it.

    Raises:
        PriceUnknown: the model has no price on that day, and there is no maximum.
        LimitTooSmall: the call can cost more than the maximum.
        BadInput: a size, a quality or a mode that the model does not have or has no price for, or a maximum that
            cannot be read.
    """
    most = max_image_cost if max_image_cost is not None else _maximum(settings)
    found = listed(model, settings, on=on, references=references, prompt=prompt)
    if most is not None and (found is None or found.estimate):
        return Price(usd=usd(most), at_most_usd=usd(most), source="the maximum that the caller named", estimate=True)
    if found is None:
        raise PriceUnknown(
            f"no price is known for {model.name!r} on {on}; name the most that one call may cost with --max-image-cost"
        )
    if most is not None and found.at_most_usd > most:
        raise LimitTooSmall(
            f"one call to {model.name!r} can cost {show(found.at_most_usd)} USD,"
            f" more than the {show(most)} USD that --max-image-cost allows"
        )
    return found


def listed(
    model: Model, settings: Mapping[str, Any], *, on: date, references: Sequence[int | None] = (), prompt: str = ""
) -> Price | None:
    """What the catalogue says, whatever maximum the caller names; None for a model without a price on that day.

    Raises:
        BadInput: as `price`.
    """
    rows = [row for row in model.prices if row.holds_on(on)]
    if not rows:
        return None
    prompt, settings = as_read(model, prompt, settings)
    options = _options(model, settings)
    row = _fitting(rows, model, options)
    if row.tokens is not None:
        expected, at_most = _by_tokens(row.tokens, options, references=len(references), prompt=prompt)
    else:
        expected, at_most = _by_call(row, options, references=references)
    count = _count(model, settings)
    if at_most * count > LARGEST:
        raise BadInput(f"{count} pictures of {model.name!r} in one call would cost more than the books can hold")
    return Price(
        usd=usd(expected * count), at_most_usd=usd(at_most * count), source=row.source, estimate=row.estimate, row=row
    )


def as_read(model: Model, prompt: str, settings: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The words and the settings that the model is told: flags in the prompt may change what a call costs.

    Raises:
        BadInput: the prompt says what the settings contradict, or what its flag does not take.
    """
    if model.provider not in _READ_FLAGS or not prompt:
        return prompt, settings
    try:
        words, wished, _ = as_settings(prompt, settings, negative=model.negative_prompt)
    except RequestRefused as failure:
        raise BadInput(str(failure)) from failure
    return words, wished


def by_reference_size(model: Model, *, on: date) -> bool:
    """Whether a call costs more the larger its references are."""
    return any(row.usd_per_input_mp > 0 for row in model.prices if row.holds_on(on))


def _maximum(settings: Mapping[str, Any]) -> Decimal | None:
    wish = settings.get("max_image_cost")
    if wish is None or wish == "":
        return None
    return read_limit(str(wish), what="max_image_cost")


def _options(model: Model, settings: Mapping[str, Any]) -> PriceOptions:
    try:
        return _OPTIONS_OF[model.provider](settings, model)
    except RequestRefused as failure:
        raise BadInput(str(failure)) from failure


def _fitting(rows: Sequence[PriceRow], model: Model, options: PriceOptions) -> PriceRow:
    """The row that fits what is asked for, the most particular of several.

    Raises:
        BadInput: none does. A price that is not in the catalogue is not guessed, and no maximum stands in for it.
    """
    fitting = [row for row in rows if row.particulars.items() <= options.named.items()]
    if not fitting:
        said = ", ".join(f"{name} {value}" for name, value in options.named.items()) or "these settings"
        raise BadInput(f"{model.name!r} has no price for {said}; it has prices for {_priced(rows)}")
    return max(fitting, key=lambda row: len(row.particulars))


def _priced(rows: Sequence[PriceRow]) -> str:
    return "; ".join(", ".join(f"{name} {value}" for name, value in row.particulars.items()) for row in rows)


def _count(model: Model, settings: Mapping[str, Any]) -> int:
    """How many pictures are asked for, where the price is for one."""
    wish = settings.get("n")
    if wish is None or wish == "" or model.pictures > 1:
        return 1
    if isinstance(wish, bool) or not re.fullmatch(r"0*[1-9]\d{0,8}", str(wish), re.ASCII):
        raise BadInput(f"n is {wish!r}; it must be a whole number above 0")
    return int(wish)


def _by_call(row: PriceRow, options: PriceOptions, *, references: Sequence[int | None]) -> tuple[Decimal, Decimal]:
    base = row.usd or Decimal(0)
    most = row.at_most_usd if row.at_most_usd is not None else base
    if not row.usd_per_output_mp and not row.usd_per_input_mp:
        return base, most
    size = options.size or "1 MP"
    return (
        base
        + row.usd_per_output_mp * _output_mp(size, pixels_per_mp=1_000_000)
        + row.usd_per_input_mp * _input_mp(references, unknown=INPUT_MP),
        most
        + row.usd_per_output_mp * _output_mp(size, pixels_per_mp=_MOST_PIXELS_PER_MP)
        + row.usd_per_input_mp * _input_mp(references, unknown=INPUT_MP_AT_MOST),
    )


def _input_mp(references: Sequence[int | None], *, unknown: int) -> int:
    return sum(unknown if pixels is None else _started_mp(pixels) for pixels in references)


def _output_mp(size: str, *, pixels_per_mp: int) -> int:
    number, _, unit = size.partition(" ")
    if unit == "MP":
        return _started_mp(Decimal(number) * pixels_per_mp)
    width, height = token_prices.pixels(size)
    return _started_mp(width * height)


def _started_mp(pixels: Decimal | int) -> int:
    """Rounded up, each picture by itself: no service says how it rounds."""
    return math.ceil(Decimal(pixels) / 1_000_000)


def _by_tokens(rates: TokenRates, options: PriceOptions, *, references: int, prompt: str) -> tuple[Decimal, Decimal]:
    quality, size = options.quality or "auto", options.size or "auto"
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
