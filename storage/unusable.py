"""A bucket that is configured by half: it takes and gives nothing, and every use says which setting is missing.

Behind a `storage.mirrored.MirroredStore` it is one that is away: pictures wait in the folder, nothing is taken for lost
because it may lie in the bucket alone, and a deletion fails instead of leaving a copy there.
"""

from typing import NoReturn

from domain.ids import AttemptId
from storage.base import StoreAway
from storage.picture_keys import read_key


class UnusableBucket:
    """Implements `storage.base.PictureStore`; whatever needs the bucket raises `StoreAway`.

    Args:
        reason: a sentence that says what to set.
        cdn_url: public URL of the bucket, where it is known: what was uploaded before is still there.
    """

    def __init__(self, reason: str, *, cdn_url: str | None = None) -> None:
        self._reason = reason
        self._cdn_url = cdn_url

    @property
    def publishes(self) -> bool:
        return True

    @property
    def public_base(self) -> str | None:
        return None if self._cdn_url is None else f"{self._cdn_url.rstrip('/')}/"

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> NoReturn:  # noqa: ARG002 -- the contract's
        self._refuse()

    def publish(self, key: str) -> NoReturn:
        read_key(key)
        self._refuse()

    def probe(self) -> NoReturn:
        self._refuse()

    def path_of(self, key: str) -> None:
        """None: the files of a bucket are not on this machine."""
        read_key(key)

    def get(self, key: str) -> NoReturn:
        read_key(key)
        self._refuse()

    def put_reply(self, attempt_id: AttemptId, content: bytes) -> NoReturn:  # noqa: ARG002 -- the contract's
        self._refuse()

    def get_reply(self, attempt_id: AttemptId) -> NoReturn:  # noqa: ARG002 -- the contract's
        self._refuse()

    def delete(self, key: str) -> NoReturn:
        read_key(key)
        self._refuse()

    def delete_reply(self, attempt_id: AttemptId) -> NoReturn:  # noqa: ARG002 -- the contract's
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreAway(self._reason)
