"""Put an XMP packet into a PNG, JPEG or WebP file and take it out again, without decoding or re-encoding a pixel.

A library that saves a picture encodes it anew; here the packet is spliced into the bytes as they came, so that taking
it out gives them back. Sources: PNG (W3C, third edition), JPEG (ISO 10918-1), WebP (RFC 9649), and where each holds
XMP: Adobe's XMP specification, part 3.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.errors import PictureError
from domain.ids import sha256
from domain.picture_types import picture_type

_PNG_KEYWORD: Final = b"XML:com.adobe.xmp\0"
#: Uncompressed, with an empty language and an empty translated keyword.
_PNG_PREFIX: Final = _PNG_KEYWORD + b"\0\0\0\0"
_JPEG_PREFIX: Final = b"http://ns.adobe.com/xap/1.0/\0"
#: The length of a JPEG segment is two bytes, which count themselves.
_JPEG_MOST: Final = 0xFFFF - 2
_WEBP_XMP, _WEBP_ALPHA = 0x04, 0x10


class NotEmbeddable(PictureError):
    """No packet can be put into this file; the message is the reason, a clause without full stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A chunk or segment: its name, its bytes `start:end` of the file, and its content, `body:tail`."""

    name: bytes
    start: int
    body: int
    tail: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """One kind of file.

    Args:
        parts: of the file, in order; what follows the last one is no part of the picture.
        metadata: names of parts that say something about the picture and change nothing of it.
        is_xmp: whether the part holds a packet.
        prefix: before the packet, in the part's body.
        part: the bytes of a part with this packet.
        place: where a new one goes.
        finished: the file after a part was put in or taken out.
    """

    parts: Callable[[bytes], Iterator[_Part]]
    metadata: frozenset[bytes]
    is_xmp: Callable[[bytes, _Part], bool]
    prefix: bytes
    part: Callable[[bytes], bytes]
    place: Callable[[bytes, Sequence[_Part]], int]
    finished: Callable[[bytes], bytes] = lambda content: content


def packet_of(content: bytes) -> bytes | None:
    """The XMP packet in the file; None where there is none, or where a file of this kind can't be read here."""
    found = _FORMATS.get(picture_type(content) or "")
    if found is None:
        return None
    try:
        part = _xmp_part(found, content)
    except NotEmbeddable:
        return None
    return None if part is None else content[part.body + len(found.prefix) : part.tail]


def with_packet(content: bytes, packet: bytes | None) -> bytes:
    """The file with this packet in place of the one that it has; None takes that out.

    Raises:
        NotEmbeddable: the kind or the structure of the file does not allow it.
    """
    kind = picture_type(content)
    found = _FORMATS.get(kind or "")
    if found is None:
        raise NotEmbeddable(f"{(kind or 'a file of unknown kind').upper()} files take no record here")
    present = _xmp_part(found, content)
    if present is None and packet is None:
        return content
    part = b"" if packet is None else found.part(packet)
    if present is None:
        at = found.place(content, list(found.parts(content)))
        return found.finished(content[:at] + part + content[at:])
    return found.finished(content[: present.start] + part + content[present.end :])


def is_signed(content: bytes) -> bool:
    """Whether the file carries Content Credentials (C2PA), whose signature covers every byte beside them."""
    found = _FORMATS.get(picture_type(content) or "")
    if found is None:
        return False
    return any(
        part.name in {b"caBX", b"C2PA"} or (part.name == b"APP11" and b"c2pa" in content[part.body : part.tail])
        for part in found.parts(content)
    )


def image_data_sha256(content: bytes) -> str | None:
    """The digest of what the picture is made of, metadata left out; None for files that can't be read here."""
    found = _FORMATS.get(picture_type(content) or "")
    if found is None:
        return None
    try:
        shown = [part for part in found.parts(content) if part.name not in found.metadata]
    except NotEmbeddable:
        return None
    return sha256(b"".join(part.name + content[part.body : part.tail] for part in shown))


def _xmp_part(found: _Format, content: bytes) -> _Part | None:
    every = [part for part in found.parts(content) if found.is_xmp(content, part)]
    if len(every) > 1:
        raise NotEmbeddable("it has several XMP packets")
    if every and not content.startswith(found.prefix, every[0].body):
        raise NotEmbeddable("its XMP packet is compressed")
    return next(iter(every), None)


# --- PNG ---


def _png_parts(content: bytes) -> Iterator[_Part]:
    at = 8
    while at < len(content):
        if at + 12 > len(content):
            raise NotEmbeddable("its chunks are damaged")
        size = int.from_bytes(content[at : at + 4], "big")
        name = content[at + 4 : at + 8]
        yield _whole(name, content, start=at, body=at + 8, tail=at + 8 + size, end=at + 12 + size)
        at += 12 + size
        if name == b"IEND":
            return


def _png_part(packet: bytes) -> bytes:
    body = b"iTXt" + _PNG_PREFIX + packet
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


# --- JPEG ---


def _jpeg_parts(content: bytes) -> Iterator[_Part]:
    at = 2
    while at < len(content):
        if content[at] != 0xFF or at + 4 > len(content):
            raise NotEmbeddable("its segments are damaged")
        marker = content[at + 1]
        if marker == 0xFF:
            at += 1  # a fill byte
            continue
        size = int.from_bytes(content[at + 2 : at + 4], "big")
        end = at + 2 + size
        if marker == 0xDA:
            # The scans: everything from here on, entropy-coded data and the segments between them.
            yield _whole(b"scan", content, start=at, body=at, tail=len(content), end=len(content))
            return
        name = b"APP%d" % (marker - 0xE0) if 0xE0 <= marker <= 0xEF else b"COM" if marker == 0xFE else bytes([marker])
        yield _whole(name, content, start=at, body=at + 4, tail=end, end=end)
        at = end


def _jpeg_part(packet: bytes) -> bytes:
    body = _JPEG_PREFIX + packet
    if len(body) > _JPEG_MOST:
        raise NotEmbeddable(f"its record of {len(body):,} bytes is more than a JPEG segment holds")
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def _jpeg_place(content: bytes, parts: Sequence[_Part]) -> int:
    """Behind JFIF's and Exif's segments, which want to be first."""
    at = 2
    for part in parts:
        if part.name != b"APP0" and not content.startswith(b"Exif\0", part.body):
            break
        at = part.end
    return at


# --- WebP ---


def _webp_parts(content: bytes) -> Iterator[_Part]:
    if 8 + int.from_bytes(content[4:8], "little") != len(content):
        raise NotEmbeddable("its length is not what its head says")
    at = 12
    while at < len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        tail = at + 8 + size
        yield _whole(content[at : at + 4], content, start=at, body=at + 8, tail=tail, end=tail + size % 2)
        at = tail + size % 2


def _webp_part(packet: bytes) -> bytes:
    return b"XMP " + struct.pack("<I", len(packet)) + packet + b"\0" * (len(packet) % 2)


def _webp_finished(content: bytes) -> bytes:
    """With size and flags in its head; a file of the simple form gets the head that metadata need, or loses it."""
    content = _webp_sized(content)
    parts = list(_webp_parts(content))
    names = [part.name for part in parts]
    has_xmp = b"XMP " in names
    if names[0] != b"VP8X":
        return _webp_sized(content[:12] + _webp_head(content, parts[0]) + content[12:]) if has_xmp else content
    flags = content[parts[0].body] & ~_WEBP_XMP
    if not has_xmp and len(names) == 2 and names[1] in {b"VP8 ", b"VP8L"} and not flags & ~_WEBP_ALPHA:
        return _webp_sized(content[:12] + content[parts[1].start :])
    flags |= _WEBP_XMP if has_xmp else 0
    return content[: parts[0].body] + bytes([flags]) + content[parts[0].body + 1 :]


def _webp_sized(content: bytes) -> bytes:
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def _webp_head(content: bytes, image: _Part) -> bytes:
    """The head of the extended form, for a file that is one image alone."""
    if image.name == b"VP8 ":
        width, height = (one & 0x3FFF for one in struct.unpack_from("<HH", content, image.body + 6))
        flags = _WEBP_XMP
    elif image.name == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, image.body + 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = _WEBP_XMP | (_WEBP_ALPHA if bits >> 28 & 1 else 0)
    else:
        raise NotEmbeddable("its chunks are damaged")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    sized: bytes = b"VP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + sides
    return sized


def _whole(name: bytes, content: bytes, *, start: int, body: int, tail: int, end: int) -> _Part:
    if end > len(content):
        raise NotEmbeddable("it ends before its last part does")
    return _Part(name=name, start=start, body=body, tail=tail, end=end)


_FORMATS: Final = {
    "png": _Format(
        parts=_png_parts,
        metadata=frozenset({b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"caBX"}),
        is_xmp=lambda content, part: part.name == b"iTXt" and content.startswith(_PNG_KEYWORD, part.body),
        prefix=_PNG_PREFIX,
        part=_png_part,
        place=lambda _content, parts: parts[0].end,
    ),
    "jpeg": _Format(
        parts=_jpeg_parts,
        metadata=frozenset({b"APP1", b"APP11", b"APP13", b"COM"}),
        is_xmp=lambda content, part: part.name == b"APP1" and content.startswith(_JPEG_PREFIX, part.body),
        prefix=_JPEG_PREFIX,
        part=_jpeg_part,
        place=_jpeg_place,
    ),
    "webp": _Format(
        parts=_webp_parts,
        metadata=frozenset({b"VP8X", b"EXIF", b"XMP ", b"C2PA"}),
        is_xmp=lambda _content, part: part.name == b"XMP ",
        prefix=b"",
        part=_webp_part,
        place=lambda content, _parts: len(content),
        finished=_webp_finished,
    ),
}
