"""Pictures that people hand in: verified, re-encoded without anything but pixels, and within limits.

What is kept has no EXIF block, so that no place and no camera goes on to anybody. An address is fetched as the pictures
of services are: never inside a private network, neither by redirect nor by a name that changes in between.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from PIL import Image

from domain.errors import BadInput, NotAPicture, PictureError
from domain.ids import sha256
from providers.transport.fetch import PictureFetcher
from storage import picture_keys
from validation.pixels import decode

MOST_BYTES: Final = 20 * 2**20
MOST_PIXELS: Final = 40_000_000
#: The longer side of what is kept: more than any analyser looks at.
KEPT_SIDE: Final = 2048
PREFIX: Final = "inputs"
ENDING: Final = "jpg"
_QUALITY: Final = 92
_FETCHED_WITHIN_S: Final = 20.0
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPicture:
    """A picture as it is kept.

    Args:
        content: JPEG, upright, RGB, with no metadata.
        name: for people: the file's own, or the host of its address.
    """

    content: bytes
    name: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        return sha256(self.content)


def read_input(where: str | Path, *, base: Path | None = None) -> InputPicture:
    """The picture at a path or an http(s) address.

    Args:
        base: the folder that a relative path is relative to.

    Raises:
        BadInput: it cannot be used; the sentence says why.
    """
    text = str(where).strip()
    if urlsplit(text).scheme.lower() in {"http", "https"}:
        name = urlsplit(text).hostname or "an address"
        content = _fetched(text, name)
    else:
        path = Path(text).expanduser()
        path = path if path.is_absolute() or base is None else base / path
        name, content = path.name, _read(path)
    return cleaned(content, name=name)


def cleaned(content: bytes, *, name: str) -> InputPicture:
    """The picture in `content`, encoded anew.

    Raises:
        BadInput: it is none, or too large.
    """
    name = "".join(letter for letter in name if letter.isprintable())[:_LONGEST_NAME] or "a picture"
    try:
        image = decode(content, max_pixels=MOST_PIXELS, max_bytes=MOST_BYTES).image
    except NotAPicture as failure:
        raise BadInput(f"picture {name!r} cannot be used: {failure}") from failure
    if max(image.size) > KEPT_SIDE:
        share = KEPT_SIDE / max(image.size)
        image = image.resize(
            (max(1, round(image.width * share)), max(1, round(image.height * share))), Image.Resampling.LANCZOS
        )
    # From the bare pixels: whatever else the file carried stays behind.
    bare = Image.frombytes("RGB", image.size, image.tobytes())
    out = io.BytesIO()
    bare.save(out, format="JPEG", quality=_QUALITY, subsampling=0)
    return InputPicture(content=out.getvalue(), name=name, width=image.width, height=image.height)


def key_of(picture: InputPicture) -> str:
    """Its key in the store, where it is put under `PREFIX` with `ENDING`."""
    return picture_keys.key_of(picture.content, ending=ENDING, prefix=PREFIX)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise BadInput(f"picture {str(path)!r} has {size:,} bytes; at most {MOST_BYTES:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"picture {str(path)!r} cannot be read: {error.strerror or error}") from None


def _fetched(url: str, name: str) -> bytes:
    fetcher = PictureFetcher(own_host=None, total_s=_FETCHED_WITHIN_S, most_bytes=MOST_BYTES)
    try:
        return fetcher.fetch(url)
    except PictureError as failure:
        raise BadInput(f"the picture at {name} cannot be used: {failure}") from failure
    finally:
        fetcher.close()
