"""The zip archive that a workbook is, opened with limits, and its XML parsed so that no file can harm the process.

Nothing is extracted by name, followed or run: parts are read as streams, document types are refused (and with them
entities), links out of the file stay text. Limits are on what is promised by the archive before anything is unpacked;
`zipfile` never yields more of a part than that promise.
"""

import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, BinaryIO, Final
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

from domain.errors import BadInput
from pipeline.intake.workbooks.contract import Damaged, TooLarge

#: 200,000 rows of 100 cells take 0.8 GB of XML.
MOST_PART_BYTES: Final = 1 << 30
#: Sheets shrink to a tenth, sheets of equal rows to a hundredth; a bomb to a thousandth.
MOST_RATIO: Final = 300
#: Below this a ratio says nothing.
_SMALL_PART_BYTES: Final = 16 << 20
MOST_PARTS: Final = 65_000
#: The archive's own list of its parts is loaded whole; 65,000 parts with long names fit.
_MOST_LISTING_BYTES: Final = 16 << 20
#: Beside sheets and texts everything is small: names, styles, relations, the places of pictures.
MOST_SMALL_PART_BYTES: Final = 64 << 20
#: One tag or one run of markup. Expat 2.5 reads an unfinished one again at each chunk, so it must stay short.
_LONGEST_TOKEN: Final = 2 << 20
_DEEPEST: Final = 100
_CHUNK: Final = 1 << 16
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

#: What the standard library raises for an archive or a part that is not whole.
_UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    NotImplementedError,
    OverflowError,
    UnicodeDecodeError,
)
_ARCHIVE_ENDS = re.compile(rb"PK\x05\x06")


class Package:
    """The parts of an archive, by name."""

    def __init__(self, source: BinaryIO) -> None:
        _check_listing(source)
        self._archive = zipfile.ZipFile(source)
        infos = self._archive.infolist()
        if len(infos) > MOST_PARTS:
            raise TooLarge(f"it has {len(infos):,} parts, and {MOST_PARTS:,} is the most that is read")
        self._parts: Mapping[str, zipfile.ZipInfo] = {
            info.filename.replace("\\", "/").lstrip("/"): info for info in infos
        }
        self._folded = {name.casefold(): name for name in self._parts}

    def has(self, name: str) -> bool:
        return name.casefold() in self._folded

    def chunks(self, name: str, *, most: int = MOST_PART_BYTES) -> Iterator[bytes]:
        """The content of a part, piece by piece.

        Raises:
            Damaged: there is no such part, or it cannot be unpacked.
            TooLarge: it is larger than `most`, or shrunk like a bomb.
        """
        info = self._info(name)
        if info.file_size > most:
            raise TooLarge(f"its part {name!r} has {info.file_size:,} bytes, and {most:,} is the most that is read")
        if info.file_size > _SMALL_PART_BYTES and info.file_size > MOST_RATIO * info.compress_size:
            raise TooLarge(
                f"its part {name!r} unpacks to {info.file_size // max(info.compress_size, 1):,} times its size,"
                f" and {MOST_RATIO} is the most that is read"
            )
        with self._archive.open(info) as part:
            yield from _chunks(part)

    def content(self, name: str) -> bytes:
        """The whole of a small part."""
        return b"".join(self.chunks(name, most=MOST_SMALL_PART_BYTES))

    def relations(self, name: str) -> dict[str, tuple[str, str, bool]]:
        """What a part refers to: (last word of the type, target, whether it lies outside) by id.

        Targets inside are names of parts, targets outside are left as written.
        """
        folder, file = posixpath.split(name)
        listing = posixpath.join(folder, "_rels", f"{file}.rels")
        found: dict[str, tuple[str, str, bool]] = {}
        if not self.has(listing):
            return found

        def start(tag: str, attributes: dict[str, str]) -> None:
            if local(tag) == "Relationship":
                outside = attributes.get("TargetMode") == "External"
                target = attributes.get("Target", "")
                if not outside:
                    target = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
                found[attributes.get("Id", "")] = (attributes.get("Type", "").rpartition("/")[2], target, outside)

        self.parse(listing, start=start)
        return found

    def parse(
        self,
        name: str,
        *,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> None:
        """Parse a small part to its end."""
        for _ in feed(parser(start=start, end=end, text=text), self.chunks(name, most=MOST_SMALL_PART_BYTES)):
            pass

    def _info(self, name: str) -> zipfile.ZipInfo:
        info = self._parts.get(name) or self._parts.get(self._folded.get(name.casefold(), ""))
        if info is None:
            raise Damaged(f"its part {name[:80]!r} is missing")
        if info.flag_bits & 0x1:
            raise Damaged("its parts are locked with a password")
        if info.compress_type not in _METHODS:
            raise Damaged(f"its part {name!r} is packed in a way that no spreadsheet uses")
        return info


def parser(
    *,
    start: Callable[[str, dict[str, str]], None],
    end: Callable[[str], None] | None = None,
    text: Callable[[str], None] | None = None,
) -> expat.XMLParserType:
    """An XML parser that refuses document types, and elements nested beyond reason where `end` is not needed."""
    made = expat.ParserCreate()
    made.buffer_text = True
    made.buffer_size = _CHUNK
    made.StartDoctypeDeclHandler = _refuse_doctype
    made.StartElementHandler = start
    if end is not None:
        made.EndElementHandler = end
    if text is not None:
        made.CharacterDataHandler = text
    return made


def feed(into: expat.XMLParserType, chunks: Iterator[bytes], *, whole: bool = True) -> Iterator[None]:
    """Parse piece by piece; after each the caller takes what was found.

    Args:
        whole: the document ends with the last piece; False for one that is broken off on purpose.

    Raises:
        Damaged: that is no XML, or in an encoding that there is not.
    """
    fed = 0
    for chunk in chunks:
        try:
            into.Parse(chunk, False)
        except LookupError as unknown:
            if type(unknown) is not LookupError:
                raise  # a fault of ours in what is called with what was found
            raise Damaged(f"its XML names an {unknown}") from unknown
        fed += len(chunk)
        if fed - into.CurrentByteIndex > _LONGEST_TOKEN:
            raise TooLarge(f"a single tag in it is longer than {_LONGEST_TOKEN:,} bytes")
        yield
    if whole:
        into.Parse(b"", True)
        yield


class Depth:
    """Counts open elements, so that a file cannot make the parser remember millions of them."""

    def __init__(self) -> None:
        self.now = 0

    def down(self) -> None:
        self.now += 1
        if self.now > _DEEPEST:
            raise TooLarge(f"its elements are nested more than {_DEEPEST} deep")

    def up(self) -> None:
        self.now -= 1


def local(tag: str) -> str:
    """A tag without the prefix of its namespace, which every writer may choose."""
    return tag.rpartition(":")[2]


def whole_number(written: str, *, most: int) -> int:
    """A count or place in a file.

    Raises:
        Damaged: it is none, or larger than `most`.
    """
    if not (written.isascii() and written.isdigit() and len(written) <= 12 and int(written) <= most):
        raise Damaged(f"{written[:20]!r} stands where a number up to {most:,} belongs")
    return int(written)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """What goes wrong inside with the file becomes one sentence about it.

    Raises:
        BadInput: the file is damaged, cut off, locked, or larger than is read.
    """
    again = "open it in a spreadsheet program and save it again, or copy it anew"
    try:
        yield
    except TooLarge as failure:
        raise BadInput(f"{name!r} is not read: {failure}; split it, or save its sheet as CSV UTF-8") from failure
    except Damaged as failure:
        raise BadInput(f"{name!r} is no whole workbook: {failure}; {again}") from failure
    except (expat.ExpatError, ParseError) as failure:
        raise BadInput(f"{name!r} is no whole workbook: its XML is broken ({failure}); {again}") from failure
    except _UNREADABLE as failure:
        raise BadInput(f"{name!r} is damaged or cut off ({failure}); {again}") from failure


def _chunks(part: IO[bytes]) -> Iterator[bytes]:
    while chunk := part.read(_CHUNK):
        yield chunk


def _refuse_doctype(*_declared: object) -> None:
    raise Damaged("it declares a document type, as no spreadsheet does; entities are never followed")


def _check_listing(source: BinaryIO) -> None:
    """Look at the size of the archive's listing before it is loaded.

    Raises:
        Damaged: there is no end of the archive.
    """
    size = source.seek(0, 2)
    tail = min(size, 65_557)
    source.seek(size - tail)
    content = source.read(tail)
    ends = [match.start() for match in _ARCHIVE_ENDS.finditer(content)]
    if not ends or len(content) < ends[-1] + 22:
        raise Damaged("its end is missing")
    listed, offset = struct.unpack_from("<LL", content, ends[-1] + 12)
    if listed > _MOST_LISTING_BYTES:
        raise TooLarge(f"the list of its parts is longer than {_MOST_LISTING_BYTES:,} bytes")
    if offset + listed > size:
        raise Damaged("it is cut off")
