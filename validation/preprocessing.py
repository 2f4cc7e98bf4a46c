"""Read a model's preprocessing (size, crop, filter, mean, std) from the files beside its weights.

Needs neither torch nor transformers, so that an I/O worker can make the model's input. Works offline: a model is a
local folder, or in the hub's cache on this machine.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from domain.errors import ModelUnloadable
from domain.ids import sha256

_FILES = ("preprocessor_config.json", "processor_config.json")
_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # PIL.Image.Resampling

# Increase when `validation.pixels` decodes or resizes differently, because scores are then not comparable.
_RECIPE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a picture is converted to the model's input.

    Args:
        size: edge in pixels of the square that the model sees.
        shortest_edge: the shorter side is resized to this and the centre is cropped; None: both sides are resized to
            `size`.
        resample: Pillow's filter, lower case; always antialiased.
        rescale: factor from 0..255 to the range in which `mean` and `std` are given.
        mean: per channel, RGB.
        std: per channel, RGB.
    """

    size: int
    shortest_edge: int | None
    resample: str
    rescale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def digest(self) -> str:
        """Hexadecimal digest over every value that affects pixels."""
        return sha256(json.dumps([_RECIPE, asdict(self)], sort_keys=True).encode())


# Source: preprocessor_config.json of openai/clip-vit-base-patch32, -base-patch16 and -large-patch14, which agree.
CLIP_DEFAULT = Preprocessing(
    size=224,
    shortest_edge=224,
    resample="bicubic",
    rescale=1 / 255,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


def read_preprocessing(model: str) -> Preprocessing:
    """The preprocessing of `model`, a local folder or a name on the hub.

    Read from the folder, or from the hub's cache on this machine. Where there is no such file, CLIP's own values
    are used if they certainly apply: for a folder whose `config.json` says `clip` (with its image size), and for
    OpenAI's published names (336 pixels where the name ends so).

    Raises:
        ModelUnloadable: no such folder, an unreadable file, unsupported values, or a name that is neither in the cache
            nor OpenAI's.
    """
    for name in _FILES:
        content = read_json(model, name)
        if content is not None:
            return parse_preprocessing(content, where=f"{name} of {model!r}")
    config = read_json(model, "config.json")
    if config is not None and config.get("model_type") in {"clip", "clip_vision_model"}:
        size = (config.get("vision_config") or config).get("image_size", CLIP_DEFAULT.size)
        return _clip_at(size)
    if config is None and model.startswith("openai/clip-vit-"):
        return _clip_at(336 if model.endswith("-336") else CLIP_DEFAULT.size)
    raise ModelUnloadable(
        f"how {model!r} wants its pictures is not known on this machine: there is no {_FILES[0]}. "
        f"Give a folder that has one, or fetch it once with `hf download {model} {_FILES[0]} config.json`"
    )


def _clip_at(size: int) -> Preprocessing:
    return replace(CLIP_DEFAULT, size=size, shortest_edge=size)


def read_json(model: str, name: str) -> dict[str, Any] | None:
    """The JSON object in file `name` of `model`; None where there is no such file.

    Raises:
        ModelUnloadable: `model` is a path that does not exist, or the file is not a JSON object.
    """
    path = find_file(model, name)
    if path is None:
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnloadable(f"{str(path)!r} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelUnloadable(f"{str(path)!r} holds no JSON object")
    return content


def find_file(model: str, name: str) -> Path | None:
    """Find file `name` of `model` in its folder or in the hub's cache on this machine; None where it is in neither.

    Raises:
        ModelUnloadable: `model` looks like a path, and there is no such folder.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    if folder.exists():
        raise ModelUnloadable(f"{model!r} is a file; a model is the folder that holds config.json and the weights")
    if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ModelUnloadable(f"there is no folder {model!r}; give the folder that holds config.json and the weights")
    return _cached(model, name)


def _cached(model: str, name: str) -> Path | None:
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:  # a machine without transformers has no hub cache either
        return None
    try:
        found = try_to_load_from_cache(model, name)
    except HFValidationError as error:
        raise ModelUnloadable(f"{model!r} is neither a folder nor a name on the hub: {error}") from error
    return Path(found) if isinstance(found, str) else None


def parse_preprocessing(content: dict[str, Any], *, where: str) -> Preprocessing:
    """Parse a `preprocessor_config.json`, in old or new format, or nested as transformers 5 saves it.

    Raises:
        ModelUnloadable: unsupported: no fixed size, not square, or padded.
    """
    content = content.get("image_processor", content)
    if "max_num_patches" in content:
        raise ModelUnloadable(
            f"{where} asks for pictures of no fixed size (NaFlex); choose a variant of fixed size, "
            "such as google/siglip2-base-patch16-224"
        )
    try:
        return _parsed(content)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelUnloadable(f"{where} cannot be followed: {error!r}") from error


def _parsed(content: dict[str, Any]) -> Preprocessing:
    size = content["size"]
    if isinstance(size, int):
        size = {"shortest_edge": size} if content.get("do_center_crop", True) else {"height": size, "width": size}
    shortest = size.get("shortest_edge")
    if shortest is not None:
        crop = content["crop_size"]
        edge = _square(crop) if isinstance(crop, dict) else int(crop)
        if not content.get("do_center_crop", True) or edge > shortest:
            raise ValueError(f"a shorter side of {shortest} and a crop of {edge} give no square without padding")
    else:
        edge = _square(size)
        if content.get("do_center_crop", False) and content.get("crop_size") not in (
            {"height": edge, "width": edge},
            edge,
        ):
            raise ValueError("resizes to a square and then crops another")
    if not content.get("do_resize", True):
        raise ValueError("takes pictures without resizing them")
    normalise = content.get("do_normalize", True)
    return Preprocessing(
        size=edge,
        shortest_edge=shortest,
        resample=_RESAMPLING[content.get("resample", 3)],
        rescale=float(content.get("rescale_factor", 1 / 255)) if content.get("do_rescale", True) else 1.0,
        mean=_three(content["image_mean"]) if normalise else (0.0, 0.0, 0.0),
        std=_three(content["image_std"]) if normalise else (1.0, 1.0, 1.0),
    )


def _square(size: dict[str, Any]) -> int:
    if size["height"] != size["width"]:
        raise ValueError(f"{size['height']} x {size['width']} is no square")
    return int(size["height"])


def _three(values: list[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
