"""JSON arrays and JSON lines: bytes to rows of named values, each with its line.

A row is an object, or a string, which stands for an object with nothing but a prompt. What makes a
prompt of a row is not decided here.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any, BinaryIO, NoReturn

from domain.errors import BadInput
from pipeline.intake.spreadsheet import read_lines

_SPACE = re.compile(r"[ \t\r\n]*")
#: What PostgreSQL stores neither in text nor in JSONB: NUL, and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def read_json_array(
    source: BinaryIO, *, name: str, rename: Callable[[str], str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a JSON array, as (1-based line on which the element begins, values by renamed key).

    Raises:
        BadInput: while rows are taken: invalid JSON with line and column, no array, an element that
            is neither object nor string, a key twice, text that no database can store.
    """
    text = "".join(read_lines(source, name=name))
    position = _after_space(text, 0)
    if not text.startswith("[", position):
        raise BadInput(
            f"{name!r} must hold one JSON array of strings or objects; a file with one object a line is named .jsonl",
            line=1,
        )
    position = _after_space(text, position + 1)
    line, counted = 1, 0
    more = not text.startswith("]", position)
    while more:
        line, counted = line + text.count("\n", counted, position), position
        element, position = _decoded(text, position, name=name, first_line=1)
        yield line, _fields(element, name=name, line=line, rename=rename)
        position = _after_space(text, position)
        more = text.startswith(",", position)
        if more:
            position = _after_space(text, position + 1)
        elif not text.startswith("]", position):
            raise _invalid(json.JSONDecodeError("expected ',' or ']'", text, position), name=name, first_line=1)
    if _after_space(text, position + 1) < len(text):
        raise _invalid(json.JSONDecodeError("something follows the array", text, position + 1), name=name, first_line=1)


def read_json_lines(
    source: BinaryIO, *, name: str, rename: Callable[[str], str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a file with one JSON value a line, as (1-based line, values by renamed key); empty lines are passed over.

    Raises:
        BadInput: as `read_json_array`.
    """
    for line, text in enumerate(read_lines(source, name=name), start=1):
        if text.isspace():
            continue
        element, end = _decoded(text, _after_space(text, 0), name=name, first_line=line)
        if _after_space(text, end) < len(text):
            failure = json.JSONDecodeError("something follows the value; write one value a line", text, end)
            raise _invalid(failure, name=name, first_line=line)
        yield line, _fields(element, name=name, line=line, rename=rename)


def checked_fields(prompt: object, *, name: str, line: int, rename: Callable[[str], str]) -> dict[str, Any]:
    """What a script or a request gives as one row, as values by renamed key: a text is a prompt.

    Raises:
        BadInput: as `read_json_array`, and for what JSON has no word for.
    """
    if isinstance(prompt, str):
        # NUL and half a pair are no printable characters, and asking is cheaper than searching.
        if not prompt.isprintable() and _UNSTORABLE.search(prompt):
            raise _unstorable(name, line)
        return {"prompt": prompt}
    try:
        text = json.dumps(dict(prompt), default=_path)  # type: ignore[call-overload]  # what is no mapping is refused
    except (TypeError, ValueError):
        what = f"{type(prompt).__name__} {prompt!r:.60}"
        raise BadInput(
            f"{name!r} holds the {what}; write a text or a mapping of texts and numbers", line=line
        ) from None
    element, _ = _decoded(text, 0, name=name, first_line=line)
    return _fields(element, name=name, line=line, rename=rename)


def _path(value: object) -> str:
    """The path of a picture, as scripts write it."""
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no value of a row")


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _decoded(text: str, position: int, *, name: str, first_line: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as failure:
        raise _invalid(failure, name=name, first_line=first_line) from None
    except (ValueError, RecursionError) as failure:
        line = first_line + text.count("\n", 0, position)
        raise BadInput(f"{name!r} holds JSON that cannot be used: {failure}; correct it", line=line) from None


def _invalid(failure: json.JSONDecodeError, *, name: str, first_line: int) -> BadInput:
    return BadInput(
        f"{name!r} is not valid JSON at column {failure.colno}: {failure.msg}; correct it there",
        line=first_line + failure.lineno - 1,
    )


def _fields(element: Any, *, name: str, line: int, rename: Callable[[str], str]) -> dict[str, Any]:
    if isinstance(element, str):
        element = {"prompt": element}
    if not isinstance(element, dict):
        raise BadInput(f"{name!r} holds {_kind(element)} here; write a string or an object with a prompt", line=line)
    if any(_UNSTORABLE.search(text) for text in _texts(element)):
        raise _unstorable(name, line)
    fields: dict[str, Any] = {}
    for key, value in element.items():
        column = rename(key)
        if column in fields:
            raise BadInput(f"{name!r} names {column!r} twice in one object; keep one of the two", line=line)
        fields[column] = value
    return fields


def _unstorable(name: str, line: int) -> BadInput:
    return BadInput(
        f"{name!r} holds a NUL or half a surrogate pair here, which no prompt can carry; delete it", line=line
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _kind(value: Any) -> str:
    return {list: "an array", bool: "a truth value", type(None): "null"}.get(type(value), "a number")


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        # The standard decoder keeps the last one silently, and a prompt would be gone.
        raise ValueError("an object names one of its keys twice")
    return fields


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)
