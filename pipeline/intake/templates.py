"""Placeholders in a prompt: `{{animal}}`, `{animal}`, `${animal}`, `$animal`, `__animal__`.

Each is filled from the row's own columns, or from the lists of `--vars`, where a row becomes one row for every value,
and for every part of a choice like `{in rain|in sun}`.
What nobody fills is found, since it would be painted as it stands.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Final

from domain.errors import BadInput

#: A price is no name, nor is a cashtag in capitals; a name follows no letter.
_NAME: Final = r"[A-Za-z][\w \-]{0,40}?"
_PLACEHOLDER: Final = re.compile(
    rf"\{{\{{\s*({_NAME})\s*\}}\}}|\$\{{\s*({_NAME})\s*\}}|\{{\s*({_NAME})\s*\}}|(?<![\w$])\$([a-z][a-z_0-9]*)\b"
    r"|(?<!\w)__([A-Za-z][A-Za-z0-9]*(?:[_/-][A-Za-z0-9]+)*)__(?!\w)"
)
_ALTERNATIVES: Final = re.compile(r"\{[^{}]*\|[^{}]*\}")
#: Names that Python gives to its own; a picture of code may show them.
_DUNDER: Final = frozenset({"init", "main", "name", "call", "del", "repr", "str", "dict", "file", "all", "doc", "new"})
#: So many rows may come of one.
MOST: Final = 10_000


def may_hold_placeholders(prompt: str) -> bool:
    """A quick look, which passes most prompts."""
    return "{" in prompt or "$" in prompt or "__" in prompt


def alternatives(prompt: str) -> list[tuple[str, str, Sequence[str]]]:
    """Each choice in the prompt, like `{in rain|in sun}`: as written, a name for it, and its parts."""
    found = dict.fromkeys(one.group() for one in _ALTERNATIVES.finditer(prompt))
    return [
        (written, f"choice {number}", [part.strip() for part in written[1:-1].split("|")])
        for number, written in enumerate(found, start=1)
    ]


def placeholders(prompt: str) -> list[tuple[str, str]]:
    """Each placeholder once, as written and by its name."""
    found: dict[str, str] = {}
    for match in _PLACEHOLDER.finditer(prompt):
        name = next(group for group in match.groups() if group is not None)
        if match.group(5) is None or name not in _DUNDER:
            found[match.group()] = folded(name)
    return list(found.items())


def folded(name: str) -> str:
    """A name as it is compared, however it is cased and spaced."""
    return re.sub(r"[\s_\-]+", "_", name.strip().casefold())


def filled(
    prompt: str, found: Sequence[tuple[str, str]], values: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The prompt with every choice of values, each with the values that were chosen.

    Args:
        found: the placeholders, all of which have values.
    """
    names = list(dict.fromkeys(name for _, name in found))
    for choice in product(*(values[name] for name in names)):
        chosen = dict(zip(names, choice, strict=True))
        text = prompt
        for written, name in found:
            text = text.replace(written, chosen[name])
        yield text, chosen


def read_variables(path: Path) -> Mapping[str, Sequence[str]]:
    """Lists of values by folded name: a JSON object of lists, or a CSV with a column for each name.

    Raises:
        BadInput: the file cannot be read, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as failure:
        raise BadInput(f"the file of --vars, {str(path)!r}, cannot be read: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"the file of --vars, {path.name!r}, is not UTF-8; save it as UTF-8") from None
    lists = _of_json(text, path.name) if path.suffix.lower() == ".json" else _of_csv(text)
    empty = [name for name, values in lists.items() if not values]
    if not lists or empty:
        what = f"has no value for {empty[0]!r}" if empty else "names no list"
        raise BadInput(f"the file of --vars, {path.name!r}, {what}; write a column or a JSON list of values for a name")
    return lists


def _of_json(text: str, name: str) -> dict[str, list[str]]:
    try:
        content: Any = json.loads(text)
    except ValueError as failure:
        raise BadInput(f"the file of --vars, {name!r}, is not valid JSON: {failure}; correct it there") from None
    if not isinstance(content, dict) or not all(isinstance(one, list) for one in content.values()):
        raise BadInput(f'the file of --vars, {name!r}, must hold an object of lists, like {{"animal": ["pig", "cow"]}}')
    return {folded(key): [str(one).strip() for one in values] for key, values in content.items()}


def _of_csv(text: str) -> dict[str, list[str]]:
    lists: dict[str, list[str]] = {}
    for row in csv.DictReader(text.splitlines()):
        for key, cell in row.items():
            values = lists.setdefault(folded(key or ""), [])
            if isinstance(cell, str) and cell.strip():
                values.append(cell.strip())
    return lists
