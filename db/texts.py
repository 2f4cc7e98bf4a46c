"""What Postgres can store of a text that somebody else wrote: no NUL, and no half of a surrogate pair.

A provider's message may hold either. One that could not be written would hold up the very job it speaks of.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """`text` with a replacement character for each character that Postgres refuses."""
    return text.replace("\x00", _REPLACEMENT).encode("utf-8", "replace").decode("utf-8")


def storable_json(value: Any) -> Any:
    """`value` with every text in it, keys included, made storable, and as text what JSON has no number for."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): storable_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(inner) for inner in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value
