"""What a library says about a wrong value, in words that fit our sentences."""

import re

_WORDS = (
    (re.compile(r"\bValue error, "), ""),
    (re.compile(r"\bInput should be\b"), "it must be"),
    (re.compile(r", unable to parse string as an? \w+"), ""),
)


def plain_message(said: str) -> str:
    """A validator's message without the validator: what a value must be, not how that was found out."""
    for pattern, ours in _WORDS:
        said = pattern.sub(ours, said)
    return said
