"""Keys of stored pictures, derived from the content's digest, so that a picture has the same key in every store."""

import re
from dataclasses import dataclass
from typing import Final

from domain.errors import BadInput
from domain.ids import sha256

_PREFIX: Final = re.compile(r"[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*)*")
_ENDING: Final = re.compile(r"[a-z0-9]{1,8}")
_KEY: Final = re.compile(
    rf"{_PREFIX.pattern}/(?P<fan>[0-9a-f]{{2}})/(?P<digest>(?P=fan)[0-9a-f]{{62}})\.(?P<ending>{_ENDING.pattern})"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyParts:
    """What a key says about its content."""

    digest: str
    ending: str


def key_of(content: bytes, *, ending: str, prefix: str) -> str:
    """`<prefix>/<aa>/<sha256>.<ending>`.

    Raises:
        ValueError: `prefix` or `ending` could not be part of a key.
    """
    if not _PREFIX.fullmatch(prefix) or not _ENDING.fullmatch(ending):
        raise ValueError(f"no key can be made of prefix {prefix!r} and ending {ending!r}")
    digest = sha256(content)
    return f"{prefix}/{digest[:2]}/{digest}.{ending}"


def read_key(key: str) -> KeyParts:
    """The parts of a key.

    Raises:
        BadInput: `key` is none that `key_of` makes.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise BadInput(f"{key!r} is no key of a stored picture; they look like pictures/ab/abcd….png")
    return KeyParts(digest=found["digest"], ending=found["ending"])
