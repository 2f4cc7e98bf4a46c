"""The type of a picture file by its first bytes, whatever its name or a header says."""

from typing import Final

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"BM", "bmp"),
)


def picture_type(content: bytes) -> str | None:
    """`png`, `jpeg`, `webp`, `avif`, `gif`, `tiff` or `bmp`; None for any other file."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    if content[4:12] in {b"ftypavif", b"ftypavis"}:
        return "avif"
    return next((kind for beginning, kind in _BEGINNINGS if content.startswith(beginning)), None)
