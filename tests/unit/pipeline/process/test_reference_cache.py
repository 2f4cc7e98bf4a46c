"""The memory of references: a size is measured once, and a failure to measure it is not remembered."""

import pytest

from domain.errors import PictureAway
from pipeline.process.reference_cache import ReferenceCache


def test_the_picture_behind_an_address_is_measured_once() -> None:
    shelf, asked = ReferenceCache(), []

    def measure() -> int:
        asked.append(1)
        return 6_000_000

    assert [shelf.pixels("https://r/1.png", measure) for _ in range(3)] == [6_000_000] * 3
    assert len(asked) == 1
    shelf.pixels("https://r/2.png", measure)
    assert len(asked) == 2


def test_a_failure_to_measure_is_tried_again() -> None:
    def away() -> int:
        raise PictureAway("not now")

    shelf = ReferenceCache()
    with pytest.raises(PictureAway):
        shelf.pixels("https://r/1.png", away)
    assert shelf.pixels("https://r/1.png", lambda: 1) == 1
