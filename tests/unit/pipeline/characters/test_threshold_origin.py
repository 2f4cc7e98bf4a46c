"""Thresholds that were fitted to another model are told wherever they are used."""

from typing import Any

import pytest

from pipeline.characters.threshold_origin import Weights, describe_verdict, misfit, same_weights

CLIP, SMALL = "openai/clip-vit-large-patch14", "/somewhere/sandbox/clip"


def verdict(*, fitted_to: Weights | None, origin: str) -> dict[str, Any]:
    return {
        "threshold_version": 2,
        "core_threshold": 0.46,
        "style_threshold": 0.005,
        "style_decides": True,
        "threshold_origin": origin,
        "thresholds_fitted_to": None if fitted_to is None else fitted_to.name,
        "thresholds_fitted_revision": None if fitted_to is None else fitted_to.revision,
        "origin": {"model": CLIP, "revision": "r1"},
    }


def test_a_model_is_recognised_by_the_end_of_its_path_where_nobody_knows_its_weights() -> None:
    for one, other in (("sandbox/clip", SMALL), (SMALL, "./sandbox/clip")):
        assert same_weights(Weights(name=one), Weights(name=other, revision="r1"))
    assert not same_weights(Weights(name=CLIP), Weights(name=SMALL))


def test_other_weights_at_the_same_path_are_another_model() -> None:
    former, now = Weights(name=SMALL, revision="r1"), Weights(name=SMALL, revision="r2")
    assert not same_weights(former, now)
    said = misfit("lulu", fitted_to=former, scored_by=now)
    assert said is not None
    assert said.startswith(
        f"the thresholds of 'lulu' were fitted to other weights, and scores of {SMALL!r} lie elsewhere"
    )
    assert describe_verdict(verdict(fitted_to=Weights(name=CLIP, revision="r0"), origin="x")).endswith(
        f"x, fitted to other weights of {CLIP!r}"
    )


def test_the_same_weights_by_another_name_are_the_same_model() -> None:
    fitted_to = Weights(name="/models/clip-large", revision="r1")
    assert misfit("lulu", fitted_to=fitted_to, scored_by=Weights(name=CLIP, revision="r1")) is None
    assert describe_verdict(verdict(fitted_to=fitted_to, origin="x")) == "core 0.460, style 0.005; x"


@pytest.mark.parametrize("fitted_to", [None, Weights(name=CLIP)])
def test_thresholds_that_suit_need_no_word(fitted_to: Weights | None) -> None:
    assert misfit("lulu", fitted_to=fitted_to, scored_by=Weights(name=CLIP)) is None


def test_thresholds_of_another_model_are_told_with_what_to_do() -> None:
    said = misfit("lulu", fitted_to=Weights(name=SMALL), scored_by=Weights(name=CLIP))
    assert said is not None
    assert said.endswith("`likeness calibrate lulu`, or set CLIP_MODEL")
    assert SMALL in said
    assert CLIP in said


def test_a_verdict_says_whose_thresholds_it_was_held_against() -> None:
    assert describe_verdict(verdict(fitted_to=None, origin="default")) == "core 0.460, style 0.005; default threshold"
    calibrated = "calibrated (2026-11-21, n=120, core AUC 1.000)"
    assert (
        describe_verdict(verdict(fitted_to=Weights(name=CLIP), origin=calibrated))
        == f"core 0.460, style 0.005; {calibrated}"
    )
    said = describe_verdict(verdict(fitted_to=Weights(name=SMALL), origin=calibrated))
    assert said == f"core 0.460, style 0.005; {calibrated}, fitted to {SMALL!r} but scored by {CLIP!r}"
