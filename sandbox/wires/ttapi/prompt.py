"""Midjourney's prompt language as TTAPI reads it: text, image addresses in front, flags behind.

Pure: a prompt goes in, what is to be drawn comes out, or the message its job will fail with.
Source of the flags and their ranges: public digests of Midjourney's documentation, May and June 2026.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.moderation import Stage, objections

DEFAULT_VERSION = "7"  # since 2025-06-17
VERSIONS = frozenset({"5", "5.0", "5.1", "5.2", "6", "6.0", "6.1", "7", "7.0", "8", "8.0", "8.1"})
NIJI_VERSIONS = frozenset({"5", "6", "7"})
MAX_SEED = 4_294_967_295

FULL_WEIGHT_OW = 400  # the highest omni weight that is advised; more does not come closer
DEFAULT_OW = 100
DEFAULT_OW_LIKENESS = 0.75
MAX_CW = 100
IMAGE_PROMPT_LIKENESS = 0.25  # of one image in front of the prompt, times --iw


class IllegalPrompt(ValueError):
    """The prompt fails as a job; the message is the one TTAPI gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a prompt asks for.

    Attributes:
        text: without addresses, flags and what is not to be seen.
        references: addresses of the pictures whose likeness is wanted.
        also_reachable: addresses that must answer too (style references).
        weight: how close the likeness is wanted, 0 to 1.
        aspect: width by height.
    """

    text: str
    references: Sequence[str]
    also_reachable: Sequence[str]
    weight: float
    seed: int | None
    aspect: tuple[int, int]


def read_prompt(prompt: str) -> Wish:
    """Raises `IllegalPrompt` with the message of the failed job."""
    if words := objections(prompt, frozenset({Stage.PROMPT})):
        raise IllegalPrompt(f"[Banned prompt detected] {', '.join(words)}")
    if objections(prompt, frozenset({Stage.PICTURE})):
        raise IllegalPrompt("[Image denied] The image was denied by a filter.")
    images, text, flags = _split(prompt)
    if not text and not images:
        raise IllegalPrompt("[Invalid prompt] There is nothing before the flags.")
    _check_together(flags)
    references, weight = _references(images, flags)
    return Wish(
        text=text,
        references=references,
        also_reachable=[url for url in flags.get("sref", []) if _is_url(url)],
        weight=weight,
        seed=flags.get("seed"),
        aspect=flags.get("ar", (1, 1)),
    )


def as_read(prompt: str) -> str:
    """Long dashes, and full-width signs behind the first, as the two hyphens for which Midjourney takes them."""
    found = re.search(r"(?:(?<=\s)|(?<=[。，,.!?\u200b]))(?:[–—―]+|--|－－)(?=[A-Za-z])", prompt)
    if found is None:
        return prompt
    behind = prompt[found.start() :].replace("－", "-").replace("：", ":").replace("\u200b", "")
    behind = re.sub(r"(?<!\S)[–—―]+(?=[A-Za-z])", "--", behind)
    return f"{prompt[: found.start()]} {behind}"


def jobs_in(prompt: str) -> int:
    """How many paid jobs the prompt makes: permutations in braces, and `--repeat`."""
    count = 1
    while found := re.search(r"\{([^{}]*)\}", prompt):
        count *= found[1].count(",") + 1
        prompt = prompt[: found.start()] + prompt[found.end() :]
    repeats = re.search(r"(?<=\s)--(?:repeat|r) (\d{1,2})(?=\s|$)", prompt)
    return count * (int(repeats[1]) if repeats else 1)


def _split(prompt: str) -> tuple[list[str], str, dict[str, Any]]:
    tokens = as_read(prompt).split()
    images: list[str] = []
    while tokens and _is_url(tokens[0]):
        images.append(tokens.pop(0))
    first_flag = next((index for index, token in enumerate(tokens) if token.startswith("--")), len(tokens))
    flags: dict[str, Any] = {}
    rest = tokens[first_flag:]
    while rest:
        name = rest.pop(0)
        end = next((index for index, token in enumerate(rest) if token.startswith("--")), len(rest))
        canonical = ALIASES.get(name[2:], name[2:])
        flags[canonical] = _read_flag(name, canonical, rest[:end])
        rest = rest[end:]
    return images, " ".join(tokens[:first_flag]), flags


def _read_flag(name: str, canonical: str, values: list[str]) -> object:
    reader = FLAGS.get(canonical)
    if reader is None:
        raise IllegalPrompt(f"[Invalid parameter] Unrecognized parameter: {name}")
    try:
        return reader(values)
    except ValueError as error:
        shown = " ".join([name, *values])
        raise IllegalPrompt(f"[Invalid parameter] {shown}: {error}") from error


def _check_together(flags: Mapping[str, Any]) -> None:
    niji, version = flags.get("niji"), flags.get("v", DEFAULT_VERSION)
    if niji is not None and "v" in flags:
        raise IllegalPrompt("[Invalid parameter] --niji and --v exclude each other")
    six = niji == "6" if niji is not None else version.startswith("6")
    seven = niji is None and version.startswith("7")
    model = f"--niji {niji}" if niji is not None else f"--v {version}"
    for name, fits in (("cref", six), ("cw", six), ("oref", seven), ("ow", seven)):
        if name in flags and not fits:
            raise IllegalPrompt(f"[Invalid parameter] --{name} is not compatible with {model}")


def _references(images: list[str], flags: Mapping[str, Any]) -> tuple[list[str], float]:
    if "cref" in flags:
        return flags["cref"], flags.get("cw", MAX_CW) / MAX_CW
    if "oref" in flags:
        return flags["oref"], omni_likeness(flags.get("ow", DEFAULT_OW))
    return images, min(1.0, IMAGE_PROMPT_LIKENESS * float(flags.get("iw", 1))) if images else 0.0


def omni_likeness(weight: int) -> float:
    """`--ow` as a likeness of 0 to 1: straight to 0.75 at the default of 100, then straight to 1 at 400."""
    if weight <= DEFAULT_OW:
        return DEFAULT_OW_LIKENESS * weight / DEFAULT_OW
    beyond = (weight - DEFAULT_OW) / (FULL_WEIGHT_OW - DEFAULT_OW)
    return min(1.0, DEFAULT_OW_LIKENESS + (1 - DEFAULT_OW_LIKENESS) * beyond)


def _is_url(token: str) -> bool:
    return token.startswith(("http://", "https://"))


def _one(values: list[str]) -> str:
    if len(values) != 1:
        raise ValueError(f"takes one value, not {len(values)}")
    return values[0]


def _number(low: float, high: float) -> Callable[[list[str]], float]:
    def read(values: list[str]) -> float:
        number = float(_one(values))
        if not low <= number <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return number

    return read


def _integer(low: int, high: int) -> Callable[[list[str]], int]:
    def read(values: list[str]) -> int:
        number = int(_one(values))
        if not low <= number <= high:
            raise ValueError(f"must be from {low} to {high}")
        return number

    return read


def _choice(allowed: frozenset[str]) -> Callable[[list[str]], str]:
    def read(values: list[str]) -> str:
        value = _one(values)
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(sorted(allowed))}")
        return value

    return read


def _ratio(values: list[str]) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", _one(values))
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError("must be width:height in whole numbers")
    return int(match[1]), int(match[2])


def _urls(most: int) -> Callable[[list[str]], list[str]]:
    def read(values: list[str]) -> list[str]:
        if not 1 <= len(values) <= most or not all(_is_url(value) for value in values):
            raise ValueError(f"takes 1 to {most} addresses")
        return values

    return read


def _some(values: list[str]) -> list[str]:
    if not values:
        raise ValueError("takes a value")
    return values


def _none(values: list[str]) -> bool:
    if values:
        raise ValueError("takes no value")
    return True


def _any(values: list[str]) -> list[str]:
    return values


ALIASES = {
    "aspect": "ar",
    "version": "v",
    "c": "chaos",
    "s": "stylize",
    "w": "weird",
    "q": "quality",
    "p": "profile",
    "r": "repeat",
}

FLAGS: Mapping[str, Callable[[list[str]], Any]] = {
    "ar": _ratio,
    "v": _choice(VERSIONS),
    "niji": _choice(NIJI_VERSIONS),
    "cref": _urls(16),
    "cw": _integer(0, MAX_CW),
    "oref": _urls(1),
    "ow": _integer(1, 1000),
    "sref": _some,
    "sw": _integer(0, 1000),
    "sv": _integer(1, 9),
    "iw": _number(0, 3),
    "no": _some,
    "seed": _integer(0, MAX_SEED),
    "chaos": _integer(0, 100),
    "stylize": _integer(0, 1000),
    "weird": _integer(0, 3000),
    "quality": _number(0.25, 4),
    "stop": _integer(10, 100),
    "exp": _integer(0, 100),
    "style": _some,
    "profile": _any,
    "raw": _none,
    "tile": _none,
    "hd": _none,
    "draft": _none,
    "repeat": _integer(1, 40),
    "video": _none,
    "motion": _choice(frozenset({"low", "high"})),
    "stealth": _none,
    "public": _none,
    "fast": _none,
    "relax": _none,
    "turbo": _none,
}
