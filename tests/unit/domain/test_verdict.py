"""Scores become verdicts, and the best of an attempt's pictures is chosen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.verdict import Scores, Thresholds, Verdict, best

THRESHOLDS = Thresholds(version=1, core=0.75, style=0.6, origin="default")
COSINES = st.floats(-1, 1)


def _verdict(core: float, style: float = 0.9) -> Verdict:
    return Verdict(scores=Scores(core=core, style=style), thresholds=THRESHOLDS)


@pytest.mark.parametrize(
    ("core", "style", "passed"), [(0.75, 0.6, True), (0.7499, 0.9, False), (0.9, 0.5999, False), (1.0, 1.0, True)]
)
def test_a_score_at_its_threshold_passes_and_both_are_needed(core: float, style: float, *, passed: bool) -> None:
    assert _verdict(core, style).passed == passed


def test_the_margin_is_the_smaller_distance() -> None:
    assert _verdict(0.80, 0.61).margin == pytest.approx(0.01)
    assert _verdict(0.70, 0.90).margin == pytest.approx(-0.05)


def test_a_style_threshold_that_is_advice_decides_nothing() -> None:
    advice = replace(THRESHOLDS, style_decides=False)
    told = Verdict(scores=Scores(core=0.80, style=-0.9), thresholds=advice)
    assert (told.passed, told.style_passed, told.margin) == (True, False, pytest.approx(0.05))
    assert not Verdict(scores=Scores(core=0.74, style=0.9), thresholds=advice).passed


def test_a_picture_that_passed_is_better_than_one_that_is_only_alike() -> None:
    assert best([_verdict(0.99, 0.1), _verdict(0.76, 0.7)]) == 1


def test_of_equals_the_earlier_is_the_best() -> None:
    assert best([_verdict(0.8), _verdict(0.8), _verdict(0.7)]) == 0


def test_there_is_no_best_of_none() -> None:
    with pytest.raises(ValueError, match="empty"):
        best([])


@given(st.lists(st.tuples(COSINES, COSINES), min_size=1, max_size=8))
def test_the_best_passes_if_any_does(scores: list[tuple[float, float]]) -> None:
    verdicts = [_verdict(core, style) for core, style in scores]
    chosen = verdicts[best(verdicts)]
    assert chosen.passed == any(one.passed for one in verdicts)
    assert all(chosen.scores.core >= one.scores.core for one in verdicts if one.passed == chosen.passed)
    assert chosen.passed == (chosen.margin >= 0)


def test_a_long_picture_must_reach_the_threshold_of_its_crops_and_says_so() -> None:
    fitted = replace(THRESHOLDS, origin="calibrated", core_by_crops={3: 0.81, 5: 0.75})
    assert fitted.for_crops(1) == fitted
    assert (fitted.for_crops(3).core, fitted.for_crops(3).origin) == (
        0.81,
        "calibrated; raised for the best of 3 crops",
    )
    assert fitted.for_crops(5).origin == "calibrated; enough for the best of 5 crops"


def test_without_a_calibration_the_threshold_stays_and_says_so() -> None:
    seen = THRESHOLDS.for_crops(3)
    assert (seen.core, seen.origin) == (0.75, "default; not raised for the best of 3 crops")
