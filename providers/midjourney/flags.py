"""Lists Midjourney's flags: how each is written, which settings say it, and which values it takes.

Everything Midjourney would refuse is refused here, before anything is sent: a malformed flag is an illegal prompt to
TTAPI, and thirty of those in a day cost money.

Source: PROVIDERS.md 1.11, digests of Midjourney's documentation of 2026-05 and 2026-06.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from domain.errors import RequestRefused
from providers.setting_values import addresses, is_said, number, one_of, ratio, whole

ReadText = Callable[[str, object], str]

_NEGATION: Final = re.compile(r"^(?:(?:no|not|without|avoid)\s+)+(?=\S)", re.IGNORECASE)


class Takes(StrEnum):
    """What stands behind a flag's name, as far as it tells a flag from a word behind a dash.

    Attributes:
        VALUE: a number, a ratio, a code or addresses; nobody writes one behind a dash by chance.
        WORDS: words, so that only the dash tells.
        NOTHING: it stands alone.
    """

    VALUE = "value"
    WORDS = "words"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One flag of Midjourney.

    Args:
        name: as it is written into the prompt.
        read: checks a value and gives it in its one canonical spelling; raises `RequestRefused`.
        takes: what stands behind the name.
        also: other spellings inside a prompt.
        settings: names of the settings that say it.
    """

    name: str
    read: ReadText
    takes: Takes = Takes.VALUE
    also: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


def _whole(low: int, high: int) -> ReadText:
    read = whole(low, high)
    return lambda name, value: str(read(name, value))


def _decimal(low: str, high: str) -> ReadText:
    read = number(low, high)
    return lambda name, value: f"{read(name, value).normalize():f}"


def _ratio(name: str, value: object) -> str:
    wide, high = ratio(name, value)
    return f"{wide}:{high}"


def _switch(name: str, value: object) -> str:
    """Empty text for a flag that stands alone."""
    if value is True or str(value).strip().lower() in {"", "true", "yes", "1"}:
        return ""
    raise RequestRefused(f"{name} is {value!r}; it stands alone, without a value")


def _words(name: str, value: object) -> str:
    """Words with commas between. `no text` among what is not wanted means `text`: the flag says no already."""
    parts = value if isinstance(value, list | tuple) else [value]
    words = [" ".join(word.split()) for part in parts for word in str(part).split(",")]
    words = [
        re.sub(r"^(?:(?:no|not|without|avoid)\s+)+(?=\S)", "", word, flags=re.IGNORECASE) for word in words if word
    ]
    if not words or any("--" in word for word in words):
        raise RequestRefused(f"{name} is {value!r}; it takes words with commas between them, and no other flag")
    return ", ".join(words)


def links(name: str, value: object) -> str:
    return " ".join(addresses(name, value))


def _link(name: str, value: object) -> str:
    found = addresses(name, value)
    if len(found) > 1:
        raise RequestRefused(f"{name} takes a single address; for several references use --cref with version 6.1")
    return found[0]


def _style_references(name: str, value: object) -> str:
    """Codes, `random` and addresses, mixed, each with a weight where wanted: `123::2 456 https://…`."""
    parts = value if isinstance(value, list | tuple) else re.split(r"\s+|[,;|]+(?=\s|\d|https?://|$)", str(value))
    found = [str(part).strip() for part in parts if str(part).strip()]
    weighed = r"(?:\d{1,10}|random|https?://[^\s\"'<>]+?)(?:::\d{1,3}(?:\.\d{1,2})?)?"
    if not found or not all(re.fullmatch(weighed, one) for one in found):
        raise RequestRefused(
            f"{name} is {value!r}; it takes addresses or codes of digits, each with ::weight if wanted"
        )
    return " ".join(found)


def _profile(name: str, value: object) -> str:
    """Codes of profiles and moodboards; none at all means the account's own."""
    found = str(value).split()
    if isinstance(value, bool) or not all(re.fullmatch(r"[A-Za-z0-9_]{1,64}(?:::\d{1,3})?", one) for one in found):
        raise RequestRefused(f"{name} is {value!r}; it takes codes of letters and digits")
    return " ".join(found)


#: In the order in which they are written.
FLAGS: Final = (
    Flag(name="--ar", read=_ratio, also=("--aspect",), settings=("ar", "aspect_ratio")),
    Flag(name="--v", read=_decimal("1", "99"), also=("--version",), settings=("v", "version")),
    Flag(name="--niji", read=_decimal("4", "99"), settings=("niji",)),
    Flag(name="--raw", read=_switch, takes=Takes.NOTHING, settings=("raw",)),
    Flag(name="--style", read=one_of("raw", "cute", "expressive", "original", "scenic"), settings=("style",)),
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
    Flag(name="--cref", read=links, settings=("cref_urls", "cref")),
    Flag(name="--cw", read=_whole(0, 100), settings=("cref_weight", "cw")),
    Flag(name="--oref", read=_link, settings=("oref_url", "oref")),
    Flag(name="--ow", read=_whole(1, 1000), settings=("oref_weight", "ow")),
    Flag(name="--profile", read=_profile, takes=Takes.WORDS, also=("--p",), settings=("profile",)),
    Flag(name="--tile", read=_switch, takes=Takes.NOTHING, settings=("tile",)),
    Flag(name="--draft", read=_switch, takes=Takes.NOTHING),
    Flag(name="--hd", read=_switch, takes=Takes.NOTHING),
    Flag(name="--exp", read=_whole(0, 100)),
    Flag(name="--no", read=_words, takes=Takes.WORDS, settings=("no", "negative_prompt")),
)
BY_NAME: Final = {flag.name: flag for flag in FLAGS}

_SPEED: Final = "say it by the mode instead: the column `mode`, or --mode"
_SEVERAL_JOBS: Final = "it makes several paid jobs of one prompt; enqueue the prompt several times instead"
_FILM: Final = "it is for films, and here pictures are made; take it out"
_ACCOUNT: Final = "who sees a picture is a matter of the Midjourney account, which is the service's own; take it out"
#: Flags that exist and are not sent: what each takes, and what to do instead.
ANSWERED: Final[Mapping[str, tuple[Takes, str]]] = {
    "--relax": (Takes.NOTHING, _SPEED),
    "--fast": (Takes.NOTHING, _SPEED),
    "--turbo": (Takes.NOTHING, _SPEED),
    "--repeat": (Takes.VALUE, _SEVERAL_JOBS),
    "--r": (Takes.VALUE, _SEVERAL_JOBS),
    "--video": (Takes.NOTHING, _FILM),
    "--motion": (Takes.WORDS, _FILM),
    "--loop": (Takes.NOTHING, _FILM),
    "--stealth": (Takes.NOTHING, _ACCOUNT),
    "--public": (Takes.NOTHING, _ACCOUNT),
}
_BY_SPELLING: Final = {spelling: flag for flag in FLAGS for spelling in (flag.name, *flag.also)}

#: What stands behind each spelling that means something.
KNOWN: Final[Mapping[str, Takes]] = {spelling: flag.takes for spelling, flag in _BY_SPELLING.items()} | {
    spelling: takes for spelling, (takes, _) in ANSWERED.items()
}


def flag_of(spelling: str) -> Flag:
    """The flag that is written so.

    Raises:
        RequestRefused: none, or one that is not sent; the sentence says what to do.
    """
    lowered = spelling.lower()
    if lowered in ANSWERED:
        raise RequestRefused(f"the prompt says {spelling}: {ANSWERED[lowered][1]}")
    if lowered not in _BY_SPELLING:
        raise RequestRefused(
            f"the prompt says {spelling!r}, which is no flag of Midjourney's; a space follows a flag's name"
        )
    return _BY_SPELLING[lowered]


def reads(spelling: str, value: str) -> bool:
    """Whether the flag of this spelling takes this value."""
    lowered = spelling.lower()
    if lowered in ANSWERED:
        return value.isdecimal() if ANSWERED[lowered][0] is Takes.VALUE else not value
    try:
        _BY_SPELLING[lowered].read(lowered, value)
    except RequestRefused:
        return False
    return True


def from_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Flags that the settings say. None, False, empty text and empty lists say nothing."""
    wished: dict[str, str] = {}
    for flag in FLAGS:
        for name in flag.settings:
            value = settings.get(name)
            if not is_said(value) or value is False:
                continue
            text = flag.read(name, value)
            if wished.setdefault(flag.name, text) != text:
                raise RequestRefused(f"{name} is {value!r}, but {flag.name} is {wished[flag.name]} by another setting")
    return wished
