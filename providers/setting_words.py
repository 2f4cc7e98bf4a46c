"""Words of services that are no more, and what stands for them today: one table, and a sentence for each translation.

The successor of a model stands in the catalogue; here are only the words that callers of the former service used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd, log
from typing import Any, Final

from domain.errors import UnknownThing
from providers.catalogue import Catalogue, Model

_RATIO: Final = re.compile(r"[1-9]\d{0,4}:[1-9]\d{0,4}")

#: Each word for a provider, with the model that stood behind it.
FORMER: Final[Mapping[str, str]] = {
    "google-imagen": "google/imagen-4-ultra",
    "imagen": "google/imagen-4-ultra",
    "dall-e": "dall-e-3",
    "dalle": "dall-e-3",
    "openai-dalle": "dall-e-3",
}
#: Shapes by name, as former adapters called them.
SHAPES: Final[Mapping[str, str]] = {
    "square": "1:1",
    "portrait": "3:4",
    "landscape": "4:3",
    "wide": "16:9",
    "tall": "9:16",
    "1024x1024": "1:1",
    "1792x1024": "16:9",
    "1024x1792": "9:16",
}
#: Styles of a former model, as words of a prompt; Midjourney has a flag for the plain one.
STYLES: Final[Mapping[str, str]] = {
    "vivid": "vivid, dramatic, hyper-real",
    "natural": "natural, understated, true to life",
}
#: Qualities of former services: a word among the qualities or the sizes of the model that is asked now.
QUALITIES: Final[Mapping[str, tuple[str, ...]]] = {"standard": ("medium", "1K"), "hd": ("high", "2K")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is asked for in today's words.

    Args:
        takes_negative: whether the model can be told what is not wanted.
        translated: a sentence for each word that was taken for another.
    """

    provider: str
    model: str | None
    takes_negative: bool
    settings: Mapping[str, Any]
    prompt_suffix: str
    translated: tuple[str, ...]


def chosen(catalogue: Catalogue, wanted: Mapping[str, Any], *, negative_prompt: str | None, provider: str) -> Chosen:
    """Today's words for what a request asks for.

    Args:
        wanted: the request's settings.
        provider: where the request names none.

    Raises:
        UnknownThing: a model is named that belongs to nobody.
    """
    said: list[str] = []
    settings = {
        name: value for name, value in wanted.items() if name not in {"provider", "model"} and value is not None
    }
    name = str(wanted.get("provider") or provider).strip()
    model_name = None if wanted.get("model") is None else str(wanted["model"])
    former = FORMER.get(name.lower())
    if former is not None:
        successor = catalogue.get(catalogue.get(former).successor or former)
        said.append(
            f"provider {name!r} is no more: {successor.title} ({successor.name}) by {successor.provider} is asked"
        )
        name, model_name = successor.provider, model_name or successor.name
    model = catalogue.get(model_name) if model_name is not None else _default(catalogue, name)
    settings |= _shape(settings, model, said)
    settings |= _quality(settings, model, said)
    suffix = _style(settings, name, model, said)
    takes_negative = model is None or model.negative_prompt
    if negative_prompt and model is not None and not takes_negative:
        suffix += f" Avoid: {negative_prompt.strip()}."
        said.append(f"{model.title} takes no negative prompt: it was added to the prompt as `Avoid: ...`")
    elif negative_prompt:
        settings["negative_prompt"] = negative_prompt
    return Chosen(
        provider=name,
        model=model_name,
        takes_negative=takes_negative,
        settings={key: value for key, value in settings.items() if value is not None},
        prompt_suffix=suffix,
        translated=tuple(said),
    )


def _default(catalogue: Catalogue, provider: str) -> Model | None:
    try:
        return catalogue.default(provider)
    except UnknownThing:
        return None


def _shape(settings: Mapping[str, Any], model: Model | None, said: list[str]) -> dict[str, Any]:
    """`size` as a former service meant it, a shape, where the model does not have a size of that name."""
    size = settings.get("size")
    if size is None or (model is not None and str(size) in model.sizes):
        return {}
    written = str(size).strip().lower()
    shape = SHAPES.get(written) or (written if _RATIO.fullmatch(written.replace("x", ":")) else None)
    if shape is None:
        return {}
    shape = shape.replace("x", ":")
    return {"size": None, "aspect_ratio": _nearest(shape, model, said, size=size)}


def _nearest(shape: str, model: Model | None, said: list[str], *, size: object) -> str | None:
    """The shape itself where the model takes any, or else the nearest of its own."""
    width, height = map(int, shape.split(":"))
    divisor = gcd(width, height)
    shape = f"{width // divisor}:{height // divisor}"
    own = [] if model is None else [one for one in model.aspect_ratios if _RATIO.fullmatch(one)]
    if model is None or "any" in model.aspect_ratios or shape in own or (not own and model.sizes):
        said.append(f"size {size!r} is the aspect ratio {shape}")
        return shape
    if not own:
        said.append(f"{model.title} has no shape to choose: {size!r} was left out")
        return None
    nearest = min(own, key=lambda one: abs(_log(one) - _log(shape)))
    said.append(f"size {size!r} is the aspect ratio {nearest}, the nearest that {model.title} has to {shape}")
    return nearest


def _log(ratio: str) -> float:
    width, height = map(int, ratio.split(":"))
    return log(width / height)


def _style(settings: dict[str, Any], provider: str, model: Model | None, said: list[str]) -> str:
    """`vivid` and `natural` as words of the prompt, or as Midjourney's flag; taken out of `settings`. The suffix."""
    word = str(settings.get("style", "")).strip().lower()
    if word not in STYLES:
        return ""
    del settings["style"]
    if word == "natural" and (provider in {"ttapi", "sandbox"} or (model is not None and model.provider == "ttapi")):
        settings["style"] = "raw"
        said.append("style 'natural' is Midjourney's --style raw")
        return ""
    said.append(f"style {word!r} was added to the prompt: `{STYLES[word]}`")
    return f" Style: {STYLES[word]}."


def _quality(settings: Mapping[str, Any], model: Model | None, said: list[str]) -> dict[str, Any]:
    """`standard` and `hd` as the model's own quality or size; left out, and said, where it has neither."""
    quality = settings.get("quality")
    words = QUALITIES.get(str(quality).strip().lower())
    if words is None or model is None or str(quality) in model.qualities:
        return {}
    own = next((one for one in words if one in model.qualities), None)
    if own is not None:
        said.append(f"quality {quality!r} is {own!r} at {model.title}")
        return {"quality": own}
    size = next((one for one in words if one in model.sizes), None)
    if size is not None and not (settings.get("size") and str(settings["size"]) in model.sizes):
        said.append(f"quality {quality!r} is the size {size} at {model.title}")
        return {"quality": None, "size": size}
    said.append(f"{model.title} has no quality to choose: {quality!r} was left out")
    return {"quality": None}
