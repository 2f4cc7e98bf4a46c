"""Thumbnails of a page: data URLs within it, or files in a folder beside it where there are many.

Either way a report needs neither server nor network. A page has a byte budget that is divided among its pictures; each
is encoded to fit its share.
"""

import contextlib
import io
import os
import re
import warnings
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from PIL import Image, ImageOps

#: Budget of a page: mail servers usually limit attachments to 10 MB, and Base64 adds a third.
_USUAL_BUDGET_BYTES, _USUAL_PICTURES = 5_600_000, 112
#: A larger batch gets more, because tiny pictures are useless, up to what a browser opens quickly.
_MORE_BYTES, _MOST_BUDGET_BYTES = 10_000, 18_000_000
#: More bytes than this do not improve a picture of this size.
_ENOUGH_BYTES = 100_000
_BEST_QUALITY, _WORST_QUALITY = 80, 55
_SMALLEST_PX = 96
#: No provider makes larger pictures; decoding one could exhaust the memory.
_MOST_PIXELS = 120_000_000
_THUMBNAIL = re.compile(r"[0-9a-f]{32}\.webp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A thumbnail to make, at most `side_px` wide or high and `limit_bytes` long."""

    path: Path
    side_px: int
    limit_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A picture by its address, a data URL or a relative one, with its size in pixels."""

    url: str
    width: int
    height: int


def share(*, large: int, small: int) -> tuple[int, int]:
    """Bytes per large and per small picture of a page; a large one gets three times as many."""
    beyond = max(large + small - _USUAL_PICTURES, 0)
    budget = min(_USUAL_BUDGET_BYTES + beyond * _MORE_BYTES, _MOST_BUDGET_BYTES)
    unit = min(budget // max(3 * large + small, 1), _ENOUGH_BYTES // 3)
    return 3 * unit, unit


def fitting_side(limit_bytes: int, *, most_px: int) -> int:
    """The side length that suits `limit_bytes`, at most `most_px`.

    WebP at quality 80 takes 0.03 to 0.09 bytes a pixel of the sandbox's drawings (measured); photographs take more,
    and what does not fit is encoded again, smaller.
    """
    return max(_SMALLEST_PX, min(most_px, int((limit_bytes / 0.16) ** 0.5)))


def make_thumbnails(wanted: Sequence[Wanted]) -> list[Thumbnail | None]:
    """A thumbnail for each of `wanted`, in order; None where the file is missing or not a picture."""
    # Pillow releases the GIL while it decodes and encodes.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(make_thumbnail, wanted))


def make_thumbnail(wanted: Wanted) -> Thumbnail | None:
    """A thumbnail that keeps the picture's shape, or None where the file is gone or no picture."""
    picture = _decoded(wanted.path, side_px=wanted.side_px)
    if picture is None:
        return None
    content, width, height = _encoded(picture, limit_bytes=wanted.limit_bytes)
    return Thumbnail(url=f"data:image/webp;base64,{b64encode(content).decode()}", width=width, height=height)


def store_thumbnails(wanted: Sequence[Wanted], folder: Path) -> list[Thumbnail | None]:
    """The same as files in `folder`, with addresses relative to its parent.

    A file that an earlier call made of the same picture is kept, so that the report of a batch that has grown costs
    what has been added; thumbnails that are not wanted any more are removed.

    Raises:
        OSError: the folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [_file_name(one) for one in wanted]
    # A picture that is shown twice is one file.
    by_name = {name: one for name, one in zip(names, wanted, strict=True) if name is not None}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        stored = dict(zip(by_name, pool.map(lambda name: _stored(by_name[name], folder, name), by_name), strict=True))
    for old in folder.glob("*.webp"):
        if _THUMBNAIL.fullmatch(old.name) and old.name not in by_name:
            old.unlink()
    return [None if name is None else stored[name] for name in names]


def _file_name(wanted: Wanted) -> str | None:
    """Another one for another picture, size or moment of change; None where there is no file."""
    try:
        found = wanted.path.stat()
    except OSError:
        return None
    told = f"{wanted.path.resolve()}\0{found.st_size}\0{found.st_mtime_ns}\0{wanted.side_px}\0{wanted.limit_bytes}"
    return f"{sha256(told.encode(errors='surrogateescape')).hexdigest()[:32]}.webp"


def _stored(wanted: Wanted, folder: Path, name: str) -> Thumbnail | None:
    path, url = folder / name, f"{quote(folder.name)}/{name}"
    with contextlib.suppress(OSError), Image.open(path) as kept:
        return Thumbnail(url=url, width=kept.width, height=kept.height)
    picture = _decoded(wanted.path, side_px=wanted.side_px)
    if picture is None:
        return None
    content, width, height = _encoded(picture, limit_bytes=wanted.limit_bytes)
    draft = path.with_suffix(".unfinished")
    draft.write_bytes(content)
    draft.replace(path)
    return Thumbnail(url=url, width=width, height=height)


def small_jpeg(path: Path, *, side_px: int) -> tuple[bytes, int, int] | None:
    """A picture as a JPEG of at most that side, with its width and height: the kind that every spreadsheet shows."""
    picture = _decoded(path, side_px=side_px)
    if picture is None:
        return None
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_BEST_QUALITY, optimize=True)
    return file.getvalue(), picture.width, picture.height


def _decoded(path: Path, *, side_px: int) -> Image.Image | None:
    """The picture in that file, upright, on white, at most `side_px` on a side; None where there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `_MOST_PIXELS` decides instead
            with Image.open(path) as opened:
                if opened.width * opened.height > _MOST_PIXELS:
                    return None
                opened.draft("RGB", (side_px, side_px))
                picture = _on_white(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None  # Pillow's decoders report a broken file by any of these
    picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return picture


def _encoded(picture: Image.Image, *, limit_bytes: int) -> tuple[bytes, int, int]:
    """WebP in at most `limit_bytes`, with its width and height: lower quality first, then smaller."""
    quality = _BEST_QUALITY
    while True:
        file = io.BytesIO()
        picture.save(file, "WEBP", quality=quality, method=3)
        excess = file.tell() / limit_bytes
        if excess <= 1 or (quality == _WORST_QUALITY and max(picture.size) <= _SMALLEST_PX):
            return file.getvalue(), picture.width, picture.height
        if (excess > 1.3 or quality == _WORST_QUALITY) and max(picture.size) > _SMALLEST_PX:
            side = max(_SMALLEST_PX, int(max(picture.size) * max(0.5, 0.95 / excess**0.5)))
            picture = ImageOps.contain(picture, (side, side), Image.Resampling.LANCZOS)
        quality = _WORST_QUALITY


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        ground = Image.new("RGBA", picture.size, "white")
        ground.alpha_composite(picture.convert("RGBA"))
        picture = ground
    return picture.convert("RGB")
