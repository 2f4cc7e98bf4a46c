"""What scripts see: few names, no weights, and rows that are checked like a file."""

from collections.abc import Iterator

import pytest

import likeness
from domain.errors import BadInput
from pipeline.intake.prompt_rows import rows_of


def test_the_face_has_exactly_these_names() -> None:
    assert sorted(likeness.__all__) == [
        "Batch",
        "CLIPValidator",
        "Calibration",
        "Character",
        "CheckedPicture",
        "Connection",
        "Exported",
        "Forecast",
        "Generation",
        "GenerationPage",
        "LikenessError",
        "Match",
        "Progress",
        "Provenance",
        "RequestError",
        "Result",
        "ServiceMissing",
        "connect",
        "read_provenance",
    ]
    assert all(hasattr(likeness, name) for name in likeness.__all__)


def test_rows_are_texts_or_mappings_with_the_columns_of_a_file() -> None:
    rows = list(rows_of(["a pig", {"prompt": "a cow ", "Theme": "farm", "seed": 7, "AR": "16:9", "customer": "x"}]))
    assert [(row.position, row.prompt) for row in rows] == [(0, "a pig"), (1, "a cow")]
    assert (rows[1].theme, rows[1].settings, rows[1].extra) == (
        "farm",
        {"seed": 7, "aspect_ratio": "16:9"},
        {"customer": "x"},
    )


def test_rows_may_come_one_by_one() -> None:
    taken: list[int] = []

    def prompts() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield f"pig {number}"

    rows = rows_of(prompts())
    assert next(rows).prompt == "pig 0"
    assert taken == [0], "and none is taken before it is wanted"
    assert len(list(rows)) == 999


def test_a_prompt_may_hold_anything_that_a_file_may() -> None:
    assert next(rows_of(['two\nlines, "quotes" and 🐷'])).prompt == 'two\nlines, "quotes" and 🐷'


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ([], "holds nothing"),
        (["  ", ""], "^all 2 prompts are blank, or only a placeholder"),
        (["TODO"], "^the prompt is blank, or only a placeholder; say what the picture should show$"),
        (["a pig", 7], "line 2"),
        ([None], "line 1"),
        ([{"theme": "farm"}], "blank"),
        ([{"prompt": "a pig", "seed": "many"}], "seed"),
        ([{"prompt": "a pig", "when": object()}], "line 1"),
        ([{"index": 1, "prompt": "a"}, {"index": 1, "prompt": "b"}], "index '1'"),
        (["a \x00 pig"], "NUL"),
        (["half \ud83d a pair"], "surrogate"),
        (["x" * 1_000_000], "1,000,000 characters"),
    ],
)
def test_rows_that_cannot_be_used_are_refused_like_a_file(prompts: list[object], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        list(rows_of(prompts))  # type: ignore[arg-type] -- what a script without type checks might pass
