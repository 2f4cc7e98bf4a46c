"""Long XML, a piece at a time: complete rows or texts are cut out of the stream, so that memory does not grow with it.

A piece that looks as nearly all programs write it is read by a pattern that must cover it to the last character (a
third of the time that a parser takes, measured); any other is parsed as a small document of its own. A cut in the
wrong place, as through a comment, leaves a piece that is not well-formed, and is refused.
"""

import re
from collections.abc import Iterator
from typing import Final
from xml.etree.ElementTree import Element, XMLParser

from pipeline.intake.workbooks.contract import Damaged, TooLarge

#: 100 cells of the 32,767 characters that a cell can hold.
_LONGEST: Final = 4 << 20
_MOST_HEAD_BYTES: Final = 16 << 20
_ENCODING: Final = re.compile(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)""")
_SHARED_ENCODINGS: Final = frozenset({b"utf-8", b"us-ascii", b"ascii"})
_ENTITY: Final = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9A-Fa-f]{1,6}));|&")
_NAMED: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
#: The longest closing tag that may lie across two chunks.
_OVERLAP: Final = 64


class Head:
    """The beginning of a part up to a certain tag, and the stream behind it.

    Args:
        wanted: the tag; its first group is the prefix, the last is not empty where the element is empty.

    Raises:
        Damaged: the tag does not come, or the part is not written in UTF-8.
    """

    def __init__(self, chunks: Iterator[bytes], wanted: re.Pattern[bytes]) -> None:
        content = b""
        for chunk in chunks:
            content += chunk
            if (found := wanted.search(content)) is not None:
                break
            if len(content) > _MOST_HEAD_BYTES:
                raise TooLarge(f"what stands before the first row has more than {_MOST_HEAD_BYTES:,} bytes")
        else:
            raise Damaged("one of its parts holds no list of rows or texts")
        declared = _ENCODING.match(content.removeprefix(b"\xef\xbb\xbf"))
        if declared is not None and declared[1].lower() not in _SHARED_ENCODINGS:
            raise Damaged(f"one of its parts is written in {declared[1].decode()}, not in UTF-8")
        self.before = content[: found.start()]
        self.prefix = (found[1] or b"").decode()
        self.empty = bool(found[found.re.groups])
        self._begun = content[found.end() :]
        self._chunks = chunks

    def rest(self) -> Iterator[bytes]:
        """What stands behind the tag."""
        yield self._begun
        yield from self._chunks


def pieces(chunks: Iterator[bytes], *, unit: bytes, stop: re.Pattern[bytes]) -> Iterator[str]:
    """Complete elements, many at a time, until the element around them ends.

    Args:
        unit: the closing tag of the elements.
        stop: the closing tag of the element around them.

    Raises:
        Damaged: the stream ends before `stop`, or is not UTF-8.
        TooLarge: a single element is longer than 4 MiB.
    """
    kept = b""
    for chunk in chunks:
        searched = max(len(kept) - _OVERLAP, 0)
        kept += chunk
        if (end := stop.search(kept, searched)) is not None:
            yield _text(kept[: end.start()])
            return
        cut = kept.rfind(unit, searched)
        if cut >= 0:
            cut += len(unit)
            yield _text(kept[:cut])
            kept = kept[cut:]
        elif len(kept) > _LONGEST:
            raise TooLarge(f"a single row or text of it has more than {_LONGEST:,} bytes")
    raise Damaged("it breaks off in the middle of a list of rows or texts")


def parsed(opening: str, piece: str, closing: str) -> Element:
    """A piece as a document of its own between two tags that say which namespaces it uses."""
    # The caller's opening tag comes first, so no document type can follow, and without one there are no entities.
    parser = XMLParser()  # noqa: S314 -- as said above
    parser.feed(opening + piece + closing)
    return parser.close()


def entities(text: str) -> str:
    """Text that a pattern took out of XML, as a parser would give it.

    Raises:
        Damaged: it names an entity that XML itself does not have.
    """
    return _ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    if match[1] is not None:
        return _NAMED[match[1]]
    code = int(match[2]) if match[2] else int(match[3] or "0", 16)
    if code in {9, 10, 13} or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0x10FFFF:
        return chr(code)
    raise Damaged(f"it holds {match[0]!r}, which stands for nothing")


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Damaged("one of its parts is not written in UTF-8") from None
