"""A picture store that writes to a folder first and to a bucket when possible, so that paid work never waits for it."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from domain.errors import PictureLost
from domain.ids import AttemptId
from storage.base import PictureStore, StoreAway, Stored
from storage.folder import FolderStore
from storage.keys import read_key

log = logging.getLogger(__name__)

_PAUSE_S: Final = 10.0


class MirroredStore:
    """Implements `storage.base.PictureStore`.

    What `put` could not upload at once has no `uploaded_at`; `publish` uploads it later.

    Args:
        bucket: the store that eventually holds everything.
        pause_s: after a failure, `put` does not try the bucket for this long; `publish` always does.
    """

    def __init__(
        self,
        folder: FolderStore,
        bucket: PictureStore,
        *,
        pause_s: float = _PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._bucket = bucket
        self._pause_s = pause_s
        self._clock = clock
        self._lock = threading.Lock()
        self._away = False
        self._tried = False
        self._not_before = clock()

    @property
    def publishes(self) -> bool:
        return True

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        """As in the contract; an unavailable bucket is not a failure here."""
        kept = self._folder.put(content, ending=ending, prefix=prefix)
        stored: list[Stored] = []
        self._unless_away(lambda: stored.append(self._bucket.put(content, ending=ending, prefix=prefix)))
        return stored[0] if stored else kept

    def publish(self, key: str) -> Stored:
        """As in the contract.

        Raises:
            PictureLost: the file on this machine is damaged, and the bucket has none.
        """
        try:
            content = self._folder.get(key)
        except FileNotFoundError:
            return self._bucket.publish(key)
        except PictureLost as damaged:
            try:
                return self._bucket.publish(key)
            except FileNotFoundError:
                raise damaged from None
        prefix = key.rsplit("/", 2)[0]
        return self._bucket.put(content, ending=read_key(key).ending, prefix=prefix)

    @property
    def public_base(self) -> str | None:
        return self._bucket.public_base

    def probe(self) -> None:
        self._bucket.probe()

    def path_of(self, key: str) -> Path:
        return self._folder.path_of(key)

    def get(self, key: str) -> bytes:
        """As in the contract: from this machine, else from the bucket.

        Raises:
            FileNotFoundError: it is in neither.
            PictureLost: what is there is not what was stored.
            StoreAway: it is not here, and the bucket cannot be used now.
        """
        try:
            return self._folder.get(key)
        except FileNotFoundError:
            return self._bucket.get(key)
        except PictureLost as damaged:
            try:
                return self._bucket.get(key)
            except FileNotFoundError:
                raise damaged from None

    def put_reply(self, attempt_id: AttemptId, content: bytes) -> None:
        self._folder.put_reply(attempt_id, content)
        # So that workers on other machines find it too.
        self._unless_away(lambda: self._bucket.put_reply(attempt_id, content))

    def get_reply(self, attempt_id: AttemptId) -> bytes:
        try:
            return self._folder.get_reply(attempt_id)
        except FileNotFoundError:
            return self._bucket.get_reply(attempt_id)

    def delete(self, key: str) -> None:
        """As in the contract; the bucket first, so that a failure there leaves everything to be deleted again.

        Raises:
            StoreAway: the bucket cannot be used now.
        """
        self._bucket.delete(key)
        self._folder.delete(key)

    def delete_reply(self, attempt_id: AttemptId) -> None:
        self._bucket.delete_reply(attempt_id)
        self._folder.delete_reply(attempt_id)

    def _unless_away(self, use: Callable[[], None]) -> None:
        """Use the bucket unless it failed just now; a failure is logged, not raised.

        After a failure one caller at a time tries again, so that a hanging bucket does not block all of them.
        """
        with self._lock:
            if self._away and (self._tried or self._clock() < self._not_before):
                return
            mine = self._tried = self._away
        try:
            use()
        except StoreAway as failure:
            self._note(away=True, mine=mine)
            log.warning("kept on this machine, to be uploaded later: %s", failure)
        except BaseException:
            self._note(away=self._away, mine=mine)
            raise
        else:
            self._note(away=False, mine=mine)

    def _note(self, *, away: bool, mine: bool) -> None:
        """Record whether the bucket worked; `mine` ends the single retry after a failure."""
        with self._lock:
            self._away = away
            if away:
                self._not_before = self._clock() + self._pause_s
            if mine:
                self._tried = False
