"""A grid of two by two is cut into its four pictures, and nothing else is."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from validation.grid import cut, quarters
from validation.pixels import decode

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))


def grid_of(width: int, height: int) -> Image.Image:
    """Four colours in the service's order; a middle row or column of an odd side is grey."""
    grid = Image.new("RGB", (width, height), (128, 128, 128))
    for at, colour in enumerate(COLOURS):
        left = (width - width // 2) * (at % 2)
        top = (height - height // 2) * (at // 2)
        grid.paste(colour, (left, top, left + width // 2, top + height // 2))
    return grid


@given(width=st.integers(4, 61), height=st.integers(4, 61))
@settings(max_examples=60, deadline=None)
def test_a_grid_of_any_size_gives_its_four_pictures_in_order(width: int, height: int) -> None:
    cut_out = quarters(grid_of(width, height), aspect=None)
    assert cut_out is not None
    assert [one.size for one in cut_out] == [(width // 2, height // 2)] * 4
    for one, colour in zip(cut_out, COLOURS, strict=True):
        assert (np.asarray(one) == colour).all()


@pytest.mark.parametrize(
    ("size", "aspect"),
    [
        ((2048, 2048), (1, 1)),
        ((2688, 1792), (3, 2)),
        ((2912, 1632), (16, 9)),  # Midjourney's 16:9
        ((1856, 2304), (4, 5)),  # Midjourney's 4:5
        ((3360, 1440), (21, 9)),
    ],
)
def test_sides_may_be_rounded(size: tuple[int, int], aspect: tuple[int, int]) -> None:
    assert quarters(Image.new("RGB", size), aspect=aspect) is not None


@pytest.mark.parametrize(
    ("size", "aspect"), [((1024, 1024), (3, 2)), ((1200, 960), (4, 5)), ((3, 900), None), ((1, 1), (1, 1))]
)
def test_a_picture_of_another_shape_is_no_grid(size: tuple[int, int], aspect: tuple[int, int] | None) -> None:
    assert quarters(Image.new("RGB", size), aspect=aspect) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_files_hold_exactly_what_was_decoded(kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    into = io.BytesIO()
    Image.fromarray(noise).save(into, kind)
    grid = decode(into.getvalue())
    found = cut(grid, aspect=(3, 2))
    assert found is not None
    pixels = np.asarray(grid.image)
    for at, (content, picture) in enumerate(found):
        again = decode(content)
        assert (again.media_type, picture.size_bytes) == ("image/png", len(content))
        left, top = 30 * (at % 2), 20 * (at // 2)
        assert (np.asarray(again.image) == pixels[top : top + 20, left : left + 30]).all()
    assert [content for content, _ in found] == [content for content, _ in cut(grid, aspect=None) or ()]
