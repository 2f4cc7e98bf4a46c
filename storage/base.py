"""The contract of a picture store: content under a key made of its own digest, written once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from domain.ids import AttemptId


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that is safely in the store.

    Args:
        key: content-addressed, `<prefix>/<aa>/<sha256>.<ending>`.
        url: where people can read it, or None for a store without addresses.
    """

    key: str
    url: str | None


class PictureStore(Protocol):
    """Absence is `FileNotFoundError` in every implementation."""

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        """Store `content`, durably, before returning; storing the same content again is harmless."""
        ...

    def path_of(self, key: str) -> Path | None:
        """The file of `key` on this machine, whether or not it is there; None for a store that keeps no files here."""
        ...

    def get(self, key: str) -> bytes:
        """The content under `key`, verified against the digest in the key."""
        ...

    def put_reply(self, attempt_id: AttemptId, content: bytes) -> None:
        """Keep what a service answered to the attempt, durably, before returning; a later one takes its place.

        For a reply that is the result itself: whoever dies behind this line has lost nothing.
        """
        ...

    def get_reply(self, attempt_id: AttemptId) -> bytes:
        """What `put_reply` kept, whole."""
        ...
