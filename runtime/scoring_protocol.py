"""The message format between a command and its scoring process.

A message is a header, one line of JSON, followed by binary parts whose lengths are in the header's `sizes`. The process
sends `ready` (or `failed`, and ends), then answers each request with one message, in order; `note`s for users may come
before `ready`. It ends when its standard input ends.

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
    """One complete message."""

    header: Mapping[str, Any]
    parts: Sequence[bytes] = ()


def write(stream: BinaryIO, header: Mapping[str, Any], parts: Sequence[bytes] = ()) -> None:
    """Send one message.

    Raises:
        OSError: the reader is gone.
    """
    line = json.dumps({**header, "sizes": [len(part) for part in parts]}) + "\n"
    stream.write(line.encode())
    stream.writelines(parts)
    stream.flush()


def read(stream: BinaryIO) -> Message | None:
    """The next message; None at the end of the stream, even in the middle of a message."""
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
    """The header fields of a failure."""
    return {"code": failure.code, "message": str(failure)}


def failure_from_header(fields: Mapping[str, str]) -> LikenessError:
    """Rebuild the failure from its header fields; a class that is not the scorer's becomes `ScorerError`."""
    for kind in _FAILURES:
        failure = kind(fields["message"])
        if failure.code == fields["code"]:
            return failure
    return ScorerError(fields["message"])
