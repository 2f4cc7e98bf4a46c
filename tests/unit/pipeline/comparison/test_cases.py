"""The rows of a comparison: every prompt in every case, whole rounds first."""

import pytest

from domain.errors import BadInput
from pipeline.comparison.cases import CASE, PROMPT, AskedCase, five_cases, read_case, rows_of_cases, weighing_model
from pipeline.intake.prompt_rows import PromptRow, rows_of
from providers.catalogue import load


def prompts(*texts: str) -> list[PromptRow]:
    return list(rows_of([{"prompt": text, "seed": 7} for text in texts]))


def test_the_five_cases_differ_in_nothing_but_their_references() -> None:
    rows = list(rows_of_cases(prompts("a pig"), five_cases(2), repeats=1))
    assert [(row.theme, dict(row.settings)) for row in rows] == [
        ("no reference", {"seed": 7, "references": False}),
        ("weight 50", {"seed": 7, "references": 1, "cref_weight": 50}),
        ("weight 75", {"seed": 7, "references": 1, "cref_weight": 75}),
        ("weight 100", {"seed": 7, "references": 1, "cref_weight": 100}),
        ("2 references", {"seed": 7, "cref_weight": 100}),
    ]
    assert {row.prompt for row in rows} == {"a pig"}


def test_a_character_with_one_reference_has_no_case_of_several() -> None:
    assert [one.name for one in five_cases(1)] == ["no reference", "weight 50", "weight 75", "weight 100"]


def test_a_whole_round_comes_before_the_next_so_that_an_early_end_leaves_pairs() -> None:
    cases = [read_case("cref_weight=50"), read_case("strong: cref_weight=100")]
    rows = list(rows_of_cases(prompts("a pig", "a cow"), cases, repeats=2))
    once = [
        ("1: a pig", "cref_weight=50"),
        ("1: a pig", "strong"),
        ("2: a cow", "cref_weight=50"),
        ("2: a cow", "strong"),
    ]
    assert [(row.extra[PROMPT], row.extra[CASE]) for row in rows] == once * 2
    assert [row.position for row in rows] == list(range(8))


def test_a_case_may_word_the_prompt_anew_and_name_any_column() -> None:
    case = read_case("painted: prompt='{} as a watercolour' model=google/nano-banana provider=replicate mode=fast")
    plain = AskedCase(name="plain", columns={"mode": "fast"})
    worded, as_it_was = rows_of_cases(prompts("a pig"), [case, plain], repeats=1)
    assert (worded.prompt, worded.model, worded.provider) == (
        "a pig as a watercolour",
        "google/nano-banana",
        "replicate",
    )
    assert worded.settings["mode"] == "fast"
    assert (as_it_was.prompt, as_it_was.model) == ("a pig", None)
    assert worded.extra[PROMPT] == as_it_was.extra[PROMPT], "they are a pair"


@pytest.mark.parametrize("text", ["", "strong", "strong: ", "cref_weight=50 strong", "prompt='a"])
def test_a_case_that_cannot_be_read_is_said_so(text: str) -> None:
    with pytest.raises(BadInput, match="the case"):
        read_case(text)


@pytest.mark.parametrize(
    ("cases", "says"),
    [
        (["mode=fast"], "a comparison has 2 to 20 cases"),
        (["a: mode=fast", "a: mode=relax"], "two cases are called 'a'"),
        (["mode=fast", "prompt=pig"], "is the same for every row"),
        (["mode=fast", "seed=x"], "seed in 'seed=x' is 'x'"),
        (["mode=fast", "references=few"], "references is 'few'"),
        (["low: weight=50", "high: weight=100"], "case 'low': the column 'weight' steers nothing.*cref_weight"),
        (["cref_wieght=50", "cref_weight=100"], "call it 'cref_weight'"),
        (["a: mode=fast", "b: Mode=fast"], "'a' and 'b' ask for the same"),
        (["a: mode=fast", "b: mode=fast theme=dark max_tries=3"], "'a' and 'b' ask for the same"),
        (["a: prompt='{} in oil'", "b: prompt='{} in oil'"], "'a' and 'b' ask for the same"),
    ],
)
def test_cases_that_compare_nothing_are_refused(cases: list[str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        list(rows_of_cases(prompts("a pig", "a cow"), [read_case(one) for one in cases], repeats=1))


@pytest.mark.parametrize(
    ("said", "means"),
    [("none", False), ("no", False), ("0", False), (False, False), (0, False), ("1", 1), (2, 2), ("3.0", 3)],
)
def test_a_row_says_how_many_references_go_along(said: object, means: object) -> None:
    (row,) = rows_of([{"prompt": "a pig", "references": said}])
    assert row.settings == {"references": means}


@pytest.mark.parametrize("said", ["all", "yes", True, ""])
def test_all_references_are_the_default_and_no_setting(said: object) -> None:
    (row,) = rows_of([{"prompt": "a pig", "references": said}])
    assert row.settings == {}


def test_a_reference_test_takes_a_model_that_weighs() -> None:
    catalogue = load()
    assert weighing_model(catalogue, "ttapi", None).name == "midjourney-v6.1"
    assert weighing_model(catalogue, "sandbox", "midjourney-v6.1").name == "midjourney-v6.1"
    with pytest.raises(BadInput, match=r"takes no weight from 0 to 100; use 'midjourney-v6\.1'"):
        weighing_model(catalogue, "ttapi", "midjourney-v8.1")
    with pytest.raises(BadInput, match="`likeness compare`"):
        weighing_model(catalogue, "replicate", None)
