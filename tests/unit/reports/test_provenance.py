"""A record in a picture file: read back wherever the file goes, and the picture's own bytes as they came."""

import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from reports import provenance
from reports.picture_containers import NotEmbeddable, image_data_sha256, packet_of, with_packet
from reports.provenance import Match, embedded, original_of, sidecar_of, sidecar_text, with_hashes

RECORD = {"likeness": 1, "prompt": 'a <pig> & "cow" ]]> 🐷 שלום \x07\ufffe\n=1+1', "provider": "openai", "model": "gpt"}


def _saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((97, 61)).convert(mode).save(file, kind, **options)
    return file.getvalue()


PACKET = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
PACKET += (
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="x"/></rdf:RDF></x:xmpmeta>'
)


def _png_with_text() -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode())
    info.add_text("Description", "a pig --v 7")
    return _saved("PNG", pnginfo=info)


FILES: dict[str, Callable[[], bytes]] = {
    "png": lambda: _saved("PNG"),
    "png-palette": lambda: _saved("PNG", "P", transparency=3),
    "png-with-xmp": _png_with_text,
    "png-with-a-tail": lambda: _saved("PNG") + b"behind the end",
    "jpeg": lambda: _saved("JPEG"),
    "jpeg-progressive-exif": lambda: _saved("JPEG", progressive=True, exif=Image.Exif(), comment=b"made"),
    "jpeg-with-xmp": lambda: _saved("JPEG", xmp=PACKET),
    "webp-lossy": lambda: _saved("WEBP"),
    "webp-lossless": lambda: _saved("WEBP", lossless=True),
    "webp-alpha": lambda: _saved("WEBP", "RGBA"),
    "webp-lossless-alpha": lambda: _saved("WEBP", "RGBA", lossless=True),
    "webp-with-xmp": lambda: _saved("WEBP", xmp=PACKET),
}


def _pixels(content: bytes) -> tuple[str, bytes]:
    with Image.open(io.BytesIO(content)) as picture:
        return picture.mode, picture.tobytes()


@pytest.fixture(params=FILES)
def original(request: pytest.FixtureRequest) -> bytes:
    return FILES[request.param]()


def test_a_record_is_put_in_without_touching_the_picture_and_taken_out_again(original: bytes, tmp_path: Path) -> None:
    record = with_hashes(RECORD, original)
    done = embedded(original, record)
    assert original_of(done) == original, "byte for byte what the provider sent"
    assert _pixels(done) == _pixels(original)
    assert image_data_sha256(done) == image_data_sha256(original) == record["image_data_sha256"]
    assert embedded(original_of(done), record) == done, "again, it is the same file"
    path = tmp_path / "renamed"
    path.write_bytes(done)
    found = provenance.read_provenance(path)
    assert found is not None
    assert (found.record, found.match, found.embedded) == (record, Match.UNCHANGED, True)


def test_other_programs_read_what_stands_in_the_packet(original: bytes) -> None:
    had_its_own = packet_of(original) is not None
    with Image.open(io.BytesIO(embedded(original, with_hashes(RECORD, original)))) as picture:
        metadata = json.dumps(picture.getxmp(), default=str)
    assert "a <pig> & " in metadata
    assert ("trainedAlgorithmicMedia" in metadata) is not had_its_own
    assert ('"format": "x"' in metadata) is had_its_own, "what the provider wrote is still there"


def test_a_changed_picture_is_told_from_changed_metadata(original: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    done = embedded(original, with_hashes(RECORD, original))
    packet = packet_of(done)
    assert packet is not None
    path.write_bytes(with_packet(done, packet.replace(b'rdf:about=""', b"rdf:about=''")))
    found = provenance.read_provenance(path)
    assert found is not None
    assert found.match is Match.METADATA
    # A byte in the middle of what is compressed, with PNG's own check sum put right, so that only ours tells.
    at = {b"\x89P": done.find(b"IDAT"), b"\xff\xd8": done.rfind(b"\xff\xda"), b"RI": done.find(b"VP8", 30)}[
        done[:2]
    ] + 20
    broken = bytearray(done)
    broken[at] ^= 1
    if done[:4] == b"\x89PNG":
        start = done.index(b"IDAT")
        size = int.from_bytes(done[start - 4 : start], "big")
        broken[start + 4 + size : start + 8 + size] = zlib.crc32(broken[start : start + 4 + size]).to_bytes(4, "big")
    path.write_bytes(bytes(broken))
    found = provenance.read_provenance(path)
    assert found is not None
    assert found.match is Match.CHANGED


def test_a_picture_that_was_saved_anew_with_its_packet_is_said_to_have_changed(tmp_path: Path) -> None:
    original = _saved("JPEG")
    done = embedded(original, with_hashes(RECORD, original))
    path = tmp_path / "again.jpg"
    with Image.open(io.BytesIO(done)) as picture:
        picture.resize((50, 30)).save(path, xmp=picture.info["xmp"])
    found = provenance.read_provenance(path)
    assert found is not None
    assert (found.record["prompt"], found.match) == (RECORD["prompt"], Match.CHANGED)


def test_the_file_beside_a_picture_serves_where_the_picture_takes_no_record(tmp_path: Path) -> None:
    original = _saved("GIF")
    with pytest.raises(NotEmbeddable, match="GIF files take no record"):
        embedded(original, with_hashes(RECORD, original))
    path = tmp_path / "pig.gif"
    path.write_bytes(original)
    assert provenance.read_provenance(path) is None
    sidecar_of(path).write_text(sidecar_text(with_hashes(RECORD, original)), encoding="utf-8")
    found = provenance.read_provenance(path)
    assert found is not None
    assert (found.record["prompt"], found.match, found.embedded) == (RECORD["prompt"], Match.UNCHANGED, False)
    path.write_bytes(original + b"!")
    found = provenance.read_provenance(path)
    assert found is not None
    assert found.match is Match.CHANGED


def test_content_credentials_of_the_provider_are_not_broken() -> None:
    png = _saved("PNG")
    body = b"caBX" + b"a manifest"
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    signed = png[:33] + chunk + png[33:]
    with pytest.raises(NotEmbeddable, match="Content Credentials"):
        embedded(signed, RECORD)


def test_a_record_that_no_segment_holds_is_refused_and_not_cut() -> None:
    with pytest.raises(NotEmbeddable, match="more than a JPEG segment holds"):
        embedded(_saved("JPEG"), {**RECORD, "prompt": "pig " * 20_000})
    assert embedded(_saved("PNG"), {**RECORD, "prompt": "pig " * 20_000})


def test_a_packet_that_declares_entities_is_not_parsed(tmp_path: Path) -> None:
    said = b'<x xmlns:l="urn:likeness:provenance#"><l:record>{"likeness":1}</l:record></x>'
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + said
    path = tmp_path / "bomb.png"
    path.write_bytes(with_packet(_saved("PNG"), bomb))
    assert provenance.read_provenance(path) is None


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["png", "jpeg", "webp-alpha"]), cut=st.integers(0, 10_000), junk=st.binary(max_size=40))
def test_a_damaged_file_is_never_an_accident(kind: str, cut: int, junk: bytes) -> None:
    content = FILES[kind]()
    damaged = content[: cut % len(content)] + junk
    original_of(damaged)
    image_data_sha256(damaged)
    try:
        done = embedded(damaged, RECORD)
    except NotEmbeddable:
        return
    assert original_of(done) == damaged
