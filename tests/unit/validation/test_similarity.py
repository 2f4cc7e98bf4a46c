"""Vectors to scores: what is like what, and from where it is seen."""

import numpy as np
import pytest

from validation.base import Aggregation, Embedding
from validation.similarity import compare, cosines, frame_of, pack, standard, unpack
from validation.specimens import specimens

DICE = np.random.default_rng(3)


def embedding(core: list[float], style: list[float]) -> Embedding:
    return pack(np.array(core, np.float32), np.array(style, np.float32))


FRAME = frame_of(
    np.array([[1, 0], [0, 1]], np.float32), np.array([[5, 1, 1, 1], [5, -1, 2, 1], [5, 0, 3, 1]], np.float32)
)


def test_an_embedding_survives_being_stored() -> None:
    core, style = DICE.normal(size=8).astype(np.float32), DICE.normal(size=16).astype(np.float32)
    cores, styles = unpack([pack(core, style)])
    assert np.array_equal(cores[0], core)
    assert np.array_equal(styles[0], style)


def test_the_nearest_reference_decides_by_default() -> None:
    picture = embedding([1, 0], [5, 1, 1, 1])
    references = [embedding([0, 1], [5, -1, 2, 1]), embedding([0.6, 0.8], [5, 1, 1, 1])]
    [(scores, detail)] = compare([picture], references, frame=FRAME)
    assert scores.core == pytest.approx(0.6)
    assert scores.style == pytest.approx(1)
    assert detail.nearest == 1


def test_the_mean_counts_all_references_alike() -> None:
    references = [embedding([1, 0], [5, 1, 1, 1]), embedding([0, 1], [5, -1, 3, 1])]
    [(scores, detail)] = compare([references[0]], references, frame=FRAME, aggregation=Aggregation.MEAN)
    assert scores.core == pytest.approx(0.5)
    assert detail.core_raw == scores.core
    assert scores.style == detail.style_corrected


def test_every_picture_is_compared_in_the_order_given() -> None:
    rows = [embedding([1, 0], [5, 1, 1, 1]), embedding([0, 1], [5, -1, 2, 1]), embedding([0.6, 0.8], [5, 0, 3, 1])]
    together = compare(rows, rows[:2], frame=FRAME)
    assert [scores.core for scores, _ in together] == pytest.approx([1, 1, 0.8])
    assert [detail.nearest for _, detail in together] == [0, 1, 1]
    assert compare([], rows, frame=FRAME) == []


def test_what_all_pictures_share_is_taken_off() -> None:
    """Raw, two unrelated styles look alike; around the centre they do not."""
    shared = DICE.normal(size=256) * 10
    styles = (shared + DICE.normal(size=(40, 256))).astype(np.float32)
    cores = DICE.normal(size=(40, 8)).astype(np.float32)
    frame = frame_of(cores, styles)
    rows = [pack(core, style) for core, style in zip(cores, styles, strict=True)]
    details = [detail for _, detail in compare(rows[:20], rows[20:21], frame=frame)]
    assert min(detail.style_raw for detail in details) > 0.95
    assert abs(np.mean([detail.style_corrected for detail in details])) < 0.1


def test_a_channel_that_never_moves_does_not_drown_the_others() -> None:
    """Its rounding noise, divided by its own spread, would."""
    styles = DICE.normal(size=(30, 64)).astype(np.float32)
    styles[:, 0] = 3 + 1e-7 * DICE.normal(size=30)
    frame = frame_of(DICE.normal(size=(30, 4)).astype(np.float32), styles)
    other = styles[:1].copy()
    other[0, 0] += 1e-3
    assert cosines(standard(styles[:1], frame), standard(other, frame))[0, 0] > 0.999


def test_cosines_never_leave_their_range_and_nothing_is_like_nothing() -> None:
    rows = DICE.normal(size=(50, 700)).astype(np.float32)
    assert np.abs(cosines(rows, rows)).max() <= 1
    assert cosines(np.zeros((1, 4), np.float32), rows[:1, :4])[0, 0] == 0


def test_the_generated_pictures_are_the_same_everywhere() -> None:
    pictures = specimens(32)
    assert (pictures.shape, pictures.dtype) == ((24, 32, 32, 3), np.uint8)
    assert np.array_equal(pictures, specimens(32))
    # Written down on one machine; another may round a sine differently, but not by more than a level here and there.
    assert pictures.astype(float).mean() == pytest.approx(MEAN_LEVEL, abs=0.05)
    assert len({picture.tobytes() for picture in pictures}) == 24


MEAN_LEVEL = 143.291
