"""Makes the body of a call to OpenAI's picture models out of settings, by the model's row in the catalogue.

A field that a model does not take is a 400 there, and a word that means another price is money: whatever is not known
is refused here, before anything is sent. Everything that has a price is said, so that no default can change it.

Source: PROVIDERS.md 3.1 and 3.2.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from domain.errors import BadInput, RequestRefused
from providers.catalogue import Model
from providers.contract import Ask
from providers.midjourney.flags import FLAGS
from providers.openai.token_prices import AUTO_SIZES, pixels
from providers.price_options import PriceOptions, chosen, spelt
from providers.prompt_flags import as_settings
from providers.setting_values import UNSENT, Read, is_said, one_of, ratio, whole

#: Edges are multiples of this; no shape is longer than 3:1; nothing is larger than this many pixels.
STEP: Final = 16
LONGEST: Final = 3
MOST_EDGE: Final = 3840
MOST_PIXELS: Final = 3840 * 2160
#: Pictures made for an aspect ratio have about the area of the square, so that they cost no more than it.
_USUAL_PIXELS: Final = 1024 * 1024
_LEAST_SHARE: Final = 0.75

_ASPECT: Final = ("aspect_ratio", "ar")
_FORMAT: Final = ("output_format", "format")
_NEGATIVE: Final = ("negative_prompt", "no")
#: Settings that are for others than the model: the references, the budget, the sizes and words read above.
_READ_ELSEWHERE: Final = frozenset(
    {"references", "cref_urls", "max_image_cost", "size", "quality", "n", *UNSENT, *_ASPECT, *_FORMAT, *_NEGATIVE}
)
#: Wishes that are Midjourney's or another service's, as a batch spread over several has them: left out, and said.
_OF_OTHERS: Final = frozenset(
    {"mode", "timeout", "seed", "resolution", "steps", "guidance", *(flag.name.lstrip("-") for flag in FLAGS)}
).union(*(flag.settings for flag in FLAGS))


#: Further fields that a setting of the same name fills.
_FIELDS: Final[Mapping[str, Read]] = {
    "background": one_of("transparent", "opaque", "auto"),
    "output_compression": whole(0, 100),
    "moderation": one_of("auto", "low"),
}

#: The one model of the time before, retired: it has words of its own, makes PNG alone, and gives an address that dies
#: within the hour unless it is told to send the picture.
_DALL_E_3: Final = "dall-e-3"
_DALL_E_FIELDS: Final[Mapping[str, Read]] = {"style": one_of("vivid", "natural")}
_DALL_E_FIXED: Final = {"response_format": "b64_json"}


def _fields_of(model: Model) -> Mapping[str, Read]:
    return _DALL_E_FIELDS if model.name == _DALL_E_3 else _FIELDS


def body_for(ask: Ask, model: Model) -> dict[str, Any]:
    """The body of a generation, or of an edit where there are references.

    Raises:
        RequestRefused: a setting that the model does not take, or a value that it has not.
    """
    ask, _ = without_flags(ask)
    _refuse_what_would_be_lost(ask, model)
    options = price_options_of(ask.settings, model)
    body: dict[str, Any] = {
        "model": model.name,
        "prompt": ask.prompt,
        "n": 1,
        "size": options.size,
        "quality": options.quality,
    }
    output_format = _said(ask.settings, *_FORMAT)
    if model.name == _DALL_E_3:
        body |= _DALL_E_FIXED
    elif output_format is not None:
        text = str(output_format).strip().lower()
        body["output_format"] = one_of(*model.formats)("output_format", "jpeg" if text == "jpg" else text)
    for name, read in _fields_of(model).items():
        if is_said(ask.settings.get(name)):
            body[name] = read(name, ask.settings[name])
    _check_together(body)
    # An end user's id is all that the wire carries beside the request; a digest, since it is shown to others.
    body["user"] = hashlib.sha256(ask.token.encode()).hexdigest()[:32]
    if ask.reference_urls:
        body["images"] = [{"image_url": url} for url in _references(ask.reference_urls, model)]
    return body


def without_flags(ask: Ask) -> tuple[Ask, Sequence[str]]:
    """The ask with the flags of its prompt among its settings, and what is to be said about them."""
    words, settings, notes = as_settings(ask.prompt, ask.settings, negative=False)
    return replace(ask, prompt=words, settings=settings), notes


def price_options_of(settings: Mapping[str, Any], model: Model) -> PriceOptions:
    """Size and quality as they are sent, the size of an aspect ratio too. Another service's `resolution` is none.

    Raises:
        RequestRefused: a size, a shape or a quality that the model does not have.
    """
    return PriceOptions(size=_size(settings, model), quality=_quality(settings, model))


def left_out(ask: Ask, model: Model) -> list[str]:
    """Names of settings that were meant for another service, and that this model has no field for."""
    others = _OF_OTHERS - _READ_ELSEWHERE - set(_fields_of(model))
    return sorted(name for name, value in ask.settings.items() if name in others and is_said(value))


def _said(settings: Mapping[str, Any], *names: str) -> Any:
    """The value under one of several spellings of a setting; they must not contradict each other."""
    values = {name: settings[name] for name in names if is_said(settings.get(name))}
    if len({str(value) for value in values.values()}) > 1:
        raise RequestRefused(f"{' and '.join(values)} contradict each other; take one of them out")
    return next(iter(values.values()), None)


def _refuse_what_would_be_lost(ask: Ask, model: Model) -> None:
    fields = _fields_of(model)
    known = _READ_ELSEWHERE | _OF_OTHERS | set(fields)
    unknown = sorted(name for name, value in ask.settings.items() if name not in known and is_said(value))
    if unknown:
        takes = ", ".join(sorted({"size", "aspect_ratio", "quality", "output_format", *fields}))
        raise RequestRefused(f"{model.name!r} takes no {', '.join(unknown)}; it takes {takes}")
    negative = _said(ask.settings, *_NEGATIVE)
    if negative is not None:
        raise RequestRefused(
            f"{model.name!r} takes no negative prompt ({negative!r}); say in the prompt what is wanted instead"
        )
    count = ask.settings.get("n")
    if is_said(count) and str(count).strip() != "1":
        raise RequestRefused(f"n is {count!r}; one call makes one picture, so enqueue the prompt several times instead")


def _quality(settings: Mapping[str, Any], model: Model) -> str:
    wish = settings.get("quality")
    return chosen(
        "quality", str(wish if is_said(wish) else model.default_quality), model.qualities, by=repr(model.name)
    )


def _size(settings: Mapping[str, Any], model: Model) -> str:
    size, aspect = settings.get("size"), _said(settings, *_ASPECT)
    if is_said(size) and aspect is not None:
        raise RequestRefused(f"size is {size!r} and aspect_ratio {aspect!r}; take one of them out")
    if aspect is not None:
        return size_of_shape(str(aspect), model)
    text = str(size) if is_said(size) else (model.default_size or "auto")
    if not model.any_size:
        return chosen("size", text, model.sizes, by=repr(model.name))
    return spelt(text, model.sizes) or _checked_pixels(text)


def _checked_pixels(size: str) -> str:
    try:
        width, height = pixels(size)
    except BadInput as failure:
        raise RequestRefused(str(failure)) from failure
    longer, shorter = max(width, height), min(width, height)
    fits = shorter > 0 and width % STEP == 0 and height % STEP == 0 and longer <= LONGEST * shorter
    if not fits or longer > MOST_EDGE or width * height > MOST_PIXELS:
        raise RequestRefused(
            f"size is {size!r}; both edges must be multiples of {STEP}, at most {MOST_EDGE}, the longer at most"
            f" {LONGEST} times the shorter, and the whole at most 3840x2160"
        )
    return f"{width}x{height}"


def size_of_shape(aspect: str, model: Model) -> str:
    """The size for a shape like `3:2`: one that the service names, else the truest of about the square's area.

    Raises:
        RequestRefused: no such shape, or not with this model.
    """
    wide, high = ratio("aspect_ratio", aspect)
    for size in AUTO_SIZES:
        width, height = pixels(size)
        if size in model.sizes and width * high == height * wide:
            return size
    if not model.any_size or max(wide, high) > LONGEST * min(wide, high):
        raise RequestRefused(f"aspect_ratio is {aspect!r}; {model.name!r} has {_shapes(model)}")
    width, height = _truest(wide, high)
    return f"{width}x{height}"


def _shapes(model: Model) -> str:
    return "shapes from 1:3 to 3:1" if model.any_size else "the shapes 1:1, 3:2 and 2:3"


def _truest(wide: int, high: int) -> tuple[int, int]:
    edges = range(STEP, LONGEST * 1024, STEP)
    fitting = (
        (width, height)
        for height in edges
        for width in {max(STEP, round(height * wide / high / STEP) * STEP)}
        if _LEAST_SHARE * _USUAL_PIXELS <= width * height <= _USUAL_PIXELS
        and max(width, height) <= LONGEST * min(width, height)
    )

    def untruth(size: tuple[int, int]) -> tuple[float, int]:
        width, height = size
        return abs(width * high - height * wide) / (height * wide), _USUAL_PIXELS - width * height

    return min(fitting, key=untruth)


def _check_together(body: Mapping[str, Any]) -> None:
    output_format = body.get("output_format", "png")
    if body.get("background") == "transparent" and output_format == "jpeg":
        raise RequestRefused("background is transparent, which a jpeg can't be; take png or webp")
    if "output_compression" in body and output_format == "png":
        raise RequestRefused("output_compression is for jpeg and webp; set output_format, or take it out")


def _references(urls: Sequence[str], model: Model) -> list[str]:
    if model.references is None:
        raise RequestRefused(f"{model.name!r} takes no references; set references to false, or use another model")
    taken = list(urls[: model.references.most])
    for url in taken:
        if not re.match(r"https?://\S|data:image/[a-z]+;base64,", url):
            raise RequestRefused(f"a reference is {url[:80]!r}; it must be an address that starts with https://")
    return taken
