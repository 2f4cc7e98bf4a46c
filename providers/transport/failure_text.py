"""Writes a service's failure down for people: in one form, on one line, whichever service it was."""

import re
from typing import Final

_MOST_CHARACTERS: Final = 500
_TYPED: Final = re.compile(r"\[(?P<kind>[^\[\]]{1,60})\]\s*(?P<rest>.*)", re.DOTALL)


def failure_text(kind: str, *, code: str, message: str | None) -> str:
    """`[type] code: message`, on one line; the type is the message's own where it has one, else `kind`."""
    text = " ".join((message or "").split())[:_MOST_CHARACTERS]
    typed = _TYPED.fullmatch(text)
    if typed:
        kind, text = typed["kind"], typed["rest"]
    return f"[{kind}] {code}: {text or 'no reason given'}"
