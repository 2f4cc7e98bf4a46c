"""Pictures that lie in or over the cells of a workbook: decoded with limits, encoded anew, and kept until the commit.

Reading a file writes nothing to the store, so that a dry run leaves nothing behind. Rows name the pictures by addresses
of `domain.stored_pictures`, which hold their digests: the same picture is the same reference, in whichever cell.
"""

import tempfile
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from domain.errors import BadInput
from domain.ids import sha256
from domain.stored_pictures import stored_address
from pipeline.intake.workbooks.contract import TooLarge
from pipeline.intake.workbooks.package import Package
from storage.picture_keys import key_of

if TYPE_CHECKING:
    from pipeline.resources import Resources

#: As many as an export lays into its rows.
MOST_PICTURES: Final = 5_000
MOST_BYTES: Final = 2 << 30
_IN_MEMORY: Final = 8 << 20
_ENDING: Final = "jpg"


class WorkbookPictures:
    """The pictures that rows of one workbook take along, each once, however many cells show it."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 -- closed with the pictures
        self._addresses: dict[str, str] = {}
        #: By key: where in the file, and how many bytes.
        self._kept: dict[str, tuple[int, int]] = {}
        self._size = 0
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def address_of(self, part: str) -> str:
        """The address of the picture in a part of the archive; reads it at the first call.

        Args:
            part: its name; "" for a picture that is only linked.

        Raises:
            BadInput: it cannot be used; without a place.
            Damaged, TooLarge: as `Package.chunks`; or the workbook has more pictures than are read.
        """
        known = self._addresses.get(part)
        if known is None:
            known = self._addresses[part] = self._read(part)
        return known

    def content(self, key: str) -> bytes:
        """What `keep` stores under that key."""
        at, length = self._kept[key]
        self._file.seek(at)
        return self._file.read(length)

    def keep(self, resources: "Resources") -> None:
        """Put all of them into the store; again is harmless."""
        from pipeline.preparing.input_pictures import PREFIX

        for key in self._kept:
            resources.store.put(self.content(key), ending=_ENDING, prefix=PREFIX)

    def _read(self, part: str) -> str:
        # Pillow and a client for HTTP come with it, and most prompt files have no picture.
        from pipeline.preparing import input_pictures

        if not (part and self._package.has(part)):
            raise BadInput("the picture lies elsewhere, and links out of the file are not followed; insert it itself")
        if len(self._addresses) >= MOST_PICTURES:
            raise TooLarge(f"it has more than {MOST_PICTURES:,} pictures")
        found = b"".join(self._package.chunks(part, most=input_pictures.MOST_BYTES))
        content = input_pictures.cleaned(found, name=part.rpartition("/")[2]).content
        key = key_of(content, ending=_ENDING, prefix=input_pictures.PREFIX)
        if key not in self._kept:
            self._kept[key] = self._size, len(content)
            self._file.seek(self._size)
            self._file.write(content)
            self._size += len(content)
        if self._size > MOST_BYTES:
            raise TooLarge(f"its pictures take more than {MOST_BYTES:,} bytes")
        return stored_address(key, origin=sha256(found))

    def addresses(self, parts: Sequence[str]) -> str:
        """Those of several, as a cell holds them."""
        return " ".join(map(self.address_of, parts))
