"""A picture store in a local folder.

Files appear atomically and are durable once `put` returns. Nothing is ever changed
here, and removed only where a person deletes a picture; which one
belongs to which generation is in the database.
"""

import os
import time
from pathlib import Path
from typing import Final
from uuid import uuid4

from domain.errors import BadInput, PictureLost
from domain.ids import AttemptId, sha256
from storage.base import Stored
from storage.keys import key_of, read_key

#: Under the root, so that a finished file moves into place without being copied.
_UNFINISHED: Final = ".unfinished"
_ABANDONED_S: Final = 24 * 3600.0


class FolderStore:
    """Implements `storage.base.PictureStore`; any number of threads and processes may share one folder.

    Args:
        root: created when missing; everything the store writes lies below it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        _make_folder(self._root / _UNFINISHED)
        self._forget_abandoned()

    @property
    def publishes(self) -> bool:
        return False

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        """As in the contract.

        Raises:
            ValueError: `prefix` or `ending` could not be part of a key.
        """
        key = key_of(content, ending=ending, prefix=prefix)
        target = self._root / key
        _make_folder(target.parent)
        if not _holds(target, content):
            self._write(target, content)
        # Also when the file existed: its writer may have died before syncing the folder.
        _settle(target.parent)
        return Stored(key=key, url=None)

    def publish(self, key: str) -> Stored:
        """Does nothing: a folder has no public addresses."""
        return Stored(key=key, url=None)

    def get(self, key: str) -> bytes:
        """As in the contract.

        Raises:
            FileNotFoundError: nothing is stored under `key`.
            BadInput: `key` is none that this store makes.
            PictureLost: what lies there is not what was stored.
        """
        content = self.path_of(key).read_bytes()
        if sha256(content) != Path(key).stem:
            raise PictureLost(f"the file of {key!r} is damaged: its digest is {sha256(content)}")
        return content

    @property
    def public_base(self) -> None:
        return None

    def probe(self) -> None:
        """Does nothing: there is no bucket."""

    def path_of(self, key: str) -> Path:
        """Where the file of `key` lies, or would lie.

        Raises:
            BadInput: `key` is none that this store makes, or a link leads out of the store's folder.
        """
        read_key(key)
        path = (self._root / key).resolve()
        if not path.is_relative_to(self._root):
            raise BadInput(f"{key!r} is no key of a stored picture: it leads out of the store's folder")
        return path

    def put_reply(self, attempt_id: AttemptId, content: bytes) -> None:
        target = self._reply_path(attempt_id)
        _make_folder(target.parent)
        self._write(target, content)
        _settle(target.parent)

    def get_reply(self, attempt_id: AttemptId) -> bytes:
        """As in the contract.

        Raises:
            FileNotFoundError: no reply is kept for the attempt.
        """
        return self._reply_path(attempt_id).read_bytes()

    def delete(self, key: str) -> None:
        self._remove(self.path_of(key))

    def delete_reply(self, attempt_id: AttemptId) -> None:
        self._remove(self._reply_path(attempt_id))

    @staticmethod
    def _remove(path: Path) -> None:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            _settle(path.parent)

    def _reply_path(self, attempt_id: AttemptId) -> Path:
        # UUIDv7 ids begin with the time, so the last digits spread them over folders.
        return self._root / "replies" / attempt_id.hex[-2:] / f"{attempt_id.hex}.json"

    def _write(self, target: Path, content: bytes) -> None:
        unfinished = self._root / _UNFINISHED / uuid4().hex
        try:
            with unfinished.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def _forget_abandoned(self) -> None:
        """Remove temporary files of dead writers: those older than a day, so that no live writer loses its file."""
        for path in (self._root / _UNFINISHED).iterdir():
            try:
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process was faster


def _holds(path: Path, content: bytes) -> bool:
    """Whether `path` holds exactly `content`; a damaged file is written anew."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _make_folder(folder: Path) -> None:
    """Create `folder` and its missing parents, syncing each parent."""
    missing = [one for one in (folder, *folder.parents) if not one.is_dir()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        _settle(one.parent)


def _settle(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
