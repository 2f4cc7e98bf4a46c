"""How a command and its scoring process speak over pipes.

A message is one line of JSON, the header, and behind it the bytes of its parts, whose lengths the header's `sizes`
names. The process says one `ready` (or `failed`, and ends), then answers each request by one message, in order; a
`note` for people may come before `ready`. It ends when its standard input does.

    process   {"note": "..."}
    process   {"ready": {model, preprocessing, chunk}}      core centre, style centre, style spread
    command   {"pictures": N}                               N model inputs of S x S x 3 bytes
    process   {"outcomes": [null | {code, message}, ...]}   core and style of each that is null
    process   {"failed": {code, message}}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from domain.errors import (
    LikenessError,
    ModelUnloadable,
    NotAPicture,
    OutOfMemory,
    ScorerBroken,
    ScorerError,
    ServiceMissing,
    UnfitPicture,
)

_FAILURES: tuple[type[LikenessError], ...] = (
    ModelUnloadable,
    NotAPicture,
    OutOfMemory,
    ScorerBroken,
    ServiceMissing,
    UnfitPicture,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, whole."""

    header: Mapping[str, Any]
    parts: Sequence[bytes] = ()


def write(stream: BinaryIO, header: Mapping[str, Any], parts: Sequence[bytes] = ()) -> None:
    """Send one message.

    Raises:
        OSError: nobody reads any more.
    """
    line = json.dumps({**header, "sizes": [len(part) for part in parts]}) + "\n"
    stream.write(line.encode())
    stream.writelines(parts)
    stream.flush()


def read(stream: BinaryIO) -> Message | None:
    """The next message; None where the stream has ended, even in the middle of one."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    header = json.loads(line)
    parts = []
    for size in header.pop("sizes"):
        part = stream.read(size)
        if len(part) < size:
            return None
        parts.append(part)
    return Message(header=header, parts=parts)


def failure_header(failure: LikenessError) -> dict[str, str]:
    """A failure as a header holds it."""
    return {"code": failure.code, "message": str(failure)}


def failure_from_header(said: Mapping[str, str]) -> LikenessError:
    """The failure that `told` told; one that is none of the scorer's is a `ScorerError`."""
    for kind in _FAILURES:
        failure = kind(said["message"])
        if failure.code == said["code"]:
            return failure
    return ScorerError(said["message"])
