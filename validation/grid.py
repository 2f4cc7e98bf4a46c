"""Cut a grid of two by two pictures into four. Pure; `pipeline.attempts.picture_ingest` decides when."""

import io
from typing import Final

from PIL import Image

from validation.pixels import Picture

#: Tolerance of the aspect ratio: services round sides to multiples of 8 or 16 pixels.
_TOLERANCE: Final = 0.06
_LEAST_SIDE: Final = 2


def quarters(grid: Image.Image, *, aspect: tuple[int, int] | None) -> tuple[Image.Image, ...] | None:
    """The four pictures in the order top left, top right, bottom left, bottom right, all of one size.

    The middle row or column of an odd side is left out.

    Args:
        aspect: requested width and height of each picture, which is also the grid's ratio; None where unknown.

    Returns:
        None where the shape cannot be such a grid.
    """
    width, height = grid.width // 2, grid.height // 2
    if min(width, height) < _LEAST_SIDE:
        return None
    if aspect is not None and abs(grid.width / grid.height * aspect[1] / aspect[0] - 1) > _TOLERANCE:
        return None
    lefts, tops = (0, grid.width - width), (0, grid.height - height)
    return tuple(grid.crop((left, top, left + width, top + height)) for top in tops for left in lefts)


def cut(grid: Picture, *, aspect: tuple[int, int] | None) -> list[tuple[bytes, Picture]] | None:
    """Cut a grid, and return each picture with its file.

    The files are PNG, because a second lossy compression would change what is seen and scored. The same grid always
    gives the same bytes, so that a repeated step finds its files in the store.
    """
    pictures = quarters(grid.image, aspect=aspect)
    if pictures is None:
        return None
    files = [(_as_png(picture), picture) for picture in pictures]
    return [
        (content, Picture(image=picture, media_type="image/png", size_bytes=len(content))) for content, picture in files
    ]


def _as_png(picture: Image.Image) -> bytes:
    into = io.BytesIO()
    picture.save(into, format="PNG", compress_level=4)
    return into.getvalue()
