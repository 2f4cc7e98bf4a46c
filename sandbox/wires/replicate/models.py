"""The official models that the stand-in plays: what each takes, gives and costs. Data, and the arithmetic of prices.

Sources: model and version pages of replicate.com, read 2026-09; client code of 2026 where no page was readable.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

Property = Mapping[str, Any]
Price = Callable[[Mapping[str, Any]], Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One official model.

    Attributes:
        inputs: its input schema's properties, as OpenAPI has them; a property with `required` must be given.
        reference: the input that takes pictures, "" for none.
        price: dollars for one prediction, by its input; its references are billed when they were fetched.
        usd_per_reference_mp: on top of that, for each started megapixel of each reference.
        many: its output is a list even where it holds one picture.
        count: the input that says how many pictures are made, "" for one.
        gone: what the upstream says since it was shut down, "" for a model that lives.
        draws: how close it comes to its references, 0 to 1, with one of them.
        finishes: what it does to the picture it is given, `upscale` or `background`; "" for one that draws.
    """

    inputs: Mapping[str, Property]
    reference: str
    price: Price
    usd_per_reference_mp: Decimal = Decimal(0)
    many: bool = False
    count: str = ""
    gone: str = ""
    draws: float = 0.8
    finishes: str = ""


def words(*allowed: str, default: str | None = None) -> Property:
    return {"type": "string", "enum": list(allowed)} | ({"default": default} if default is not None else {})


PROMPT: Property = {"type": "string", "title": "Prompt", "required": True}
TEXT: Property = {"type": "string"}
WHOLE: Property = {"type": "integer"}
SEED: Property = {"type": "integer", "nullable": True}
NUMBER: Property = {"type": "number"}
SWITCH: Property = {"type": "boolean", "default": False}
URL: Property = {"type": "string", "format": "uri"}
TEXTS: Property = {"type": "array", "items": {"type": "string"}}


def urls(most: int) -> Property:
    return {"type": "array", "items": {"type": "string", "format": "uri"}, "default": [], "maxItems": most}


def at_most(property_: Property, most: int, *, least: int = 0) -> Property:
    return {**property_, "minimum": least, "maximum": most}


RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
MATCHING = ("match_input_image", *RATIOS)
EXTREME = ("1:4", "1:8", "4:1", "8:1")
FILTER = words("block_low_and_above", "block_medium_and_above", "block_only_high", default="block_only_high")
FORMAT = words("jpg", "png", default="jpg")
TOLERANCE = at_most(WHOLE, 6)


def flat(usd: str) -> Price:
    amount = Decimal(usd)
    return lambda _: amount


def by(key: str, default: str, **prices: str) -> Price:
    """A price for each value of one input, times the number of pictures; `_` in front stands for a leading digit."""
    table = {value.removeprefix("_"): Decimal(usd) for value, usd in prices.items()}
    return lambda given: table[str(given.get(key, default))] * int(given.get("number_of_images", 1))


def megapixels(run: str, each: str) -> Price:
    """Per run and per started megapixel of output."""

    def price(given: Mapping[str, Any]) -> Decimal:
        out = math.ceil(Decimal(str(given.get("resolution", "1 MP")).partition(" ")[0]))
        return Decimal(run) + Decimal(each) * out

    return price


def imagen(usd: str) -> Model:
    return Model(
        inputs={
            "prompt": PROMPT,
            "aspect_ratio": words("1:1", "9:16", "16:9", "3:4", "4:3", default="1:1"),
            "safety_filter_level": FILTER,
            "output_format": FORMAT,
        },
        reference="",
        price=flat(usd),
        gone="404 NOT_FOUND: this model is no longer available, see the migration guide",
    )


def banana(price: Price, *, ratios: tuple[str, ...] = MATCHING, gone: str = "", **more: Property) -> Model:
    return Model(
        inputs={
            "prompt": PROMPT,
            "image_input": urls(14),
            "aspect_ratio": words(*ratios, default="match_input_image"),
            "output_format": FORMAT,
            **more,
        },
        reference="image_input",
        price=price,
        gone=gone,
        draws=0.9,
    )


def flux_2(run: str, each_mp: str, **more: Property) -> Model:
    """A megapixel costs the same, whether it comes or goes."""
    return Model(
        inputs={
            "prompt": PROMPT,
            "input_images": urls(8),
            "aspect_ratio": words(*MATCHING[:-1], default="1:1"),
            "resolution": words("0.5 MP", "1 MP", "2 MP", "4 MP", default="1 MP"),
            "safety_tolerance": TOLERANCE,
            "output_format": words("jpg", "png", "webp", default="jpg"),
            "output_quality": at_most(WHOLE, 100),
            "seed": SEED,
            **more,
        },
        reference="input_images",
        price=megapixels(run, each_mp),
        usd_per_reference_mp=Decimal(each_mp),
    )


def kontext(usd: str) -> Model:
    return Model(
        inputs={
            "prompt": PROMPT,
            "input_image": URL,
            "aspect_ratio": words(*MATCHING, default="match_input_image"),
            "output_format": words("jpg", "png", default="png"),
            "seed": SEED,
            "safety_tolerance": TOLERANCE,
            "prompt_upsampling": SWITCH,
        },
        reference="input_image",
        price=flat(usd),
    )


def seedream(usd: str) -> Model:
    return Model(
        inputs={
            "prompt": PROMPT,
            "image_input": urls(10),
            "size": TEXT,
            "aspect_ratio": words(*MATCHING, default="match_input_image"),
            "sequential_image_generation": words("disabled", "auto", default="disabled"),
            "max_images": at_most(WHOLE, 15, least=1),
        },
        reference="image_input",
        price=flat(usd),
        many=True,
    )


def gpt_image(price: Price, *, qualities: tuple[str, ...], **more: Property) -> Model:
    return Model(
        inputs={
            "prompt": PROMPT,
            "input_images": urls(16),
            "aspect_ratio": words("1:1", "3:2", "2:3", default="1:1"),
            "quality": words(*qualities, default=qualities[-1]),
            "background": words("auto", "transparent", "opaque", default="auto"),
            "output_format": words("png", "jpeg", "webp", default="webp"),
            "moderation": words("auto", "low", default="auto"),
            "number_of_images": at_most(WHOLE, 10, least=1),
            **more,
        },
        reference="input_images",
        price=price,
        many=True,
        count="number_of_images",
    )


def diffusion(usd: str, *, many: bool = True, **more: Property) -> Model:
    """Stable Diffusion; its `image` is a picture to start from."""
    return Model(
        inputs={
            "prompt": PROMPT,
            "aspect_ratio": words(
                "1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21", default="1:1"
            ),
            "cfg": at_most(NUMBER, 20),
            "image": URL,
            "prompt_strength": at_most(NUMBER, 1),
            "seed": SEED,
            "output_format": words("webp", "jpg", "png", default="webp"),
            **more,
        },
        reference="image",
        price=flat(usd),
        many=many,
        draws=0.5,
    )


def finisher(usd: str, finishes: str) -> Model:
    """Takes one picture and no words."""
    return Model(inputs={"image": {**URL, "required": True}}, reference="image", price=flat(usd), finishes=finishes)


RESOLUTION = words("1K", "2K", "4K", default="1K")
UPSTREAM_GONE = "404 NOT_FOUND: the upstream model was shut down and is no longer available"
GPT_QUALITIES = ("low", "medium", "high", "auto")

MODELS: Mapping[str, Model] = {
    "google/imagen-4-ultra": imagen("0.06"),
    "google/imagen-4": imagen("0.04"),
    "google/imagen-4-fast": imagen("0.02"),
    "google/nano-banana-pro": banana(
        by("resolution", "2K", _1K="0.15", _2K="0.15", _4K="0.30"),
        resolution=words("1K", "2K", "4K", default="2K"),
        safety_filter_level=FILTER,
        allow_fallback_model=SWITCH,
    ),
    "google/nano-banana-2.1": banana(
        by("resolution", "1K", _1K="0.0336", _2K="0.0504", _4K="0.151"), resolution=RESOLUTION
    ),
    "google/nano-banana-2": banana(
        by("resolution", "1K", _1K="0.067", _2K="0.101", _4K="0.151"),
        ratios=(*MATCHING, *EXTREME),
        gone=UPSTREAM_GONE,
        resolution=RESOLUTION,
        google_search=SWITCH,
        image_search=SWITCH,
    ),
    "google/nano-banana": banana(flat("0.039"), gone=UPSTREAM_GONE),
    "black-forest-labs/flux-2-pro": flux_2("0.015", "0.015"),
    "black-forest-labs/flux-2-max": flux_2("0.04", "0.03"),
    "black-forest-labs/flux-2-flex": flux_2("0", "0.06", guidance=NUMBER, steps=at_most(WHOLE, 50, least=1)),
    "black-forest-labs/flux-kontext-pro": kontext("0.04"),
    "black-forest-labs/flux-kontext-max": kontext("0.08"),
    "bytedance/seedream-4.5": seedream("0.04"),
    "bytedance/seedream-5-lite": seedream("0.035"),
    "ideogram-ai/ideogram-character": Model(
        inputs={
            "prompt": PROMPT,
            "character_reference_image": {**URL, "required": True},
            "aspect_ratio": words(*RATIOS, default="1:1"),
            "magic_prompt_option": words("Auto", "On", "Off", default="Auto"),
            "style_type": TEXT,
            "rendering_speed": TEXT,
            "seed": SEED,
        },
        reference="character_reference_image",
        # Not read anywhere: the balanced price of ideogram-v3.
        price=flat("0.06"),
        draws=0.95,
    ),
    "runwayml/gen4-image": Model(
        inputs={
            "prompt": PROMPT,
            "reference_images": urls(3),
            "reference_tags": TEXTS,
            "aspect_ratio": words("16:9", "9:16", "4:3", "3:4", "1:1", "21:9", default="16:9"),
            "resolution": words("720p", "1080p", default="1080p"),
            "seed": SEED,
        },
        reference="reference_images",
        # Runway's own prices; Replicate's were not readable.
        price=by("resolution", "1080p", _720p="0.05", _1080p="0.08"),
    ),
    "stability-ai/stable-diffusion-3": diffusion("0.035", negative_prompt=TEXT, output_quality=at_most(WHOLE, 100)),
    "stability-ai/stable-diffusion-3.5-large": diffusion(
        "0.065", steps=at_most(WHOLE, 50, least=1), output_quality=at_most(WHOLE, 100)
    ),
    "stability-ai/stable-diffusion-3.5-medium": diffusion(
        "0.035", steps=at_most(WHOLE, 50, least=1), output_quality=at_most(WHOLE, 100)
    ),
    "stability-ai/stable-diffusion-3.5-large-turbo": diffusion("0.04", many=False, negative_prompt=TEXT),
    "recraft-ai/recraft-crisp-upscale": finisher("0.006", "upscale"),
    "recraft-ai/recraft-remove-background": finisher("0.01", "background"),
    "bria/remove-background": finisher("0.018", "background"),
    "openai/gpt-image-2": gpt_image(
        by("quality", "auto", low="0.012", medium="0.047", high="0.128", auto="0.128"), qualities=GPT_QUALITIES
    ),
    "openai/gpt-image-1.5": gpt_image(
        by("quality", "high", low="0.013", medium="0.05", high="0.136"),
        qualities=GPT_QUALITIES[:3],
        input_fidelity=words("low", "high", default="low"),
    ),
}
