"""Reword validation messages of pydantic so that they fit our error sentences."""

import re

_WORDS = (
    (re.compile(r"\bValue error, "), ""),
    (re.compile(r"\bInput should be\b"), "it must be"),
    (re.compile(r", unable to parse string as an? \w+"), ""),
)


def plain_message(message: str) -> str:
    """The message without the validator's own vocabulary: what a value must be."""
    for pattern, ours in _WORDS:
        message = pattern.sub(ours, message)
    return message
