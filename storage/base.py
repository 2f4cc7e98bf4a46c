"""The contract of a picture store: content is written once, under a key derived from its digest."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from domain.errors import ServiceMissing
from domain.ids import AttemptId


class StoreAway(ServiceMissing, OSError):
    """A bucket cannot be used: unreachable, access refused, or missing.

    Also an `OSError`, which a failing folder raises, so that callers handle both stores alike.
    """

    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file that is safely in the store.

    Args:
        key: content-addressed, `<prefix>/<aa>/<sha256>.<ending>`.
        url: where people can read it, or None for a store without addresses.
        uploaded_at: when it was last known to be in the bucket; None while it is only on this machine.
    """

    key: str
    url: str | None
    uploaded_at: datetime | None = None


class PictureStore(Protocol):
    """A missing key raises `FileNotFoundError` in every implementation; a failing store raises another `OSError`."""

    @property
    def publishes(self) -> bool:
        """Whether stored files are eventually uploaded to a bucket."""
        ...

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        """Store `content`, durably, before returning; storing the same content again is harmless."""
        ...

    def publish(self, key: str) -> Stored:
        """Upload `key` to the bucket unless it is there; does nothing without a bucket.

        Raises:
            FileNotFoundError: it is neither in the bucket nor on this machine.
            StoreAway: the bucket cannot be used now.
        """
        ...

    @property
    def public_base(self) -> str | None:
        """The URL prefix of public addresses; None where there are none."""
        ...

    def probe(self) -> None:
        """Write a small file to the bucket, read it back and delete it; does nothing without a bucket.

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
        """Keep the service's reply to an attempt, durably, before returning; a later reply replaces it.

        For replies that contain the result itself, so that a crash after this call loses nothing.
        """
        ...

    def get_reply(self, attempt_id: AttemptId) -> bytes:
        """The reply that `put_reply` stored."""
        ...

    def delete(self, key: str) -> None:
        """Remove what is stored under `key`, everywhere; what is not there is no failure.

        For pictures that a person wants gone. The caller knows that nothing else is stored under that key.
        """
        ...

    def delete_reply(self, attempt_id: AttemptId) -> None:
        """Remove what `put_reply` kept, everywhere; what is not there is no failure."""
        ...
