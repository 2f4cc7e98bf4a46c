"""Midjourney's flags: settings and references become the text that is sent.

Everything Midjourney would refuse is refused here, before anything is sent: a malformed flag is an illegal
prompt to TTAPI, and thirty of those in a day cost money. Flags a person wrote into the prompt are kept;
none is said twice, and a contradiction is an error. How the text travels is `providers.ttapi.adapter`'s business.

Source: PROVIDERS.md 1.11, digests of Midjourney's documentation of 2026-05 and 2026-06.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from domain.errors import RequestRefused
from domain.escalation import Carried, Weight

#: Pinned in every prompt: Midjourney's own default moves (V7 since 2025-06-17, later ones are not confirmed).
DEFAULT_VERSION: Final = "7"
SEVERAL_REFERENCES_VERSION: Final = "6.1"
ONE_REFERENCE_VERSION: Final = "7"

#: Of `--cw` and `--ow`, where nobody says.
_USUAL_WEIGHT: Final = 100
#: Beyond 400 `--ow` is advised against.
_CW_RUNGS: Final = (25, 50, 75, 100)
_OW_RUNGS: Final = (25, 50, 75, 100, 200, 400)

Read = Callable[[str, object], str]


def _whole(low: int, high: int) -> Read:
    def read(flag: str, value: object) -> str:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,10}", text) or not low <= int(text) <= high:
            raise RequestRefused(f"{flag} is {value!r}; it takes a whole number from {low} to {high}")
        return str(int(text))

    return read


def _decimal(low: str, high: str) -> Read:
    def read(flag: str, value: object) -> str:
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            number = Decimal("NaN")
        if isinstance(value, bool) or not number.is_finite() or not Decimal(low) <= number <= Decimal(high):
            raise RequestRefused(f"{flag} is {value!r}; it takes a number from {low} to {high}")
        return f"{number.normalize():f}"

    return read


def _one_of(*words: str) -> Read:
    def read(flag: str, value: object) -> str:
        text = str(value).strip().lower()
        if text not in words:
            raise RequestRefused(f"{flag} is {value!r}; it takes one of {', '.join(words)}")
        return text

    return read


def _ratio(flag: str, value: object) -> str:
    found = re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", str(value).strip())
    if found is None:
        raise RequestRefused(f"{flag} is {value!r}; it takes two whole numbers with a colon, like 3:2")
    return found.group()


def _switch(flag: str, value: object) -> str:
    """Empty text for a flag that stands alone."""
    if value is True or str(value).strip().lower() in {"", "true", "yes", "1"}:
        return ""
    raise RequestRefused(f"{flag} is {value!r}; it stands alone, without a value")


def _words(flag: str, value: object) -> str:
    parts = value if isinstance(value, list | tuple) else [value]
    words = [" ".join(word.split()) for part in parts for word in str(part).split(",")]
    words = [word for word in words if word]
    if not words or any("--" in word for word in words):
        raise RequestRefused(f"{flag} is {value!r}; it takes words with commas between them, and no other flag")
    return ", ".join(words)


def _links(flag: str, value: object) -> str:
    parts = value if isinstance(value, list | tuple) else str(value).split()
    links = [str(part).strip() for part in parts]
    if not links or not all(re.fullmatch(r"https?://[^\s\"'<>]+", link) for link in links):
        raise RequestRefused(f"{flag} is {value!r}; it takes addresses that start with http:// or https://")
    return " ".join(links)


def _link(flag: str, value: object) -> str:
    links = _links(flag, value)
    if " " in links:
        raise RequestRefused(f"{flag} takes a single address; for several references use --cref with version 6.1")
    return links


def _style_references(flag: str, value: object) -> str:
    parts = value if isinstance(value, list | tuple) else str(value).split()
    if parts and all(re.fullmatch(r"\d{1,10}|random", str(part).strip()) for part in parts):
        return " ".join(str(part).strip() for part in parts)
    return _links(flag, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag of Midjourney.

    Args:
        name: as it is written into the prompt.
        read: checks a value and gives it in its one canonical spelling.
        also: other spellings inside a prompt.
        settings: names of the settings that say it.
    """

    name: str
    read: Read
    also: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


#: In the order in which they are written.
FLAGS: Final = (
    Flag(name="--ar", read=_ratio, also=("--aspect",), settings=("ar", "aspect_ratio")),
    Flag(name="--v", read=_decimal("1", "99"), also=("--version",), settings=("v", "version")),
    Flag(name="--niji", read=_decimal("4", "99"), settings=("niji",)),
    Flag(name="--raw", read=_switch, settings=("raw",)),
    Flag(name="--style", read=_one_of("raw", "cute", "expressive", "original", "scenic"), settings=("style",)),
    Flag(name="--stylize", read=_whole(0, 1000), also=("--s",), settings=("stylize",)),
    Flag(name="--chaos", read=_whole(0, 100), also=("--c",), settings=("chaos",)),
    Flag(name="--weird", read=_whole(0, 3000), also=("--w",), settings=("weird",)),
    Flag(name="--quality", read=_decimal("0.25", "4"), also=("--q",), settings=("q",)),
    Flag(name="--stop", read=_whole(10, 100), settings=("stop",)),
    Flag(name="--seed", read=_whole(0, 4_294_967_295), settings=("seed",)),
    Flag(name="--iw", read=_decimal("0", "3"), settings=("iw",)),
    Flag(name="--sref", read=_style_references, settings=("sref",)),
    Flag(name="--sw", read=_whole(0, 1000), settings=("sw",)),
    Flag(name="--sv", read=_whole(1, 99), settings=("sv",)),
    Flag(name="--cref", read=_links, settings=("cref_urls", "cref")),
    Flag(name="--cw", read=_whole(0, 100), settings=("cref_weight", "cw")),
    Flag(name="--oref", read=_link, settings=("oref_url", "oref")),
    Flag(name="--ow", read=_whole(1, 1000), settings=("oref_weight", "ow")),
    Flag(name="--profile", read=lambda _, value: " ".join(str(value).split()), also=("--p",), settings=("profile",)),
    Flag(name="--tile", read=_switch, settings=("tile",)),
    Flag(name="--draft", read=_switch),
    Flag(name="--hd", read=_switch),
    Flag(name="--exp", read=_whole(0, 100)),
    Flag(name="--no", read=_words, settings=("no", "negative_prompt")),
)
_BY_SPELLING: Final = {spelling: flag for flag in FLAGS for spelling in (flag.name, *flag.also)}
_SPEEDS: Final = ("--relax", "--fast", "--turbo")
_SEVERAL_JOBS: Final = ("--repeat", "--r")


def prompt_text(
    prompt: str, *, settings: Mapping[str, Any], reference_urls: Sequence[str] = (), seed_if_none: int | None = None
) -> str:
    """The prompt as Midjourney reads it: image addresses, the person's words, then flags.

    The version is what the prompt or the settings name. Where neither does, references choose it: several,
    or the settings `cref_urls` / `cref_weight`, make it 6.1 with `--cref`; a single one makes it 7 with `--oref`;
    none, 7. Where version 7 is named and there are several references, the first, the best, is sent: `--oref`
    takes one. Weights without a reference have nothing to weigh and are left out. `seed_if_none` is said where
    neither the prompt nor the settings fix a seed; Midjourney would have drawn one at random.

    Raises:
        RequestRefused: a value out of range, two flags that exclude each other, a flag Midjourney does not
            have, or anything that would make several paid jobs of one prompt.
    """
    words, wished = _wished(prompt, settings)
    if seed_if_none is not None:
        wished.setdefault("--seed", str(seed_if_none))
    flags = _with_version_and_references(wished, list(reference_urls))
    _check_image_weight(words, flags, settings)
    links = _links("image_urls", settings["image_urls"]) if settings.get("image_urls") else ""
    ordered = [f"{flag.name} {flags[flag.name]}".rstrip() for flag in FLAGS if flag.name in flags]
    return " ".join(part for part in (links, words, *ordered) if part)


def carried(prompt: str, *, settings: Mapping[str, Any], reference_urls: Sequence[str]) -> Carried:
    """What the prompt as it would be sent carries of a character, and how much stronger the settings can make it.

    Raises:
        RequestRefused: as `prompt_text`.
    """
    _, wished = _wished(prompt, settings)
    _, written = _taken_apart(prompt)
    flags = _with_version_and_references(wished, list(reference_urls))
    for reference, weight, rungs in (("--cref", "--cw", _CW_RUNGS), ("--oref", "--ow", _OW_RUNGS)):
        if reference not in flags:
            continue
        said = _BY_SPELLING[weight].settings
        found = Weight(
            setting=next((name for name in said if settings.get(name) is not None), said[0]),
            flag=weight.lstrip("-"),
            value=int(flags.get(weight, _USUAL_WEIGHT)),
            rungs=rungs,
        )
        return Carried(references=len(flags[reference].split()), weight=None if weight in written else found)
    return Carried()


def _wished(prompt: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The words of the prompt, and the flags that it and the settings say."""
    words, written = _taken_apart(prompt)
    wished = _from_settings(settings)
    for name, value in written.items():
        if wished.setdefault(name, value) != value:
            raise RequestRefused(
                f"the prompt says {name} {value} and the settings say {name} {wished[name]}; take one of them out"
            )
    return words, wished


def aspect_in(text: str) -> tuple[int, int] | None:
    """Width by height of each picture that a text as it was sent asks for; a square where it names none.

    None for no text, which says nothing.
    """
    found = re.search(r"--(?:ar|aspect) ([1-9]\d{0,3}):([1-9]\d{0,3})(?=\s|$)", text)
    if found is None:
        return (1, 1) if text.strip() else None
    return int(found[1]), int(found[2])


def seed_in(text: str) -> int | None:
    """The seed that a text as it was sent, or as a service lists it, names; None where it names none, or several."""
    found = {int(seed) for seed in re.findall(r"--seed[ =](\d{1,10})(?=\s|$)", text)}
    return found.pop() if len(found) == 1 else None


def words_of(text: str) -> str:
    """What stands before the first flag of a text as it was sent."""
    return re.split(r"(?:^|(?<=\s))--[A-Za-z]", text, maxsplit=1)[0]


def _taken_apart(prompt: str) -> tuple[str, dict[str, str]]:
    """The words of `prompt`, and the flags in it by name, checked and in canonical spelling."""
    if re.search(r"\{[^{}]*,[^{}]*\}", prompt):
        raise RequestRefused("curly braces with commas make several paid jobs of one prompt; write each as a prompt")
    words, *pieces = re.split(r"(?:^|(?<=\s))(?=--[A-Za-z])", " ".join(prompt.split()))
    found: dict[str, str] = {}
    for piece in pieces:
        spelling, _, rest = piece.strip().partition(" ")
        flag = _flag(spelling)
        value = flag.read(flag.name, rest)
        if found.setdefault(flag.name, value) != value:
            raise RequestRefused(f"the prompt says {flag.name} twice, {found[flag.name]} and {value}")
    if not words.strip():
        raise RequestRefused("the prompt has no words before its flags")
    return words.strip(), found


def _flag(spelling: str) -> Flag:
    lowered = spelling.lower()
    if lowered in _SPEEDS:
        raise RequestRefused(f"the prompt says {spelling}; say it by the mode ({lowered[2:]}) instead")
    if lowered in _SEVERAL_JOBS:
        raise RequestRefused(
            f"{spelling} makes several paid jobs of one prompt; enqueue the prompt several times instead"
        )
    if lowered not in _BY_SPELLING:
        raise RequestRefused(
            f"the prompt says {spelling!r}, which is no flag of Midjourney's; a space follows a flag's name"
        )
    return _BY_SPELLING[lowered]


def _from_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Flags that the settings say. None, False, empty text and empty lists say nothing."""
    wished: dict[str, str] = {}
    for flag in FLAGS:
        for name in flag.settings:
            value = settings.get(name)
            if value is None or value is False or value in ("", [], ()):
                continue
            text = flag.read(name, value)
            if wished.setdefault(flag.name, text) != text:
                raise RequestRefused(f"{name} is {value!r}, but {flag.name} is {wished[flag.name]} by another setting")
    return wished


def _with_version_and_references(wished: dict[str, str], references: list[str]) -> dict[str, str]:
    flags = dict(wished)
    if "--cref" in flags and "--oref" in flags:
        raise RequestRefused("--cref and --oref exclude each other: --cref is for version 6.1, --oref for version 7")
    if "--cref" in flags or "--oref" in flags:
        references = []  # named by hand, so the character's own are not added
    wants_several = "--cref" in flags or "--cw" in flags or len(references) > 1
    if "--v" in flags and "--niji" in flags:
        raise RequestRefused("--v and --niji exclude each other; take one of them out")
    if "--v" not in flags and "--niji" not in flags:
        referred = bool(references) or "--cref" in flags
        several = referred and wants_several and "--ow" not in flags and "--oref" not in flags
        flags["--v"] = SEVERAL_REFERENCES_VERSION if several else DEFAULT_VERSION
    if references:
        flag = "--cref" if _takes_cref(flags) else "--oref"
        flags[flag] = _links("reference_urls", references if flag == "--cref" else references[:1])
    _drop_idle_weights(flags)
    _check_references(flags)
    _spell_raw(flags)
    return flags


def _major(flags: Mapping[str, str]) -> int:
    return int(Decimal(flags.get("--v") or flags["--niji"]))


def _takes_cref(flags: Mapping[str, str]) -> bool:
    return _major(flags) == 6


def _takes_oref(flags: Mapping[str, str]) -> bool:
    return "--v" in flags and _major(flags) == 7


def _drop_idle_weights(flags: dict[str, str]) -> None:
    """Weights come from a batch's defaults, and not every row has a reference to weigh."""
    if "--cref" not in flags and "--oref" not in flags:
        flags.pop("--cw", None)
        flags.pop("--ow", None)
    if "--sref" not in flags:
        flags.pop("--sw", None)
        flags.pop("--sv", None)


def _check_references(flags: Mapping[str, str]) -> None:
    version = f"--v {flags['--v']}" if "--v" in flags else f"--niji {flags['--niji']}"
    remedy = "use version 6.1 (several references, --cref) or version 7 (one, --oref)"
    if "--cref" in flags and not _takes_cref(flags):
        raise RequestRefused(f"{version} takes no --cref; {remedy}")
    if "--oref" in flags and not _takes_oref(flags):
        raise RequestRefused(f"{version} takes no --oref; {remedy}")
    if "--cw" in flags and "--cref" not in flags:
        raise RequestRefused(f"{version} has no --cw; give its reference weight as oref_weight, 1 to 1000")
    if "--ow" in flags and "--oref" not in flags:
        raise RequestRefused(f"{version} has no --ow; give its reference weight as cref_weight, 0 to 100")


def _spell_raw(flags: dict[str, str]) -> None:
    """`--raw` since version 7, `--style raw` before."""
    if "--raw" in flags and flags.get("--style", "raw") != "raw":
        raise RequestRefused(f"--raw and --style {flags['--style']} exclude each other; take one of them out")
    if "--raw" in flags or flags.get("--style") == "raw":
        flags.pop("--raw", None)
        flags.pop("--style", None)
        flags.update({"--raw": ""} if _major(flags) >= 7 else {"--style": "raw"})


def _check_image_weight(words: str, flags: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    if "--iw" in flags and not settings.get("image_urls") and not re.match(r"https?://", words):
        raise RequestRefused("--iw weighs an image address at the front of the prompt, and there is none")
