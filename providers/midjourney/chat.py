"""Takes off what a chat writes around a prompt that was copied out of it: commands, bold stars, names, brackets."""

import re
from collections.abc import Sequence
from typing import Final

from domain.errors import RequestRefused

_COMMAND: Final = re.compile(r"^\s*/imagine\b\s*(?:prompt\s*[:：])?\s*", re.IGNORECASE)
_BY: Final = r"(?:Image #\d+|(?:Upscaled?|Variations?|Remix|Zoom Out|Pan \w+|Reroll)\b[^@<>]{0,40}\bby)"
_WHO: Final = r"(?:<@!?\d+>|@[\w.]{2,32})"
_HOW: Final = r"\((?:[a-z]+, )*(?:fast|relax(?:ed)?|turbo|stealth|waiting to start|paused|\d{1,3}%)(?:, [a-z]+)*\)"
#: The signature behind a prompt: who made it, how, and which picture of it; a name alone may be a part of the prompt.
_SIGNATURE: Final = re.compile(
    rf"\s*[-–—]\s*(?:{_BY}\s*{_WHO}(?:\s*{_HOW})?|{_WHO}\s*{_HOW}|<@!?\d+>)\s*$",
    re.IGNORECASE,
)
_BOLD: Final = re.compile(r"\*\*(?=\S)([^*]+?)(?<=\S)\*\*")
_BRACKETED: Final = re.compile(r"<(https?://[^\s<>]+)>")
_OWN_LINK: Final = re.compile(r"https?://s\.mj\.run/\S*", re.IGNORECASE)


def without_chat(text: str) -> tuple[str, Sequence[str]]:
    """The prompt alone, and what was taken off; what is left is as it was.

    Raises:
        RequestRefused: a link that means something inside Midjourney's own chat only.
    """
    found = _OWN_LINK.search(text)
    if found is not None:
        raise RequestRefused(
            f"{found.group()!r} is Midjourney's own short link, which leads to a picture in its chat alone;"
            " write the picture's own address"
        )
    taken: dict[str, None] = {}
    while (shorter := _once(text, taken)) != text:
        text = shorter
    return text, [f"{one!r} was taken off: a chat wrote it, and not the prompt's author" for one in taken]


def signature_of(text: str) -> str:
    """What a chat signed the prompt with, behind its last flag; empty where nobody did."""
    found = _SIGNATURE.search(text)
    return "" if found is None else found.group()


def _once(text: str, taken: dict[str, None]) -> str:
    for pattern in (_COMMAND, _SIGNATURE):
        found = pattern.search(text)
        if found is not None and found.group().strip():
            taken[found.group().strip()] = None
            text = text[: found.start()] + text[found.end() :]
    if _BOLD.search(text):
        taken["**"] = None
        text = _BOLD.sub(r"\1", text)
    return _BRACKETED.sub(r"\1", text)
