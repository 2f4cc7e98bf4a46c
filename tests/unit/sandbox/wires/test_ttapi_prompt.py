"""Midjourney's prompt language: what is understood, and which message an illegal prompt fails with."""

import pytest

from sandbox.wires.ttapi.prompt import IllegalPrompt, omni_likeness, read_prompt

URL = "http://127.0.0.1:9/pig.png"


def test_a_prompt_without_flags_is_all_text() -> None:
    wish = read_prompt("a pink pig,  in a garden")
    assert wish.text == "a pink pig, in a garden"
    assert wish.references == []
    assert wish.weight == 0.0
    assert wish.seed is None
    assert wish.aspect == (1, 1)


def test_flags_and_what_is_not_to_be_seen_are_no_part_of_the_text() -> None:
    wish = read_prompt("a pig --ar 16:9 --no hat, rain --seed 7 --s 250 --v 7 --raw")
    assert wish.text == "a pig"
    assert wish.aspect == (16, 9)
    assert wish.seed == 7


@pytest.mark.parametrize(("flags", "weight"), [("", 1.0), (" --cw 100", 1.0), (" --cw 50", 0.5), (" --cw 0", 0.0)])
def test_a_character_reference_is_followed_as_its_weight_says(flags: str, weight: float) -> None:
    wish = read_prompt(f"a pig --v 6.1 --cref {URL} {URL}2{flags}")
    assert list(wish.references) == [URL, f"{URL}2"]
    assert wish.weight == weight


@pytest.mark.parametrize(
    ("weight", "likeness"), [(1, 0.0075), (50, 0.375), (100, 0.75), (250, 0.875), (400, 1.0), (1000, 1.0)]
)
def test_an_omni_weight_comes_closer_up_to_400(weight: int, likeness: float) -> None:
    assert omni_likeness(weight) == pytest.approx(likeness)
    assert read_prompt(f"a pig --v 7 --oref {URL} --ow {weight}").weight == pytest.approx(likeness)


def test_images_in_front_of_the_text_are_weak_references() -> None:
    wish = read_prompt(f"{URL} a pig --iw 2")
    assert list(wish.references) == [URL]
    assert wish.weight == 0.5
    assert wish.text == "a pig"


def test_a_style_reference_must_answer_but_a_style_code_need_not() -> None:
    assert list(read_prompt(f"a pig --sref {URL} 12345").also_reachable) == [URL]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a pig --ar16:9", "[Invalid parameter]"),
        ("a pig --ar 16x9", "[Invalid parameter]"),
        ("a pig --ar 0:1", "[Invalid parameter]"),
        ("a pig --niji", "[Invalid parameter]"),
        ("a pig --niji 6 --v 7", "[Invalid parameter]"),
        ("a pig --v 9", "[Invalid parameter]"),
        ("a pig --seed -1", "[Invalid parameter]"),
        ("a pig --seed 4294967296", "[Invalid parameter]"),
        ("a pig --cw 101 --v 6.1", "[Invalid parameter]"),
        ("a pig --nonsense", "[Invalid parameter]"),
        (f"a pig --v 7 --cref {URL}", "[Invalid parameter]"),
        (f"a pig --cref {URL}", "[Invalid parameter]"),
        (f"a pig --v 6.1 --oref {URL}", "[Invalid parameter]"),
        (f"a pig --v 8.1 --oref {URL}", "[Invalid parameter]"),
        (f"a pig --v 7 --oref {URL} {URL}", "[Invalid parameter]"),
        ("a pig --v 6.1 --cref pig.png", "[Invalid parameter]"),
        ("--v 7", "[Invalid prompt]"),
        ("a naked pig", "[Banned prompt detected]"),
        ("a pig --no naked", "[Banned prompt detected]"),
        ("a pig in lingerie", "[Image denied]"),
    ],
)
def test_an_illegal_prompt_fails_with_the_message_of_its_family(prompt: str, message: str) -> None:
    with pytest.raises(IllegalPrompt) as caught:
        read_prompt(prompt)
    assert str(caught.value).startswith(message)
