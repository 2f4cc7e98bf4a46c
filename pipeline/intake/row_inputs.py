"""What an order hands in beside words: pictures and specifications of garments, read and checked before it is written.

A picture is verified and encoded anew here, and waits on disk until the order is committed: a dry run, or an order that
is refused, leaves nothing in the store.
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from domain.errors import BadInput
from domain.garments import read_spec, spec_of
from domain.stored_pictures import stored_picture
from pipeline.intake.stage_wishes import is_address
from pipeline.preparing import input_pictures
from pipeline.preparing.input_pictures import InputPicture
from pipeline.resources import Resources

_SHOWN_CHARS: Final = 80
_LARGEST_SPEC: Final = 2**20
#: Addresses are fetched one after the other, and whoever sent the request waits for them.
_MOST_ADDRESSES_OF_A_REQUEST: Final = 20


class RowInputs:
    """The pictures and specifications of one order; what several rows name is read once.

    Args:
        folder: that relative paths begin at; None: no file of this machine is read, whatever a row names.
        files: pictures that came with the order itself, by the names that its rows have for them.
    """

    def __init__(self, *, folder: Path | None, files: Mapping[str, bytes]) -> None:
        self._folder = folder
        self._files = files
        self._pictures: dict[str, tuple[str, str]] = {}
        self._addresses = 0
        self._waiting: Path | None = None

    def read(self, wishes: Mapping[str, Any]) -> dict[str, Any]:
        """The wishes of a row, with its picture as the key that it will have, and its specification as it was read.

        Raises:
            BadInput: one of them cannot be used; the sentence says why.
        """
        read = dict(wishes)
        if (image := wishes.get("image")) is not None:
            read["image"], read["image_name"] = self._picture(str(image))
        if (vlt := wishes.get("vlt")) is not None:
            read["vlt"] = spec_of(read_spec(self._spec(vlt)))
        return read

    def keep(self, resources: Resources) -> None:
        """Put the pictures into the store."""
        if self._waiting is None:
            return
        for path in self._waiting.iterdir():
            resources.store.put(path.read_bytes(), ending=input_pictures.ENDING, prefix=input_pictures.PREFIX)

    def _picture(self, where: str) -> tuple[str, str]:
        if (stored := stored_picture(where)) is not None:
            # It lay over a cell of the workbook, which keeps it until the commit.
            return stored.key, "a picture of the workbook"
        if where not in self._pictures:
            picture = self._read_picture(where)
            self._waits(picture)
            self._pictures[where] = (input_pictures.key_of(picture), picture.name)
        return self._pictures[where]

    def _read_picture(self, where: str) -> InputPicture:
        if where in self._files:
            return input_pictures.cleaned(self._files[where], name=where)
        if self._folder is not None:
            return input_pictures.read_input(where, base=self._folder)
        if not is_address(where):
            raise BadInput(
                f"{where[:_SHOWN_CHARS]!r} is a file of another machine, and none of this one is read for a request;"
                " give an http(s) address, or send the picture itself to POST /api/generate/from-image"
            )
        self._addresses += 1
        if self._addresses > _MOST_ADDRESSES_OF_A_REQUEST:
            raise BadInput(
                f"a request may name {_MOST_ADDRESSES_OF_A_REQUEST} addresses of pictures, and this is one more;"
                " send the rows from here on in another request"
            )
        return input_pictures.read_input(where)

    def _waits(self, picture: InputPicture) -> None:
        if self._waiting is None:
            self._waiting = Path(tempfile.mkdtemp(prefix="likeness-inputs-"))
            weakref.finalize(self, shutil.rmtree, self._waiting, ignore_errors=True)
        (self._waiting / picture.sha256).write_bytes(picture.content)

    def _spec(self, vlt: Any) -> Any:
        """What a cell says: the JSON itself, or the file that holds it."""
        if not isinstance(vlt, str):
            return vlt
        if vlt.startswith(("{", "[")):
            return _json(vlt, "the specification")
        if self._folder is None:
            raise BadInput(f"the specification {vlt[:_SHOWN_CHARS]!r} is no JSON; write its JSON itself, not a file")
        return read_spec_file(self._folder / Path(vlt).expanduser())


def read_spec_file(path: Path) -> Any:
    """The JSON in a file.

    Raises:
        BadInput: it cannot be read, or is no JSON.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
    if len(content) > _LARGEST_SPEC:
        raise BadInput(f"{str(path)!r} has {len(content):,} bytes; a specification has a megabyte at most")
    return _json(content, repr(str(path)))


def _json(content: str | bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name} is no JSON: {error}") from None
