"""The same prompt several times, or once in each of several categories."""

from pathlib import Path

import pytest

from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import PromptRow
from pipeline.intake.row_repeats import multiplied


@pytest.fixture
def rows(tmp_path: Path) -> list[PromptRow]:
    path = tmp_path / "p.csv"
    path.write_text("prompt,index,artist\na pig,1,ann\na cat,2,bob\n", encoding="utf-8")
    return list(read_prompts(path))


def test_without_wishes_the_rows_stay_as_they_are(rows: list[PromptRow]) -> None:
    assert list(multiplied(rows, times=1, categories=())) == rows


def test_each_prompt_comes_as_often_as_asked_for_in_order(rows: list[PromptRow]) -> None:
    made = list(multiplied(rows, times=3, categories=()))
    assert [row.prompt for row in made] == ["a pig"] * 3 + ["a cat"] * 3
    assert [row.position for row in made] == list(range(6))


def test_28_prompts_in_10_categories_are_280(rows: list[PromptRow]) -> None:
    categories = [f"category {number}" for number in range(10)]
    assert len(list(multiplied(rows * 14, times=1, categories=categories))) == 280


def test_a_category_stands_in_the_prompt_and_with_the_row(rows: list[PromptRow]) -> None:
    made = list(multiplied(rows, times=2, categories=("mug", "t-shirt")))
    assert [row.prompt for row in made[:4]] == ["a pig, mug", "a pig, mug", "a pig, t-shirt", "a pig, t-shirt"]
    assert made[0].extra == {"artist": "ann", "category": "mug"}
    assert {row.index for row in made[:4]} == {"1"}
