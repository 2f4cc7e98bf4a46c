"""A size in pixels, as OpenAI's models take it, in the words of a model that takes a ratio and megapixels."""

import re
from collections.abc import Mapping
from math import log
from typing import Final

from providers.catalogue import Model

_PIXELS: Final = re.compile(r"\s*(\d{2,5})\s*[xX×]\s*(\d{2,5})\s*")
_RATIO: Final = re.compile(r"(\d{1,3}):(\d{1,3})")
_MEGAPIXELS: Final = re.compile(r"([\d.]+) MP")
#: 1792x1024 is meant for 16:9, which it misses by 1.6 %.
_NEAR: Final = 0.02


def in_own_words(size: object, model: Model) -> Mapping[str, str]:
    """`aspect_ratio`, and `size` where the model has sizes in megapixels; empty where the size is left as it stands.

    That is where it is not in pixels, the model takes such sizes itself, or has no ratio within 2 %.
    """
    found = _PIXELS.fullmatch(str(size)) if size is not None else None
    if found is None or size in model.sizes or model.any_size:
        return {}
    width, height = int(found[1]), int(found[2])
    ratios = {one: int(part[1]) / int(part[2]) for one in model.aspect_ratios if (part := _RATIO.fullmatch(one))}
    near = min(ratios, key=lambda one: abs(log(ratios[one] * height / width)), default=None)
    if near is None or abs(log(ratios[near] * height / width)) > _NEAR:
        return {}
    pixels = {one: float(part[1]) * 1e6 for one in model.sizes if (part := _MEGAPIXELS.fullmatch(one))}
    if not model.sizes:
        return {"aspect_ratio": near}
    if not pixels:
        return {}
    return {"aspect_ratio": near, "size": min(pixels, key=lambda one: abs(log(pixels[one] / (width * height))))}
