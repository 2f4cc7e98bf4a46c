"""Where a picture comes from, written into its file: prompt, model, job, cost, scores, thresholds, digests.

The record is JSON in the file's XMP packet, which picture programs keep when they copy a file, and the same JSON in a
file beside it. Taking the record out gives back the bytes that the provider sent, so that anybody can tell a picture
that was changed from one that was not. Why here and so: docs/decisions/0050-provenance-is-embedded-on-export.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from domain.errors import BadInput
from domain.ids import sha256
from reports.picture_containers import NotEmbeddable, image_data_sha256, is_signed, packet_of, with_packet

#: A name of ours for the property; readers look for it and need not resolve it.
_NAMESPACE: Final = "urn:likeness:provenance#"
_OPEN: Final = f'<rdf:Description rdf:about="" xmlns:likeness="{_NAMESPACE}">'
_CLOSE: Final = "</rdf:Description>"
_OURS: Final = re.compile(re.escape(_OPEN) + r"<likeness:record>[^<]*</likeness:record>" + re.escape(_CLOSE))
_HEAD: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Likeness">\n'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
)
_RDF_END: Final = "</rdf:RDF>"
_TAIL: Final = f'{_RDF_END}\n</x:xmpmeta>\n<?xpacket end="w"?>'
#: What pictures made by a model are called: cv.iptc.org/newscodes/digitalsourcetype.
_MADE_BY_A_MODEL: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
#: XML 1.0 has no way to write these, escaped or not.
_NO_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Match(StrEnum):
    """What has become of a picture since its record was written."""

    UNCHANGED = "unchanged"  # byte for byte what the provider sent, but for the record
    METADATA = "metadata changed"  # the picture itself is what it was; a program has changed what stands beside it
    CHANGED = "changed"  # not the picture that the record is about


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The record of a picture file, and whether the picture is still the one that it is about.

    Args:
        record: the document; its keys are listed in docs/export.md.
        embedded: whether it was in the file, and not in the one beside it.
    """

    path: Path
    record: Mapping[str, Any]
    match: Match
    embedded: bool


def sidecar_of(picture: Path) -> Path:
    """The file beside `picture` that holds its record."""
    return picture.with_name(f"{picture.name}.json")


def sidecar_text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"


def with_hashes(record: Mapping[str, Any], original: bytes) -> dict[str, Any]:
    """The record with the digests of the file that the provider sent."""
    return {**record, "sha256": sha256(original), "image_data_sha256": image_data_sha256(original)}


def embedded(original: bytes, record: Mapping[str, Any]) -> bytes:
    """The file with the record in its XMP packet, in which whatever it held before stays.

    Raises:
        NotEmbeddable: the file takes no record, or would not be the same again without it.
    """
    if is_signed(original):
        raise NotEmbeddable("it carries Content Credentials (C2PA), and a record would break their signature")
    present = packet_of(original)
    done = with_packet(original, _merged(present, record) if present is not None else _alone(record))
    if original_of(done) != original:
        raise NotEmbeddable("its structure is unusual")
    return done


def original_of(content: bytes) -> bytes:
    """The file without the record of ours; the same file where it has none."""
    packet = packet_of(content)
    if packet is None:
        return content
    text = packet.decode("utf-8", "replace")
    without, found = _OURS.subn("", text)
    if not found:
        return content
    return with_packet(content, None if text.startswith(_HEAD) else without.encode())


def read_provenance(path: Path) -> Provenance | None:
    """The record of this picture file, wherever it has been copied to; None where neither it nor a file beside has one.

    Raises:
        BadInput: the file can't be read.
    """
    try:
        content = path.read_bytes()
        record = _embedded_record(content)
        found_inside = record is not None
        record = record or _sidecar_record(path)
    except OSError as failure:
        raise BadInput(f"{str(path)!r} cannot be read: {failure.strerror or failure}") from None
    if record is None:
        return None
    return Provenance(path=path, record=record, match=_match(content, record), embedded=found_inside)


def _match(content: bytes, record: Mapping[str, Any]) -> Match:
    if sha256(original_of(content)) == record.get("sha256"):
        return Match.UNCHANGED
    data = image_data_sha256(content)
    return Match.METADATA if data is not None and data == record.get("image_data_sha256") else Match.CHANGED


def _alone(record: Mapping[str, Any]) -> bytes:
    """A packet of ours, with what other programs show: the description, the tool, and that a model made it."""
    made_by = " by ".join(str(record[key]) for key in ("model", "provider") if record.get(key))
    prompt = _xml(str(record.get("prompt", "")))
    said = (
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">\n'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{prompt}</rdf:li></rdf:Alt>'
        f"</dc:description>\n<xmp:CreatorTool>{_xml(made_by)}</xmp:CreatorTool>\n"
        f"<Iptc4xmpExt:DigitalSourceType>{_MADE_BY_A_MODEL}</Iptc4xmpExt:DigitalSourceType>\n{_CLOSE}\n"
    )
    return f"{_HEAD}{said}{_description(record)}\n{_TAIL}".encode()


def _merged(packet: bytes, record: Mapping[str, Any]) -> bytes:
    """The provider's own packet with one description more."""
    try:
        text = packet.decode()
    except UnicodeDecodeError:
        raise NotEmbeddable("its XMP packet is not UTF-8") from None
    before, end, after = text.rpartition(_RDF_END)
    if not end or "xmlns:rdf=" not in before:
        raise NotEmbeddable("its XMP packet is unusual")
    return f"{before}{_description(record)}{end}{after}".encode()


def _description(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    text = _NO_XML.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)
    return f"{_OPEN}<likeness:record>{escape(text, quote=False)}</likeness:record>{_CLOSE}"


def _xml(text: str) -> str:
    return escape(_NO_XML.sub(" ", text), quote=False)


def _embedded_record(content: bytes) -> Mapping[str, Any] | None:
    """The record in the packet, also where another program has written the packet anew."""
    packet = packet_of(content)
    if packet is None or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return None
    try:
        tree = ET.fromstring(packet.decode("utf-8", "replace").strip("\ufeff\0 \n"))  # noqa: S314 -- declares no entity
    except ET.ParseError:
        return None
    name = f"{{{_NAMESPACE}}}record"
    for element in tree.iter():
        text = element.text if element.tag == name else element.get(name)
        if text:
            return _document(text)
    return None


def _sidecar_record(path: Path) -> Mapping[str, Any] | None:
    beside = sidecar_of(path)
    return _document(beside.read_text(encoding="utf-8", errors="replace")) if beside.is_file() else None


def _document(text: str) -> Mapping[str, Any] | None:
    """The record in this text; None for any other JSON, or none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "likeness" in found else None
