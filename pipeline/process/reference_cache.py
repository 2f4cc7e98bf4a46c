"""A small memory of reference pictures: what stands under a content digest never changes, so nothing is invalidated.

What stands under an address that a person named is taken to stay, too.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Recent(Generic[_Key, _Value]):
    """The values asked for last; made outside the lock, at worst twice.

    Args:
        keeps: whether a value is worth its memory.
    """

    def __init__(self, size: int, *, keeps: Callable[[_Value], bool] = lambda _: True) -> None:
        self._size = size
        self._keeps = keeps
        self._lock = threading.Lock()
        self._values: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        if not self._keeps(value):
            return value
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return value


class ReferenceCache:
    """Bytes of references by digest, the addresses under which a lane's provider can read them, and their sizes.

    Args:
        size: pictures kept; each takes what its file takes.
    """

    def __init__(self, *, size: int = 64) -> None:
        self._content: _Recent[str, bytes] = _Recent(size)
        # An address that holds the whole picture is made anew faster than it is worth keeping.
        self._urls: _Recent[tuple[str, str], str] = _Recent(16 * size, keeps=lambda url: not url.startswith("data:"))

        self._pixels: _Recent[str, int] = _Recent(16 * size)

    def content(self, sha256: str, read: Callable[[], bytes]) -> bytes:
        return self._content.get(sha256, read)

    def url(self, lane: str, sha256: str, upload: Callable[[], str]) -> str:
        return self._urls.get((lane, sha256), upload)

    def pixels(self, url: str, measure: Callable[[], int]) -> int:
        """How large the picture behind an address is; a failure to measure it is not remembered."""
        # An address that holds the whole picture is measured faster than it is worth keeping.
        return measure() if url.startswith("data:") else self._pixels.get(url, measure)
