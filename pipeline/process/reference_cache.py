"""Remembers references: what stands under a content digest never changes, so nothing of it is invalidated.

Which of them a character has may change, and is remembered for a moment: a batch asks for it at each submission. An
address is remembered for hours: a service keeps files that were left with it for a day, and what stands under an
address that a person named may go.
"""

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from cachetools import TTLCache

from domain.ids import CharacterId

if TYPE_CHECKING:  # it brings tables along that a command which only looks does not need
    from db.records.characters import CharacterRow

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Recent(Generic[_Key, _Value]):
    """The values asked for last; made outside the lock, at worst twice.

    Args:
        keeps: whether a value is worth its memory.
        fresh_s: after so many seconds a value is made anew.
    """

    def __init__(
        self, size: int, *, keeps: Callable[[_Value], bool] = lambda _: True, fresh_s: float = math.inf
    ) -> None:
        self._keeps = keeps
        self._lock = threading.Lock()
        self._values: TTLCache[_Key, _Value] = TTLCache(size, ttl=fresh_s)

    def get(self, key: _Key, make: Callable[[], _Value]) -> _Value:
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = make()
        if self._keeps(value):
            with self._lock:
                self._values[key] = value
        return value


#: Half of the day for which Replicate keeps a file that was left with it.
_ADDRESS_FRESH_S = 12 * 3600.0
#: Which references a character has may be changed at any time.
_CHARACTER_FRESH_S = 2.0
#: A batch looks once at an address that it names in every row.
_SEEN_FRESH_S = 3600.0


class ReferenceCache:
    """Bytes of references by digest, the addresses under which a lane's provider can read them, and their sizes.

    Args:
        size: pictures kept; each takes what its file takes.
    """

    def __init__(self, *, size: int = 64) -> None:
        self._content: _Recent[str, bytes] = _Recent(size)
        # An address that holds the whole picture is made anew faster than it is worth keeping.
        self._urls: _Recent[tuple[str, str], str] = _Recent(
            16 * size, keeps=lambda url: not url.startswith("data:"), fresh_s=_ADDRESS_FRESH_S
        )
        self._pixels: _Recent[str, int] = _Recent(16 * size)
        self._characters: _Recent[CharacterId, CharacterRow] = _Recent(size, fresh_s=_CHARACTER_FRESH_S)
        self._seen: _Recent[tuple[str, str], str] = _Recent(16 * size, fresh_s=_SEEN_FRESH_S)

    def content(self, sha256: str, read: Callable[[], bytes]) -> bytes:
        return self._content.get(sha256, read)

    def character(self, character_id: CharacterId, read: "Callable[[], CharacterRow]") -> "CharacterRow":
        """A character with its references, as it stood within the last two seconds."""
        return self._characters.get(character_id, read)

    def url(self, lane: str, sha256: str, upload: Callable[[], str]) -> str:
        return self._urls.get((lane, sha256), upload)

    def seen(self, lane: str, url: str, look: Callable[[], str]) -> str:
        """Digest of the picture behind an address, which the lane's provider reads; a failure is not remembered."""
        return self._seen.get((lane, url), look)

    def pixels(self, url: str, measure: Callable[[], int]) -> int:
        """How large the picture behind an address is; a failure to measure it is not remembered."""
        # An address that holds the whole picture is measured faster than it is worth keeping.
        return measure() if url.startswith("data:") else self._pixels.get(url, measure)
