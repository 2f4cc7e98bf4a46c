"""The columns of a prompt file: which are known, and which other one looks like a misspelt known one.

`docs/operations.md` lists them for people.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from domain import finishing
from domain.errors import BadInput
from domain.finishing import FINISH

WORDS = ("index", "theme", "variation", "character", "provider", "model")
#: Columns of whole numbers with their largest value. Source: Midjourney's parameter list; 1,000 is the end of `--ow`.
#: The last two are seconds: when a job is overdue, and how often it is looked at.
NUMBERS = {"seed": 4_294_967_295, "cref_weight": 1_000, "stylize": 1_000, "chaos": 100, "weird": 3_000} | {
    "overdue_after_s": 86_400,
    "poll_every_s": 3_600,
}
#: Columns of addresses, several in a cell or one.
ADDRESSES = frozenset({"cref_urls", "image_urls", "oref_url", "sref"})
#: How many of the character's references go along.
REFERENCES = "references"
#: Columns that say yes or no.
SWITCHES = frozenset({"raw", "tile"})
SETTINGS = frozenset(
    {
        *("mode", "aspect_ratio", "negative_prompt", "quality", "size", "version", "style", "niji", "iw"),
        *("output_format", "background", FINISH, REFERENCES),
        *ADDRESSES,
        *SWITCHES,
    }
)
ALIASES = {
    "ar": "aspect_ratio",
    "aspect": "aspect_ratio",
    "cref": "cref_urls",
    "cw": "cref_weight",
    "no": "negative_prompt",
    "negative": "negative_prompt",
    "oref": "oref_url",
    "poll_interval": "poll_every_s",
    "timeout": "overdue_after_s",
    "v": "version",
}
#: Names that could be meant to steer and are too short, or too common, to be believed: what to use instead.
INSTEAD = {
    "s": "call it 'stylize'",
    "c": "call it 'chaos', or 'character'",
    "p": "write --p and the code into the prompt",
    "w": "call it 'weird'",
    "q": "call it 'quality'",
    "n": "use --times, or write the row several times",
    "times": "use --times, or write the row several times",
    "count": "use --times, or write the row several times",
    "quantity": "use --times, or write the row several times",
}
#: What a row hands in beside words: a picture, a specification of garments.
INPUTS = ("image", "vlt")
#: About further tries, and so no part of what is asked of a model.
TRIES = frozenset({"max_tries", "escalate"})
#: What one prompt can differ in beside its words.
STEERING = frozenset({"character", "provider", "model", *NUMBERS, *SETTINGS})
KNOWN = frozenset({"prompt", *WORDS, *NUMBERS, *SETTINGS, *TRIES, *INPUTS, "status", "approved"})

_NO = frozenset({"no", "n", "false", "0", "off"})
YES = frozenset({"approved", "yes", "y", "true", "1", "x"})

#: Between two addresses in a cell; a comma inside an address is the address's own.
_BETWEEN_ADDRESSES = re.compile(r"[\s,;|]+(?=https?://)")
#: Two letters that changed places in a word of four, as in `sede`, are this alike.
_ALIKE = 0.75


@lru_cache(maxsize=1024)
def column_name(written: str) -> str:
    """The canonical name of a recognised column, however cased and spaced; another column's own name, stripped."""
    folded = _folded(written)
    folded = ALIASES.get(folded, folded)
    return folded if folded in KNOWN else written.strip()


def read_references(text: str, line: int) -> dict[str, str | int]:
    """The setting that a cell of the column `references` says: none, the first few, or, without a setting, all.

    Raises:
        BadInput: it says something else.
    """
    folded = text.casefold()
    if folded in {"none", "no", "n", "false", "off", "0"}:
        return {REFERENCES: False}
    if folded in {"all", "yes", "true"}:
        return {}
    if (count := re.fullmatch(r"(\d{1,3})(?:\.0+)?", text)) is None:
        raise BadInput(f"references is {text!r}; write 'none', 'all', or how many, such as 1", line=line)
    return {REFERENCES: int(count[1])}


def read_finish(text: str, line: int) -> dict[str, str | int]:
    """The setting that a cell of the column `finish` says; `off` too, since a row may leave out what its batch wishes.

    Raises:
        BadInput: it says something else.
    """
    try:
        return {FINISH: finishing.in_words(finishing.read_finish(text)) or "off"}
    except BadInput as failure:
        raise BadInput(str(failure), line=line) from None


def read_text(value: Any, column: str, *, name: str, line: int) -> str:
    """A cell as text; JSON may hold a number, a truth value, or, for several addresses, an array of strings.

    Raises:
        BadInput: it holds something else.
    """
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return (";" if column == "character" else " ").join(part.strip() for part in value)
    raise BadInput(f"{column!r} in {name!r} holds {value!r:.40}; write text or a number", line=line)


def read_number(text: str, where: str, *, line: int, most: int) -> int:
    """The whole number of a cell.

    Raises:
        BadInput: it is none, or more than `most`.
    """
    number = re.fullmatch(r"(\d{1,12})(?:\.0+)?", text)
    if number is None or int(number[1]) > most:
        raise BadInput(f"{where} is {text!r}; it must be a whole number from 0 to {most}", line=line)
    return int(number[1])


def read_setting(text: str, column: str, *, where: str, line: int) -> dict[str, str | int]:
    """The setting that a cell says; none for a switch that says no.

    Raises:
        BadInput: it should be a number and is none.
    """
    if column == REFERENCES:
        return read_references(text, line=line)
    if column == FINISH:
        return read_finish(text, line)
    if column in SWITCHES and text.casefold() in _NO:
        return {}
    return {column: _value(text, column, where=where, line=line)}


def _value(text: str, column: str, *, where: str, line: int) -> str | int:
    if column in ADDRESSES:
        return _BETWEEN_ADDRESSES.sub(" ", text).strip(" ,;|")
    if column == "aspect_ratio":
        return _ratio(text)
    if column in SWITCHES:
        return "yes" if text.casefold() in YES else text
    most = NUMBERS.get(column)
    return text if most is None else read_number(text, where, line=line, most=most)


def _ratio(text: str) -> str:
    """A ratio as it was typed: spreadsheets take 16:9 for a time of day and save 16:09, 16:09:00 or 04:09:00 PM."""
    ratio = re.fullmatch(r"(\d{1,5}) *[:x/] *(\d{1,5})(?::00)?", text)
    if ratio is not None:
        return f"{int(ratio[1])}:{int(ratio[2])}"
    clock = re.fullmatch(r"(0?[1-9]|1[0-2]):(\d{2})(?::00)? *([AP])M", text, re.IGNORECASE)
    if clock is None:
        return text
    hour = int(clock[1]) % 12 + (12 if clock[3].upper() == "P" else 0)
    return f"{hour}:{int(clock[2])}"


def misspelt(columns: Iterable[str]) -> Iterator[str]:
    """A warning for each column that is not known and looks as if it should steer.

    Any other column is the owner's own and no mistake, so only names that begin alike count: `code` is not `mode`.
    """
    for column in sorted(set(columns) - KNOWN):
        folded = _folded(column)
        if folded in INSTEAD:
            yield f"the column {column!r} steers nothing; if it should, {INSTEAD[folded]}"
            continue
        alike = [known for known in KNOWN if known[0] == folded[:1]]
        if near := get_close_matches(folded, alike, n=1, cutoff=_ALIKE):
            yield f"the column {column!r} steers nothing; if it should, call it {near[0]!r}"


def _folded(written: str) -> str:
    return re.sub(r"[\s_-]+", "_", written.strip().casefold())
