"""Makes the input of a prediction out of settings, with one row for each family of Replicate's models.

A model ignores keys that it does not know, and bills all the same, so none is sent that does not stand in its row.
Which values a key takes is the catalogue's knowledge, as is the name under which a model takes references.

Source: PROVIDERS.md 2.7, version pages and client code of 2026.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from domain.errors import RequestRefused
from providers.catalogue import Model
from providers.contract import Ask
from providers.price_options import PriceOptions, chosen
from providers.prompt_flags import as_settings
from providers.replicate.pixel_sizes import in_own_words
from providers.seeds import seed_of
from providers.setting_values import UNSENT, Read, is_said, number, whole

#: The models' seeds are signed 32-bit integers.
_MOST_SEED: Final = 2**31 - 1


def _text(name: str, value: object) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise RequestRefused(f"{name} is {value!r}; it takes a word")
    return str(value).strip()


def _number(name: str, value: object) -> float:
    return float(number("0")(name, value))


def _switch(name: str, value: object) -> bool:
    said = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(str(value).lower())
    if said is None:
        raise RequestRefused(f"{name} is {value!r}; it takes true or false")
    return said


def _texts(name: str, value: object) -> list[str]:
    parts = value if isinstance(value, list | tuple) else str(value).split()
    return [_text(name, part) for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a family of models can be told beside the prompt and the references.

    Args:
        prompt: whether it takes words; one that finishes a picture takes the picture alone.
        aspect_ratio, size, output_format, quality, seed, count, negative: the key for it, or None where there is none.
        fixed: always sent.
        own: further keys that a setting of the same name fills, and how its value is read.
    """

    prompt: bool = True
    aspect_ratio: str | None = "aspect_ratio"
    size: str | None = None
    output_format: str | None = "output_format"
    quality: str | None = None
    seed: str | None = None
    count: str | None = None
    negative: str | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    own: Mapping[str, Read] = field(default_factory=dict)


_FILTER: Final = {"safety_filter_level": _text}
_TOLERANCE: Final = {"safety_tolerance": whole(0, 6)}
_FLUX_2: Final = {**_TOLERANCE, "output_quality": whole(0, 100)}
_GPT: Final = {"background": _text, "moderation": _text}

_IMAGEN: Final = Inputs(own=_FILTER)
_FLUX_2_SIZED: Final = Inputs(size="resolution", seed="seed", own=_FLUX_2)
_KONTEXT: Final = Inputs(seed="seed", own={**_TOLERANCE, "prompt_upsampling": _switch})
# `auto` would let the model decide how many pictures are made, and paid.
_SEEDREAM: Final = Inputs(size="size", output_format=None, fixed={"sequential_image_generation": "disabled"})
_SD_OWN: Final = {"cfg": _number, "output_quality": whole(0, 100)}
_SD_3: Final = Inputs(seed="seed", negative="negative_prompt", own=_SD_OWN)
_SD_35: Final = Inputs(seed="seed", own={**_SD_OWN, "steps": whole(1, 50)})
_FINISHER: Final = Inputs(prompt=False, aspect_ratio=None, output_format=None)
_GPT_IMAGE: Final = Inputs(quality="quality", count="number_of_images", own=_GPT)

TABLE: Final[Mapping[str, Inputs]] = {
    "google/imagen-4": _IMAGEN,
    "google/imagen-4-fast": _IMAGEN,
    "google/imagen-4-ultra": _IMAGEN,
    "google/nano-banana": Inputs(),
    "google/nano-banana-2": Inputs(size="resolution", own={"google_search": _switch, "image_search": _switch}),
    "google/nano-banana-2.1": Inputs(size="resolution"),
    # The fallback is another model at another price, and the reply does not say that it was used.
    "google/nano-banana-pro": Inputs(size="resolution", fixed={"allow_fallback_model": False}, own=_FILTER),
    "black-forest-labs/flux-2-pro": _FLUX_2_SIZED,
    "black-forest-labs/flux-2-max": _FLUX_2_SIZED,
    "black-forest-labs/flux-2-flex": Inputs(
        size="resolution", seed="seed", own={**_FLUX_2, "guidance": _number, "steps": whole(1, 50)}
    ),
    "black-forest-labs/flux-kontext-pro": _KONTEXT,
    "black-forest-labs/flux-kontext-max": _KONTEXT,
    "bytedance/seedream-4": _SEEDREAM,
    "bytedance/seedream-4.5": _SEEDREAM,
    "bytedance/seedream-5-lite": _SEEDREAM,
    "bytedance/seedream-5-pro": _SEEDREAM,
    "ideogram-ai/ideogram-character": Inputs(
        output_format=None,
        seed="seed",
        own={"magic_prompt_option": _text, "style_type": _text, "rendering_speed": _text},
    ),
    "runwayml/gen4-image": Inputs(size="resolution", output_format=None, seed="seed", own={"reference_tags": _texts}),
    "openai/gpt-image-1.5": Inputs(quality="quality", count="number_of_images", own={**_GPT, "input_fidelity": _text}),
    "stability-ai/stable-diffusion-3": _SD_3,
    "stability-ai/stable-diffusion-3.5-large": _SD_35,
    "stability-ai/stable-diffusion-3.5-medium": _SD_35,
    "stability-ai/stable-diffusion-3.5-large-turbo": Inputs(
        seed="seed", negative="negative_prompt", own={"cfg": _number}
    ),
    "recraft-ai/recraft-crisp-upscale": _FINISHER,
    "recraft-ai/recraft-remove-background": _FINISHER,
    "bria/remove-background": _FINISHER,
    "openai/gpt-image-2": _GPT_IMAGE,
    "openai/gpt-image-2.5-flare": _GPT_IMAGE,
    "openai/gpt-image-2.5-sunburst": _GPT_IMAGE,
}

#: A model whose schema nobody has read is told its prompt, and its references where the catalogue knows how.
PROMPT_ONLY: Final = Inputs(aspect_ratio=None, output_format=None)

#: Settings that say the same thing, the first one's name standing for it.
_SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "aspect_ratio": ("aspect_ratio", "ar"),
    "size": ("size", "resolution"),
    "output_format": ("output_format", "format"),
    "quality": ("quality",),
    "seed": ("seed",),
    "n": ("n",),
}
_NEGATIVE: Final = ("negative_prompt", "no")
#: Settings that are understood here, or are not the model's business: the budget, the job's life time.
_ELSEWHERE: Final = frozenset({"references", "cref_urls", "max_image_cost", "timeout", *UNSENT, *_NEGATIVE}).union(
    *_SPELLINGS.values()
)


def inputs_of(model: Model) -> Inputs:
    return TABLE.get(model.name, PROMPT_ONLY)


def input_for(ask: Ask, model: Model) -> dict[str, Any]:
    """The `input` of a prediction. What has a price is always said, so that no default of the model's can change it.

    Raises:
        RequestRefused: a value that the model does not take, or a wish whose loss would change the picture or its
            price unnoticed: a negative prompt, references, several pictures.
    """
    inputs = inputs_of(model)
    if inputs.prompt:
        ask, _ = without_flags(ask, model)
    wished = _wished(ask.settings, model)
    references = _reference_urls(ask)
    _refuse_what_would_be_lost(ask, model, references, wished)
    words = price_options_of(ask.settings, model)
    said = (
        (inputs.aspect_ratio, _word(inputs.aspect_ratio, wished.get("aspect_ratio"), model.aspect_ratios, model)),
        (inputs.size, words.size),
        (inputs.quality, words.quality),
        (inputs.output_format, _word(inputs.output_format, wished.get("output_format"), model.formats, model)),
    )
    made: dict[str, Any] = ({"prompt": ask.prompt} if inputs.prompt else {}) | dict(inputs.fixed)
    made |= {key: value for key, value in said if key is not None and value is not None}
    if inputs.seed is not None:
        fixed = wished.get("seed")
        made[inputs.seed] = (
            seed_of(ask.attempt_id) & _MOST_SEED if fixed is None else whole(0, _MOST_SEED)("seed", fixed)
        )
    if inputs.count is not None and "n" in wished:
        made[inputs.count] = whole(1, 10)("n", wished["n"])
    not_wanted = next((ask.settings[name] for name in _NEGATIVE if is_said(ask.settings.get(name))), None)
    if inputs.negative is not None and not_wanted is not None:
        made[inputs.negative] = _text(inputs.negative, not_wanted)
    made.update(
        {key: read(key, ask.settings[key]) for key, read in inputs.own.items() if is_said(ask.settings.get(key))}
    )
    return made | _references(references, model)


def without_flags(ask: Ask, model: Model) -> tuple[Ask, Sequence[str]]:
    """The ask with the flags of its prompt among its settings, and what is to be said about them."""
    words, settings, notes = as_settings(ask.prompt, ask.settings, negative=model.negative_prompt)
    return replace(ask, prompt=words, settings=settings), notes


def price_options_of(settings: Mapping[str, Any], model: Model) -> PriceOptions:
    """Size and quality as they are sent; what the model can't be told is what it makes by itself.

    Raises:
        RequestRefused: a word that the model does not have, or two that contradict each other.
    """
    inputs, wished = inputs_of(model), _wished(settings, model)
    return PriceOptions(
        size=_word(inputs.size, wished.get("size"), model.sizes, model) or model.default_size,
        quality=_word(inputs.quality, wished.get("quality"), model.qualities, model) or model.default_quality,
    )


def _reference_urls(ask: Ask) -> list[str]:
    """Those that a person names win over the character's, as everywhere."""
    named = ask.settings.get("cref_urls")
    if named:
        return named.split() if isinstance(named, str) else [str(url) for url in named]
    return [] if ask.settings.get("references") is False else list(ask.reference_urls)


def left_out(ask: Ask, model: Model) -> list[str]:
    """Names of settings that the model has no key for and that are left out: wishes made for another service."""
    inputs = inputs_of(model)
    known = {
        "aspect_ratio": inputs.aspect_ratio,
        "size": inputs.size,
        "output_format": inputs.output_format,
        "quality": inputs.quality,
        "seed": inputs.seed,
    }
    missing = [name for name in _wished(ask.settings, model) if name in known and known[name] is None]
    others = [
        name
        for name, value in ask.settings.items()
        if is_said(value) and value is not False and name not in _ELSEWHERE and name not in inputs.own
    ]
    return sorted({*missing, *others})


def size_notes(ask: Ask, model: Model) -> list[str]:
    """What is said of a size in pixels that the model is asked for in other words."""
    size = ask.settings.get("size")
    own = in_own_words(size, model)
    return [f"size {size} is asked for as {' and '.join(own.values())}, as {model.name!r} takes it"] if own else []


def _wished(settings: Mapping[str, Any], model: Model) -> dict[str, Any]:
    """The settings that have a key at most models, by one name each; a size in pixels in the model's own words."""
    wished: dict[str, Any] = {}
    for name, spellings in _SPELLINGS.items():
        for spelling in spellings:
            value = settings.get(spelling)
            if not is_said(value):
                continue
            if wished.setdefault(name, value) != value:
                raise RequestRefused(f"{spelling} is {value!r}, but {name} is {wished[name]!r}; take one of them out")
    if own := in_own_words(wished.get("size"), model):
        size = wished.pop("size")
        for name, value in own.items():
            if wished.setdefault(name, value) != value:
                raise RequestRefused(f"size is {size!r}, but {name} is {wished[name]!r}; take one of them out")
    return wished


def _refuse_what_would_be_lost(ask: Ask, model: Model, references: Sequence[str], wished: Mapping[str, Any]) -> None:
    for name in _NEGATIVE if inputs_of(model).negative is None else ():
        if is_said(ask.settings.get(name)):
            raise RequestRefused(
                f"{model.name!r} takes no negative prompt ({name} is {ask.settings[name]!r});"
                " say in the prompt what is wanted instead"
            )
    if inputs_of(model).count is None and str(wished.get("n", 1)).strip() != "1":
        raise RequestRefused(f"n is {wished['n']!r}, but {model.name!r} makes one picture a call")
    if references and model.references is None:
        raise RequestRefused(f"{model.name!r} takes no references; set references to false, or use another model")
    if model.references is not None and model.references.required and not references:
        raise RequestRefused(f"{model.name!r} makes nothing without a reference; name a character, or cref_urls")


def _word(key: str | None, value: object, allowed: Sequence[str], model: Model) -> str | None:
    """The value as the catalogue spells it; where the catalogue knows none, the service decides.

    None where there is no key for it, or no wish.
    """
    if key is None or value is None:
        return None
    text = _text(key, value)
    return text if not allowed or "any" in allowed else chosen(key, text, allowed, by=repr(model.name))


def _references(urls: Sequence[str], model: Model) -> dict[str, Any]:
    """A model that takes one reference takes it as text, the best one; all others take a list."""
    if model.references is None or not urls:
        return {}
    taken = list(urls[: model.references.most])
    for url in taken:
        if not re.fullmatch(r"https?://[^\s\"'<>]+|data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", url):
            raise RequestRefused(f"a reference is {url[:80]!r}; it must be an address that starts with https://")
    return {model.references.style: taken if model.references.most > 1 else taken[0]}
