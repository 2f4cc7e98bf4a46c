"""Words beside the weights: what has a field of the specification, and what goes among its details."""

from pathlib import Path

import pytest

from domain.errors import ModelUnloadable
from domain.garments import Attribute
from pipeline.preparing.vocabulary import FILE, vocabulary_of

_HEAD = """
templates = ["a pig {}", "a cat {}"]
warmth = 0.05
calibrated = true
source = "this test"
[attributes.scene]
words = ["on a beach", "in a kitchen"]
[details.hat]
words = ["no hat", "a crown"]
"""


def folder(tmp_path: Path, text: str) -> str:
    (tmp_path / FILE).write_text(text, encoding="utf-8")
    return str(tmp_path)


def test_a_detail_can_name_the_word_that_says_that_there_is_none(tmp_path: Path) -> None:
    read = vocabulary_of(folder(tmp_path, f'{_HEAD}templates = ["a pig with {{}}"]\nnothing = "no hat"\n'))
    assert read.attributes[Attribute.SCENE].sentences["on a beach"] == ["a pig on a beach", "a cat on a beach"]
    assert read.attributes[Attribute.SCENE].nothing is None
    assert read.details["hat"].sentences == {"no hat": ["a pig with no hat"], "a crown": ["a pig with a crown"]}
    assert read.details["hat"].nothing == "no hat"


def test_nothing_must_be_one_of_the_words(tmp_path: Path) -> None:
    with pytest.raises(ModelUnloadable, match="'bare', which stands for nothing, is none of the words"):
        vocabulary_of(folder(tmp_path, f'{_HEAD}nothing = "bare"\n'))
