"""Finds the flags in a prompt as keyboards, word processors and chats write them.

Phones make one long dash of two hyphens, Asian keyboards full-width ones, web pages put invisible characters in
between, and people leave blanks out or add some. Midjourney reads a long dash as two hyphens; the same dash stands in
ordinary prose, so that a flag behind anything but two hyphens must be one that exists, with a value that it takes.

Source: PROVIDERS.md 8; Midjourney's parameter page, quoted in WangShuXian6/blog#147 and novicezk/midjourney-proxy#270.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from providers.midjourney.flags import KNOWN, Takes, reads

#: Hyphens, minus signs and their full-width forms: two of them begin a flag.
_SHORT: Final = "-\u2010\u2011\u2212\ufe63\uff0d"
#: En dashes, em dashes, bars: one of them stands for two hyphens.
_LONG: Final = "\u2012\u2013\u2014\u2015\u2e3a\u2e3b\ufe58\u2500"
#: The long vowel of Japanese, where a keyboard gives it for a hyphen; one alone is a letter.
_VOWEL: Final = "\u30fc"
_DASHES: Final = _SHORT + _LONG + _VOWEL
#: Characters that nobody sees: zero-width spaces and joiners, soft hyphens, byte order marks.
INVISIBLE: Final = "\u200b\u2060\ufeff\u00ad\u180e"
_BLANK: Final = rf"\s{INVISIBLE}"
_CANDIDATE: Final = re.compile(
    rf"(?P<run>[{_DASHES}](?:[{_BLANK}]*[{_DASHES}])*)(?P<gap>[{_BLANK}]*)(?P<name>[A-Za-z\uff21-\uff3a\uff41-\uff5a]+)"
    rf"(?=(?P<rest>[^\s{INVISIBLE}]*))"
)
#: Full-width ASCII, as Asian keyboards give it, to the ordinary characters.
_ORDINARY_WIDTH: Final = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}
#: Signs that end a clause or open a quotation, behind which a flag may begin without a blank.
_OPENS: Final = frozenset(".,;:!?。、，．；：！？…)]}）」』】”’\"'“‘«»(（[「『【>*")
_AT_THE_END: Final = " .,;。、，．；…"
#: Names that are no words of any prose; behind an unusual dash they are meant as flags whatever follows.
_NO_WORDS: Final = frozenset({"ar", "v", "niji", "sref", "cref", "oref", "cw", "ow", "sw", "sv", "iw"})


class Dash(IntEnum):
    """How much a run of dashes looks like the beginning of a flag."""

    NONE = 0
    SINGLE = 1
    LONG = 2
    DOUBLE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFlag:
    """A flag as it stands in a prompt.

    Args:
        spelling: its name with two hyphens in front, as it was cased.
        value: without what can't belong to it: blanks at the ends, a comma behind it, full-width signs.
    """

    spelling: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A prompt taken apart.

    Args:
        behind: what follows the words, from the first flag on, as it is written; blanks are made single.
        notes: what was read although it was spelt doubtfully, or was not read although it looks like a flag.
    """

    words: str
    flags: Sequence[WrittenFlag]
    behind: str
    notes: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A name behind dashes.

    Args:
        shown: the dashes and the name, as they stand there, with the word that they hang on.
        glued: what hangs on the name without a blank, as `16:9` on `--ar16:9`.
        opens: it follows a blank or a sign, and no letter.
        apart: a blank stands between the dashes and the name.
        plain: written with two hyphens and nothing else.
        closed: a long dash behind it ends a clause, as one before and one behind do in prose.
    """

    start: int
    end: int
    shown: str
    name: str
    glued: str
    dash: Dash
    opens: bool
    apart: bool
    plain: bool
    closed: bool

    @property
    def spelling(self) -> str:
        return f"--{self.name}"

    @property
    def takes(self) -> Takes | None:
        """What stands behind a flag of that name; None where there is none of it."""
        return KNOWN.get(self.spelling.lower())


def taken_apart(text: str) -> Parts:
    """The words of `text` and its flags; the value of each reaches to the next one."""
    text = " ".join(text.split())
    end, found, notes = len(text), list[tuple[int, WrittenFlag]](), list[str]()
    # From behind, since what a flag's value is depends on where the next one begins.
    for candidate in reversed([_candidate(text, one) for one in _CANDIDATE.finditer(text)]):
        value = _tidied(text[candidate.end : end])
        if _is_flag(candidate, value):
            spelling = f"{candidate.spelling}{candidate.glued}"
            found.append((candidate.start, WrittenFlag(spelling=spelling, value=value)))
            end = candidate.start
            if _is_doubtful(candidate):
                notes.append(f"{_shown(candidate, value)!r} is read as {f'{spelling} {value}'.strip()!r}")
        elif _looks_like_one(candidate, value):
            notes.append(f"{_shown(candidate, value)!r} stays in the words; a flag is written {candidate.spelling!r}")
    first = found[-1][0] if found else len(text)
    return Parts(
        words=text[:first].rstrip(f" {INVISIBLE}"),
        flags=[flag for _, flag in reversed(found)],
        behind=text[first:],
        notes=notes[::-1],
    )


def _candidate(text: str, found: re.Match[str]) -> _Candidate:
    start = _start(found)
    run, before = text[start : found.end("run")], text[:start]
    dashes = [sign for sign in run if sign in _DASHES]
    glued = found["rest"].rstrip(_AT_THE_END)
    plain = run == "--" and not found["gap"] and found["name"].isascii()
    return _Candidate(
        start=start,
        # What hangs on a plain name is a part of it; elsewhere it may be the beginning of the value.
        end=found.end("rest") if glued else found.end("name"),
        shown=f"{_joined(before)}{run}{found['gap']}{found['name']}{glued}",
        name=found["name"].translate(_ORDINARY_WIDTH),
        glued=glued.translate(_ORDINARY_WIDTH),
        dash=_dash(dashes),
        # At the beginning of a text stand words: a long dash there begins somebody's speech.
        opens=bool(before.strip(f" {INVISIBLE}")) and (before[-1].isspace() or before[-1] in {*INVISIBLE, *_OPENS}),
        apart=bool(found["gap"].strip(INVISIBLE)),
        plain=plain and (not before or before[-1].isspace() or before[-1] in INVISIBLE or before[-1] in _AT_THE_END),
        closed=re.search(rf"[^{re.escape(_DASHES)}\s][{_LONG}](?=[\s.,;:!?]|$)", text[found.end() :]) is not None,
    )


def _start(found: re.Match[str]) -> int:
    """Where the flag begins; dashes apart from one that is plainly written, as in `a pig - --ar 3:2`, are words."""
    plain = re.search(rf"(?<=[{_BLANK}])--$", found["run"]) is not None and not found["gap"]
    return found.end("run") - len("--") if plain else found.start()


def _joined(before: str) -> str:
    """The word on which a run of dashes hangs without a blank."""
    return re.split(rf"[\s{INVISIBLE}]", before)[-1]


def _dash(dashes: Sequence[str]) -> Dash:
    if len(dashes) > 1:
        return Dash.DOUBLE
    if dashes[0] in _VOWEL:
        return Dash.NONE
    return Dash.LONG if dashes[0] in _LONG else Dash.SINGLE


def _is_flag(one: _Candidate, value: str) -> bool:
    if one.plain:
        return True
    if one.dash is Dash.NONE or one.takes is None:
        return False
    fits = not one.glued and reads(one.spelling, value)
    if one.name.lower() in _NO_WORDS and _begins_like_a_value(f"{one.glued}{value}"):
        return _is_meant(one, fits=fits)
    if one.glued or one.apart or one.closed:
        return False
    numeric = one.takes is Takes.VALUE
    if one.dash is Dash.SINGLE or not one.opens:
        return fits and (numeric or one.dash is Dash.DOUBLE) and (one.opens or one.dash > Dash.SINGLE)
    return fits or (numeric and (one.dash is Dash.DOUBLE or value[:1].isdecimal()))


def _is_meant(one: _Candidate, *, fits: bool) -> bool:
    """Of a name that is no word before something like a value: read even where it is malformed, so as to be refused."""
    if one.apart:
        return one.opens and one.dash > Dash.SINGLE and fits
    return one.opens or one.dash is Dash.DOUBLE or (one.dash is Dash.LONG and (fits or one.name.lower() != "v"))


def _is_doubtful(one: _Candidate) -> bool:
    """Whether somebody may have meant words."""
    if one.plain:
        return False
    odd = one.dash is Dash.SINGLE or one.apart or (not one.opens and one.name.lower() not in _NO_WORDS)
    return odd or one.takes is not Takes.VALUE


def _looks_like_one(one: _Candidate, value: str) -> bool:
    """Whether somebody may have meant a flag that is not read: one that exists, behind a dash on its left alone."""
    if one.takes is None or one.glued or one.apart or one.closed or one.dash is Dash.NONE:
        return False
    if one.opens:
        return one.dash > Dash.SINGLE or one.takes is not Takes.VALUE or one.name.lower() in _NO_WORDS
    return one.dash > Dash.SINGLE and one.takes is Takes.NOTHING and not value


def _begins_like_a_value(text: str) -> bool:
    return text[:1].isdecimal() or text.lower().startswith(("http://", "https://", "random"))


def _tidied(value: str) -> str:
    """A value without invisible characters and signs behind it, in ordinary width, its ratio without blanks."""
    for sign in INVISIBLE:
        value = value.replace(sign, "")
    tokens = [one if "://" in one else one.translate(_ORDINARY_WIDTH) for one in value.split()]
    tidied = " ".join(tokens).strip(_AT_THE_END)
    return re.sub(r"(?<=\d)\s*:\s*(?=\d)", ":", tidied) if re.fullmatch(r"\d+\s*:\s*\d+", tidied) else tidied


def _shown(one: _Candidate, value: str) -> str:
    return f"{one.shown} {value}".strip()[:60]
