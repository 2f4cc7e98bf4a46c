"""The words of a wish to finish pictures."""

import pytest

from domain.errors import BadInput
from domain.finishing import FinishStep, in_words, read_finish


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("upscale", "upscale"),
        ("Background", "background"),
        ("background, upscale", "upscale background"),
        ("remove-background", "background"),
        ("off", ""),
        (" ", ""),
    ],
)
def test_a_wish_has_one_spelling(said: str, read: str) -> None:
    assert in_words(read_finish(said)) == read


def test_an_unknown_word_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="there is no 'polish': write upscale or background"):
        read_finish("upscale polish")


def test_larger_comes_before_the_cut_out() -> None:
    assert read_finish("background upscale") == (FinishStep.UPSCALE, FinishStep.BACKGROUND)
