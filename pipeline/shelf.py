"""A small memory of reference pictures: what stands under a content digest never changes, so nothing is invalidated."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Recent(Generic[_Key, _Value]):
    """The values asked for last; made outside the lock, at worst twice."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._values: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


class Shelf:
    """Bytes of references by digest, and the addresses under which a lane's provider can read them.

    Args:
        size: pictures kept; each takes what its file takes.
    """

    def __init__(self, *, size: int = 64) -> None:
        self._content: _Recent[str, bytes] = _Recent(size)
        self._urls: _Recent[tuple[str, str], str] = _Recent(16 * size)

    def content(self, sha256: str, read: Callable[[], bytes]) -> bytes:
        return self._content.get(sha256, read)

    def url(self, lane: str, sha256: str, upload: Callable[[], str]) -> str:
        return self._urls.get((lane, sha256), upload)
