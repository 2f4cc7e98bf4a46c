"""Writes the text that Midjourney is sent: image addresses, the person's words, then flags.

Settings and references become flags. Those a person wrote into the prompt are kept, however they are spelt
(`providers.midjourney.spelling`); none is said twice, and a contradiction is an error. How the text travels is
`providers.ttapi.adapter`'s business.

Source: PROVIDERS.md 1.11, digests of Midjourney's documentation of 2026-05 and 2026-06.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from domain.errors import RequestRefused
from domain.escalation import Carried, Weight
from providers.midjourney.chat import without_chat
from providers.midjourney.flags import BY_NAME, FLAGS, flag_of, from_settings, links
from providers.midjourney.spelling import taken_apart

#: Pinned in every prompt: Midjourney's own default moves (V7 since 2025-06-17, later ones are not confirmed).
DEFAULT_VERSION: Final = "7"
SEVERAL_REFERENCES_VERSION: Final = "6.1"

#: Of `--cw` and `--ow`, where nobody says.
_USUAL_WEIGHT: Final = 100
#: Beyond 400 `--ow` is advised against.
_CW_RUNGS: Final = (25, 50, 75, 100)
_OW_RUNGS: Final = (25, 50, 75, 100, 200, 400)
_PICTURE_ADDRESS: Final = re.compile(r"https?://[^\s\"'<>]+\.(?:png|jpe?g|webp|gif)(?:\?[^\s\"'<>]*)?", re.IGNORECASE)
_ANY_ADDRESS: Final = re.compile(r"https?://\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A prompt as it is understood.

    Args:
        images: addresses of pictures, which Midjourney reads at the front alone.
        flags: by name, checked and in canonical spelling.
        notes: sentences about what was guessed, moved, taken off or left among the words.
    """

    images: Sequence[str]
    words: str
    flags: Mapping[str, str]
    notes: Sequence[str]


@lru_cache(maxsize=512)
def understood(prompt: str) -> Understood:
    """The prompt taken apart; a prompt is checked, priced and sent, and read once.

    Raises:
        RequestRefused: as `prompt_text`.
    """
    text, taken_off = without_chat(prompt)
    _check_permutations(text)
    parts = taken_apart(text)
    flags: dict[str, str] = {}
    for written in parts.flags:
        flag = flag_of(written.spelling)
        value = flag.read(flag.name, written.value)
        if flags.setdefault(flag.name, value) != value:
            raise RequestRefused(f"the prompt says {flag.name} twice, {flags[flag.name]} and {value}")
    images, words, moved = _with_images_in_front(parts.words)
    if not words and len(images) < 2:
        what = f"the address {images[0]!r} and no words" if images else "no words before its flags"
        raise RequestRefused(f"the prompt has {what}; say in words what is wanted")
    return Understood(images=images, words=words, flags=flags, notes=[*taken_off, *parts.notes, *moved])


def _check_permutations(text: str) -> None:
    """Braces with a comma inside, at whatever depth, ask for one job for each part."""
    depth, commas = 0, [False]
    for sign in text:
        if sign == "{":
            depth += 1
            commas.append(False)
        elif sign == "," and depth:
            commas[depth] = True
        elif sign == "}" and depth:
            depth -= 1
            if commas.pop():
                raise RequestRefused(
                    "curly braces with commas make several paid jobs of one prompt; write each as a prompt"
                )


def _with_images_in_front(words: str) -> tuple[list[str], str, list[str]]:
    """The addresses of pictures, the other words, and what is to be said about addresses elsewhere."""
    images, rest, notes = list[str](), list[str](), list[str]()
    for token in words.split():
        address = _PICTURE_ADDRESS.match(token) if rest else _ANY_ADDRESS.match(token)
        if address is None:
            if _ANY_ADDRESS.search(token):
                notes.append(f"{token!r} stays in the words, where Midjourney looks at no address")
            rest.append(token)
            continue
        images.append(address.group())
        if rest:
            notes.append(f"{address.group()!r} was moved to the front, where Midjourney reads addresses of pictures")
            rest[-1] += token[address.end() :]
    return images, " ".join(rest), notes


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
    read = understood(prompt)
    wished = _wished(read, settings)
    if seed_if_none is not None:
        wished.setdefault("--seed", str(seed_if_none))
    flags = _with_version_and_references(wished, list(reference_urls))
    named = links("image_urls", settings["image_urls"]).split() if settings.get("image_urls") else []
    images = list(dict.fromkeys([*named, *read.images]))
    if "--iw" in flags and not images:
        raise RequestRefused("--iw weighs the address of a picture in the prompt, and there is none")
    ordered = [f"{flag.name} {flags[flag.name]}".rstrip() for flag in FLAGS if flag.name in flags]
    said = " ".join(part for part in (*images, read.words, *ordered) if part)
    # Once more for what the settings say: braces in a negative prompt multiply the jobs as well.
    _check_permutations(said)
    return said


def carried(prompt: str, *, settings: Mapping[str, Any], reference_urls: Sequence[str]) -> Carried:
    """What the prompt as it would be sent carries of a character, and how much stronger the settings can make it.

    Raises:
        RequestRefused: as `prompt_text`.
    """
    written = understood(prompt).flags
    flags = _with_version_and_references(_wished(understood(prompt), settings), list(reference_urls))
    for reference, weight, rungs in (("--cref", "--cw", _CW_RUNGS), ("--oref", "--ow", _OW_RUNGS)):
        if reference not in flags:
            continue
        said = BY_NAME[weight].settings
        found = Weight(
            setting=next((name for name in said if settings.get(name) is not None), said[0]),
            flag=weight.lstrip("-"),
            value=int(flags.get(weight, _USUAL_WEIGHT)),
            rungs=rungs,
        )
        return Carried(references=len(flags[reference].split()), weight=None if weight in written else found)
    return Carried()


def _wished(read: Understood, settings: Mapping[str, Any]) -> dict[str, str]:
    """The flags that the prompt and the settings say."""
    wished = from_settings(settings)
    if "--no" in wished:
        # Read as it would be in a prompt, so that what is sent says the same once more.
        unwanted, *others = taken_apart(f"x --no {wished['--no']}").flags
        if others:
            raise RequestRefused(f"what is not wanted is {wished['--no']!r}; it takes words, and no other flag")
        wished["--no"] = flag_of("--no").read("--no", unwanted.value)
    for name, value in read.flags.items():
        if wished.setdefault(name, value) != value:
            raise RequestRefused(
                f"the prompt says {name} {value} and the settings say {name} {wished[name]}; take one of them out"
            )
    return wished


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


def words_before_flags(text: str) -> str:
    """What stands before the first flag of a text as it was sent."""
    return re.split(r"(?:^|(?<=\s))--[A-Za-z]", text, maxsplit=1)[0]


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
        flags[flag] = links("reference_urls", references if flag == "--cref" else references[:1])
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
