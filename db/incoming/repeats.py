"""Number the rows of an order that ask for the same picture."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from db.incoming.copy_lines import DIGEST


class Repeats:
    """Which identities may have come before: as much memory for a million rows as for ten.

    A bit per identity says whether one like it has been seen; the few that share a bit are remembered by name, and
    `numbered` counts those alone.
    """

    _BITS: Final = 1 << 27

    def __init__(self) -> None:
        self._seen = bytearray(self._BITS // 8)
        self._repeated: set[str] = set()

    def note(self, identity: bytes) -> bool:
        """Take the next row's identity; whether one like it may have come before."""
        place = int.from_bytes(identity[:4], "big") & (self._BITS - 1)
        at, bit = place >> 3, 1 << (place & 7)
        if self._seen[at] & bit:
            self._repeated.add(identity.hex())
            return True
        self._seen[at] |= bit
        return False

    def numbered(self, lines: Iterable[str]) -> Iterator[tuple[int, str]]:
        """Each line with its number among its equals, from 0."""
        repeated = self._repeated
        if not repeated:
            yield from ((0, line) for line in lines)
            return
        counts: Counter[str] = Counter()
        for line in lines:
            digest = line[DIGEST]
            if digest in repeated:
                yield counts[digest], line
                counts[digest] += 1
            else:
                yield 0, line
