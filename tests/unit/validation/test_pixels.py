"""Files as they come: every kind is read, everything else is named."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from domain.errors import NotAPicture
from tests.support.scoring_pictures import KINDS, deep, saved, scene, turned, with_alpha
from validation import pixels
from validation.crops import MOST
from validation.pixels import MAX_SIDE, decode, model_input, pixels_in
from validation.preprocessing import CLIP_DEFAULT

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "exif": "image/jpeg",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_an_upright_rgb_picture(kind: str) -> None:
    picture = decode(content := KINDS[kind](scene(1, (61, 40))))
    assert picture.image.mode == "RGB"
    assert {picture.width, picture.height} == {61, 40}
    assert picture.media_type == MEDIA_TYPES[kind.partition("-")[0]]
    assert picture.size_bytes == len(content)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_every_kind_is_measured_without_decoding_it(kind: str) -> None:
    content = KINDS[kind](scene(1, (96, 64)))
    found = decode(content)
    assert pixels_in(content) == found.width * found.height
    with pytest.raises(NotAPicture, match="HTML page"):
        pixels_in(b"<!doctype html>" + content)


def test_the_extension_is_the_usual_one() -> None:
    image = scene(1, (8, 8))
    extensions = {kind: decode(saved(image, kind)).extension for kind in ("PNG", "JPEG", "TIFF", "WEBP")}
    assert extensions == {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(orientation: int) -> None:
    corner = Image.new("RGB", (96, 64), "white")
    corner.paste((200, 0, 0), (0, 0, 32, 16))
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    upright = decode(turned(corner if back is None else corner.transpose(back), orientation))
    assert (upright.width, upright.height) == (96, 64)
    assert np.abs(np.asarray(upright.image, int) - np.asarray(corner, int)).mean() < 4


def test_a_damaged_exif_block_turns_nothing() -> None:
    whole = turned(scene(1, (64, 48)), 6)
    damaged = whole.replace(b"Exif\x00\x00MM", b"Exif\x00\x00??").replace(b"Exif\x00\x00II", b"Exif\x00\x00??")
    assert damaged != whole
    assert decode(damaged).width in {64, 48}


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert decode(saved(clear, "PNG")).image.getpixel((3, 3)) == (255, 255, 255)
    assert decode(saved(half, "PNG")).image.getpixel((3, 3)) == (127, 127, 127)


def test_an_animation_is_its_first_frame() -> None:
    first, second = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        content = saved(first, kind, save_all=True, append_images=[second])
        red, _, blue = decode(content).image.getpixel((5, 5))
        assert red > 200, kind
        assert blue < 60, kind


def test_sixteen_bits_are_rounded_to_eight() -> None:
    samples = np.array([[0, 128, 129, 257], [32768, 65278, 65407, 65535]], dtype=np.uint16)
    grey = np.asarray(decode(saved(Image.fromarray(samples), "PNG")).image)[..., 0]
    assert grey.tolist() == [[0, 0, 1, 1], [128, 254, 255, 255]]
    assert decode(saved(Image.fromarray(samples), "TIFF")).image.size == (4, 2)


def test_measurements_of_32_bits_are_no_picture() -> None:
    for samples in (np.zeros((4, 4), np.float32), np.zeros((4, 4), np.int32)):
        with pytest.raises(NotAPicture, match="32 bits"):
            decode(saved(Image.fromarray(samples), "TIFF"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"  <!DOCTYPE html><html><body>expired</body></html>", "HTML page"),
        (b"<html>gone</html>", "HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "text document"),
        (b'{"error": "expired"}', "text document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC"),
        (b"hello", "no picture"),
        (b"\x89PNG\r\n\x1a\n", "no picture"),
        (b"%PDF-1.7", "no picture"),
    ],
)
def test_what_is_no_picture_is_named(content: bytes, sentence: str) -> None:
    with pytest.raises(NotAPicture, match=sentence):
        decode(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_a_truncated_file_is_noticed(kind: str) -> None:
    whole = saved(scene(2, (200, 150)), kind)
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(NotAPicture):
            decode(whole[: int(len(whole) * part)])


def test_a_png_with_a_flipped_bit_is_noticed() -> None:
    whole = bytearray(saved(scene(2, (200, 150)), "PNG"))
    whole[len(whole) // 2] ^= 1
    with pytest.raises(NotAPicture, match="damaged"):
        decode(bytes(whole))


def bomb(width: int, height: int) -> bytes:
    """A PNG header that promises width x height pixels and holds a handful of bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\x00" * 64)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(8_001, 8_000), (10_000, 10_000), (40_000, 40_000), (2_000_000_000, 2_000_000_000)])
def test_a_bomb_is_refused_before_a_pixel_is_decoded(size: tuple[int, int]) -> None:
    with pytest.raises(NotAPicture, match="pixels"):
        decode(bomb(*size))


def test_a_line_of_many_pixels_is_refused() -> None:
    with pytest.raises(NotAPicture, match="a side"):
        decode(bomb(MAX_SIDE + 1, 1))


def test_the_limits_can_be_set() -> None:
    content = saved(scene(1, (20, 20)), "PNG")
    assert decode(content, max_pixels=400, max_bytes=len(content)).width == 20
    with pytest.raises(NotAPicture, match="at most 399 pixels"):
        decode(content, max_pixels=399)
    with pytest.raises(NotAPicture, match="bytes"):
        decode(content, max_bytes=len(content) - 1)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]), data=st.data())
def test_mutilated_files_are_pictures_or_no_pictures_and_never_anything_else(kind: str, data: st.DataObject) -> None:
    content = bytearray(_WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(content[: data.draw(st.integers(1, len(content)))]), max_pixels=1_000_000)
    except NotAPicture:
        pass
    except Warning:
        pass  # Pillow also warns of damage; only under test are warnings errors


_WHOLE = {kind: saved(scene(3, (24, 18)), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")}


def test_the_model_input_is_square_bytes_with_the_digest_of_its_preprocessing() -> None:
    made = model_input(scene(1, (300, 220)), CLIP_DEFAULT, source="abc")
    assert (made.size, len(made.pixels)) == (224, 224 * 224 * 3)
    assert (made.preprocessing, made.source) == (CLIP_DEFAULT.digest, "abc")


def test_the_longest_strip_costs_no_more_than_its_crops() -> None:
    made = model_input(Image.new("RGB", (MAX_SIDE, 1), (10, 200, 30)), CLIP_DEFAULT)
    assert made.pixels == bytes((10, 200, 30)) * 224 * 224 * MOST


@pytest.mark.parametrize("turned", [False, True])
def test_a_strip_that_is_not_resized_whole_has_the_crops_of_one_that_is(
    monkeypatch: pytest.MonkeyPatch, *, turned: bool
) -> None:
    image = scene(7, (700, 90))
    image = image.transpose(Image.Transpose.ROTATE_90) if turned else image
    whole = np.frombuffer(model_input(image, CLIP_DEFAULT).pixels, np.uint8).astype(int)
    monkeypatch.setattr(pixels, "_RESIZED_WHOLE", 0)
    alone = np.frombuffer(model_input(image, CLIP_DEFAULT).pixels, np.uint8).astype(int)
    assert len(whole) == len(alone) == 224 * 224 * 3 * MOST
    assert np.abs(whole - alone).max() <= 2, "Pillow's two passes round in another order"


def test_alpha_of_sixteen_bits_is_laid_over_white_too() -> None:
    image = with_alpha(scene(4, (30, 20)))
    deep_picture = decode(deep(image, colour_type=4)).image
    shallow = decode(saved(image.convert("LA"), "PNG")).image
    assert np.abs(np.asarray(deep_picture, int) - np.asarray(shallow, int)).max() <= 2


def test_looking_at_pictures_needs_no_torch() -> None:
    """In this process torch may be loaded by another test: a fresh one is asked."""
    probe = (
        "import sys, validation.pixels, validation.similarity, validation.batching, validation.weights, "
        "validation.embedding_lru; print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout.split() == ["False", "False"]
    assert told.stderr == ""
