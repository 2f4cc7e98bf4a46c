"""How a page's bytes are shared out among its pictures."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reports.thumbnails import Wanted, make_thumbnail, share


@given(large=st.integers(0, 700), small=st.integers(0, 5_000))
def test_no_page_grows_beyond_what_a_browser_opens_at_once(large: int, small: int) -> None:
    for_large, for_small = share(large=large, small=small)
    assert large * for_large + small * for_small <= 18_000_000
    assert for_large == 3 * for_small


def test_a_picture_fits_its_share_and_keeps_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "noise.png"
    Image.merge("RGB", [Image.effect_noise((900, 450), 90) for _ in range(3)]).save(path)
    for limit in (2_000, 20_000, 60_000):
        made = make_thumbnail(Wanted(path=path, side_px=640, limit_bytes=limit))
        assert made is not None
        assert len(made.url) <= limit * 4 / 3 + 40
        assert made.width / made.height == pytest.approx(2, rel=0.05)


def test_a_picture_that_was_taken_sideways_stands_upright(tmp_path: Path) -> None:
    path = tmp_path / "sideways.jpg"
    picture = Image.new("RGB", (400, 200))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(path, exif=exif)
    made = make_thumbnail(Wanted(path=path, side_px=100, limit_bytes=50_000))
    assert made is not None
    assert (made.width, made.height) == (50, 100)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"GIF89a\x00", b"RIFF0000WEBPVP8 "])
def test_what_is_no_picture_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.png"
    path.write_bytes(content)
    assert make_thumbnail(Wanted(path=path, side_px=100, limit_bytes=50_000)) is None


def test_a_truncated_picture_is_none(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    Image.effect_noise((300, 300), 50).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert make_thumbnail(Wanted(path=path, side_px=100, limit_bytes=50_000)) is None
