"""A list that is kept on disk once it is long, so that a million rows need no memory."""

import marshal
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

_Row = TypeVar("_Row", bound=str | tuple[Any, ...])
#: So many bytes stay in memory: some ten thousand rows.
_IN_MEMORY: Final = 8 * 2**20
#: Rows are written and read in blocks, each behind its length.
_BLOCK: Final = 256
_LENGTH_BYTES: Final = 8


class Spool(Generic[_Row]):
    """Texts, or tuples of plain values, written once and then read any number of times, by one reader at a time."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 -- closed with the spool
        self._blocks = 0
        self._pending: list[_Row] = []
        # Before the file itself is collected, which would complain that nobody closed it.
        weakref.finalize(self, self._file.close)

    def append(self, row: _Row) -> None:
        self._pending.append(row)
        if len(self._pending) == _BLOCK:
            block = marshal.dumps(self._pending)
            self._file.write(len(block).to_bytes(_LENGTH_BYTES, "big"))
            self._file.write(block)
            self._blocks += 1
            self._pending.clear()

    def __len__(self) -> int:
        return self._blocks * _BLOCK + len(self._pending)

    def __iter__(self) -> Iterator[_Row]:
        self._file.seek(0)
        for _ in range(self._blocks):
            length = int.from_bytes(self._file.read(_LENGTH_BYTES), "big")
            yield from marshal.loads(self._file.read(length))  # noqa: S302 -- what this very process wrote
        yield from self._pending
