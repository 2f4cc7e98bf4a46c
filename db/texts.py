"""Replace characters that Postgres cannot store, NUL and lone surrogates, in text from providers.

Otherwise a provider's message could not be written, and would block the job that it is about.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    """`text` with a replacement character for each character that Postgres refuses."""
    return text.replace("\x00", _REPLACEMENT).encode("utf-8", "replace").decode("utf-8")


def storable_json(value: Any) -> Any:
    """`value` with all its texts and keys made storable, and NaN and infinities as text."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): storable_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable_json(inner) for inner in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value
