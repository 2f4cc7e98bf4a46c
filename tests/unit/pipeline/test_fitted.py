"""Thresholds that were fitted to another model are told wherever they are used."""

from typing import Any

import pytest

from pipeline.fitted import misfit, told

CLIP, SMALL = "openai/clip-vit-large-patch14", "/somewhere/sandbox/clip"


def verdict(*, fitted_to: str | None, origin: str) -> dict[str, Any]:
    return {
        "threshold_version": 2,
        "core_threshold": 0.46,
        "style_threshold": 0.005,
        "style_decides": True,
        "threshold_origin": origin,
        "thresholds_fitted_to": fitted_to,
        "origin": {"model": CLIP},
    }


@pytest.mark.parametrize("fitted_to", [None, CLIP])
def test_thresholds_that_suit_need_no_word(fitted_to: str | None) -> None:
    assert misfit("lulu", fitted_to=fitted_to, model=CLIP) is None


def test_thresholds_of_another_model_are_told_with_what_to_do() -> None:
    said = misfit("lulu", fitted_to=SMALL, model=CLIP)
    assert said is not None
    assert said.endswith("`likeness calibrate lulu`, or set CLIP_MODEL")
    assert SMALL in said
    assert CLIP in said


def test_a_verdict_says_whose_thresholds_it_was_held_against() -> None:
    assert told(verdict(fitted_to=None, origin="default")) == "core 0.460, style 0.005; default threshold"
    calibrated = "calibrated (2026-11-21, n=120, core AUC 1.000)"
    assert told(verdict(fitted_to=CLIP, origin=calibrated)) == f"core 0.460, style 0.005; {calibrated}"
    said = told(verdict(fitted_to=SMALL, origin=calibrated))
    assert said == f"core 0.460, style 0.005; {calibrated}, fitted to {SMALL!r} but scored by {CLIP!r}"
