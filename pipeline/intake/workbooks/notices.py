"""What is said about the cells of a workbook before anything is spent: one sentence for each thing, with its places."""

from collections.abc import Sequence
from typing import Final

_NAMED: Final = 5


class Notices:
    """Gathers places under the sentence that holds for all of them."""

    def __init__(self) -> None:
        self._places: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}

    def add(self, sentence: str, place: str) -> None:
        self._counts[sentence] = self._counts.get(sentence, 0) + 1
        named = self._places.setdefault(sentence, [])
        if len(named) < _NAMED:
            named.append(place)

    def sentences(self) -> Sequence[str]:
        """Each with the first of its places, and how many more there are."""
        said = []
        for sentence, places in self._places.items():
            more = self._counts[sentence] - len(places)
            said.append(f"{', '.join(places)}{f' and {more:,} more' if more else ''}: {sentence}")
        return said
