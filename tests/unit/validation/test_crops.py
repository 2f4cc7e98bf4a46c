"""Long pictures are seen in several crops, and scored by the one that shows the character best."""

import numpy as np
import pytest
from PIL import Image

from validation.base import Aggregation
from validation.crops import BEYOND_RATIO, MOST, central_first, crop_offsets, cuts_by_crops
from validation.pixels import model_input
from validation.preprocessing import CLIP_DEFAULT
from validation.similarity import compare, frame_of, joined, pack, taken_apart, unpack

FRAME = frame_of(np.array([[1, 0], [0, 1]], np.float32), np.array([[5, 1, 1], [5, -1, 2], [5, 0, 3]], np.float32))


@pytest.mark.parametrize(
    ("ratio", "crops"),
    [(1, 1), (4 / 3, 1), (BEYOND_RATIO, 1), (3 / 2, 3), (16 / 9, 3), (2, 3), (21 / 9, 5), (3, 5), (5, 9), (40, MOST)],
)
def test_a_picture_has_as_many_crops_as_its_ratio_needs(ratio: float, crops: int) -> None:
    assert len(crop_offsets(int(224 * ratio), 224)) == crops


def test_crops_reach_from_end_to_end_and_overlap_by_half() -> None:
    for long_side in range(224, 5 * 224):
        offsets = crop_offsets(long_side, 224)
        assert offsets[len(offsets) // 2] == (long_side - 224) // 2, "the central one is transformers' own"
        if len(offsets) > 1:
            assert (offsets[0], offsets[-1]) == (0, long_side - 224)
            assert max(np.diff(offsets)) <= 112


def test_up_to_nine_to_one_nothing_of_a_picture_is_between_two_crops() -> None:
    offsets = crop_offsets(9 * 224, 224)
    assert max(np.diff(offsets)) <= 224


@pytest.mark.parametrize("upright", [False, True])
def test_the_model_input_holds_all_crops_the_central_one_first(*, upright: bool) -> None:
    image = Image.new("RGB", (3 * 224, 224), "black")
    for at, colour in enumerate(["red", "green", "blue"]):
        image.paste(colour, (at * 224, 0, (at + 1) * 224, 224))
    image = image.transpose(Image.Transpose.ROTATE_270) if upright else image
    pixels = np.frombuffer(model_input(image, CLIP_DEFAULT).pixels, np.uint8).reshape(5, 224, 224, 3)
    assert central_first(5) == [2, 0, 1, 3, 4]
    assert [tuple(int(one) for one in pixels[at, 112, 112]) for at in (0, 1, 4)] == [
        (0, 128, 0),
        (255, 0, 0),
        (0, 0, 255),
    ]


def test_an_embedding_of_several_crops_survives_being_stored() -> None:
    crops = [pack(np.array([at, 1], np.float32), np.array([at, 2, 3], np.float32)) for at in range(5)]
    whole = joined(crops)
    assert taken_apart(whole) == crops
    assert taken_apart(joined(crops[:1])) == crops[:1]
    cores, styles = unpack([whole, crops[1]])
    assert cores.tolist() == [[0, 1], [1, 1]], "elsewhere the central crop stands for the picture"
    assert styles.shape == (2, 3)


@pytest.mark.parametrize("aggregation", list(Aggregation))
def test_the_crop_that_shows_the_character_best_decides(aggregation: Aggregation) -> None:
    def one(angle: float, style: float) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]  # rows of numbers
        return np.array([np.cos(angle), np.sin(angle)], np.float32), np.array([5, style, 1], np.float32)

    reference = pack(*one(0.0, 1.0))
    plain = pack(*one(0.5, 0.0))
    # Central, then from left to right without it: the fourth of five is the last but one here.
    long = joined([pack(*one(angle, 0.5)) for angle in (1.5, 1.4, 1.3, 0.1, 1.2)])
    (_, first), (scores, detail), (_, last) = compare(
        [plain, long, plain], [reference], frame=FRAME, aggregation=aggregation
    )
    assert (detail.crop, detail.crops) == (4, 5)
    assert scores.core == pytest.approx(np.cos(0.1))
    assert (first, first.crop, first.crops) == (last, 1, 1)


def test_a_long_reference_counts_by_its_central_crop() -> None:
    reference = joined([pack(np.array(core, np.float32), np.ones(3, np.float32)) for core in ([1, 0], [0, 1], [0, 1])])
    [(scores, _)] = compare([taken_apart(reference)[1]], [reference], frame=FRAME)
    assert scores.core == pytest.approx(0)


def test_the_best_of_several_crops_must_reach_more_the_more_there_are() -> None:
    strangers = [float(one) for one in np.random.default_rng(3).normal(0.2, 0.2, 200)]
    cuts = cuts_by_crops(0.6, strangers, seen_in=1)
    assert list(cuts) == [3, 5, 7, 9]
    assert 0.6 < cuts[3] < cuts[5] < cuts[7] < cuts[9] < 0.9


@pytest.mark.parametrize("crops", [3, 5, 9])
def test_strangers_pass_no_more_often_by_the_best_of_several_crops(crops: int) -> None:
    rng = np.random.default_rng(crops)
    cut = cuts_by_crops(0.6, np.tanh(rng.normal(0.2, 0.25, 400)).tolist(), seen_in=1)[crops]
    single = float((np.tanh(rng.normal(0.2, 0.25, 40_000)) >= 0.6).mean())
    best = np.tanh(rng.normal(0.2, 0.25, (40_000, crops))).max(axis=1)
    assert float((best >= 0.6).mean()) > 2 * single, "which is what the raised cut is for"
    assert float((best >= cut).mean()) < 1.5 * single


def test_a_cut_from_long_pictures_holds_for_as_many_crops() -> None:
    cuts = cuts_by_crops(0.6, [0.1, 0.2, 0.3, 0.4], seen_in=5)
    assert cuts[3] == cuts[5] == 0.6
    assert cuts[7] > 0.6


def test_strangers_that_are_all_alike_raise_nothing() -> None:
    assert set(cuts_by_crops(0.6, [0.2, 0.2, 0.2], seen_in=1).values()) == {0.6}
