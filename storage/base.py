"""The contract of a picture store: content under a key made of its own digest, written once."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from domain.errors import ServiceMissing
from domain.ids import AttemptId


class StoreAway(ServiceMissing, OSError):
    """A bucket cannot be used: out of reach, or it refuses the keys, or it is not there.

    Also an `OSError`, as a folder that fails raises it: who works with a store waits for either in the same way.
    """

    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that is safely in the store.

    Args:
        key: content-addressed, `<prefix>/<aa>/<sha256>.<ending>`.
        url: where people can read it, or None for a store without addresses.
        uploaded_at: when it was last known to be in the bucket; None while it is kept on this machine alone.
    """

    key: str
    url: str | None
    uploaded_at: datetime | None = None


class PictureStore(Protocol):
    """Absence is `FileNotFoundError` in every implementation; a store that fails raises an `OSError`."""

    @property
    def publishes(self) -> bool:
        """Whether there is a bucket behind it, to which everything is brought in the end."""
        ...

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        """Store `content`, durably, before returning; storing the same content again is harmless."""
        ...

    def publish(self, key: str) -> Stored:
        """Bring what is stored under `key` to the bucket, unless it is there; without a bucket nothing is done.

        Raises:
            FileNotFoundError: it is neither in the bucket nor on this machine.
            StoreAway: the bucket cannot be used now.
        """
        ...

    @property
    def public_base(self) -> str | None:
        """What stands before a key in its public address, or None where there are none."""
        ...

    def probe(self) -> None:
        """Write a small file to the bucket, read it back and delete it; without a bucket nothing is done.

        Raises:
            StoreAway: it cannot be used; the sentence says which setting to look at.
        """
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
