"""Addresses of pictures in this installation's own store, for settings that hold addresses.

A picture that came inside a prompt file has no address that a service could read. It gets one under a name that never
leads anywhere (RFC 2606), so that rows with it are checked, compared and listed like any other; what a service can read
takes its place when the row is sent.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_BASE: Final = "https://store.likeness.invalid/"
_ADDRESS: Final = re.compile(
    re.escape(_BASE) + r"([0-9a-f]{64})/([a-z]{1,20}/[0-9a-f]{2}/([0-9a-f]{64})\.([a-z]{3,4}))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPicture:
    """A picture of the store.

    Args:
        origin: digest of the file that it was made of: another way of encoding it anew makes no other reference.
        key: in the store, and so the name of its content.
        sha256: digest of what is stored.
        ending: of its file.
    """

    origin: str
    key: str
    sha256: str
    ending: str


def stored_address(key: str, *, origin: str) -> str:
    return f"{_BASE}{origin}/{key}"


def stored_picture(address: str) -> StoredPicture | None:
    """The picture behind an address that `stored_address` made; None for any other address."""
    found = _ADDRESS.fullmatch(address)
    return None if found is None else StoredPicture(origin=found[1], key=found[2], sha256=found[3], ending=found[4])


def with_stored(value: Any, address_of: Callable[[str], str]) -> Any:
    """A setting with every such address replaced, inside texts and lists; anything else as it is."""
    if isinstance(value, str):
        return _ADDRESS.sub(lambda found: address_of(found[0]), value) if _BASE in value else value
    if isinstance(value, list | tuple):
        return [with_stored(one, address_of) for one in value]
    return value
