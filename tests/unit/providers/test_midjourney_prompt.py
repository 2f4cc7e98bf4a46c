"""Midjourney's flags: settings and references become text, and what Midjourney would refuse is refused here."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RequestRefused
from domain.escalation import Carried
from providers.midjourney.flags import FLAGS
from providers.midjourney.prompt import carried, prompt_text

ONE = ("https://cdn.example/lulu-1.png",)
TWO = (*ONE, "https://cdn.example/lulu-2.png")


def text(prompt: str = "a pig", *, references: tuple[str, ...] = (), **settings: Any) -> str:
    return prompt_text(prompt, settings=settings, reference_urls=references)


def test_the_version_is_always_pinned() -> None:
    assert text() == "a pig --v 7"
    assert text(v="6.1") == "a pig --v 6.1"
    assert text(version=8.1) == "a pig --v 8.1"
    assert text(niji=6) == "a pig --niji 6"


def test_settings_become_flags_in_one_order() -> None:
    said = text(
        no=["text", "blurry  edges"],
        seed=7,
        ar="3:2",
        stylize=250,
        chaos=5,
        weird=10,
        tile=True,
        raw=True,
        q=2,
        stop=90,
    )
    assert said == (
        "a pig --ar 3:2 --v 7 --raw --stylize 250 --chaos 5 --weird 10 --quality 2 --stop 90 --seed 7 --tile"
        " --no text, blurry edges"
    )


def test_the_owner_s_column_names_are_understood() -> None:
    assert text(aspect_ratio="16:9", negative_prompt="text, logo") == "a pig --ar 16:9 --v 7 --no text, logo"


def test_settings_that_say_nothing_are_silent() -> None:
    assert text(ar=None, no="", tile=False, cref_urls=[], mode="fast", theme="beach") == "a pig --v 7"


# --- References -----------------------------------------------------------------------------------------------------


def test_several_references_choose_version_6_1_and_cref() -> None:
    assert text(references=TWO) == f"a pig --v 6.1 --cref {TWO[0]} {TWO[1]}"


def test_a_single_reference_chooses_version_7_and_oref() -> None:
    assert text(references=ONE) == f"a pig --v 7 --oref {ONE[0]}"


def test_the_owner_s_options_choose_version_6_1_even_for_one_reference() -> None:
    assert text(references=ONE, cref_weight=100) == f"a pig --v 6.1 --cref {ONE[0]} --cw 100"
    assert text(cref_urls=list(ONE)) == f"a pig --v 6.1 --cref {ONE[0]}"


def test_references_named_by_hand_replace_the_character_s() -> None:
    assert text(references=TWO, cref_urls=["https://other/1.png"]) == "a pig --v 6.1 --cref https://other/1.png"


def test_an_omni_weight_chooses_version_7_and_the_best_reference() -> None:
    assert text(references=TWO, oref_weight=400) == f"a pig --v 7 --oref {TWO[0]} --ow 400"


def test_a_named_version_carries_references_its_own_way() -> None:
    assert text(references=TWO, v=7) == f"a pig --v 7 --oref {TWO[0]}"
    assert text(references=ONE, v="6") == f"a pig --v 6 --cref {ONE[0]}"
    assert text(references=TWO, niji=6, cw=60) == f"a pig --niji 6 --cref {TWO[0]} {TWO[1]} --cw 60"


def test_weights_without_a_reference_are_left_out() -> None:
    assert text(cref_weight=100) == "a pig --v 7"
    assert text(oref_weight=100, sw=50) == "a pig --v 7"


def test_style_references_are_links_or_codes() -> None:
    assert (
        text(sref="https://s/1.png https://s/2.png", sw=300)
        == "a pig --v 7 --sref https://s/1.png https://s/2.png --sw 300"
    )
    assert text(sref=[1234567]) == "a pig --v 7 --sref 1234567"
    assert text(sref="random") == "a pig --v 7 --sref random"


def test_image_addresses_stand_before_the_words() -> None:
    assert text(image_urls=["https://i/1.png"], iw=1.5) == "https://i/1.png a pig --v 7 --iw 1.5"


@pytest.mark.parametrize(
    "settings",
    [
        {"v": "8.1"},
        {"v": "5.2"},
        {"niji": 7},
        {"v": 7, "cref_weight": 80},
        {"v": "6.1", "oref_weight": 80},
        {"cref_weight": 80, "oref_weight": 80},
        {"cref_urls": ["https://a/1.png"], "oref_url": "https://a/2.png"},
        {"v": 7, "cref_urls": ["https://a/1.png"]},
        {"v": 6, "oref_url": "https://a/2.png"},
        {"oref": ["https://a/1.png", "https://a/2.png"]},
    ],
)
def test_references_that_a_version_cannot_take_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(RequestRefused, match=r"--(cref|oref|cw|ow)"):
        text(references=ONE, **settings)


# --- Values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ar", "16x9"),
        ("ar", "0:1"),
        ("ar", "16:9 --tile"),
        ("v", "seven"),
        ("v", True),
        ("v", "nan"),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", "1e3"),
        ("seed", True),
        ("stylize", 1001),
        ("chaos", 101),
        ("weird", 3001),
        ("iw", 4),
        ("q", 9),
        ("stop", 5),
        ("cref_weight", 101),
        ("cref_weight", 50.5),
        ("oref_weight", 0),
        ("tile", "maybe"),
        ("style", "watercolour"),
        ("no", "text --v 5"),
        ("no", " , "),
        ("cref_urls", ["not a link"]),
        ("cref_urls", ["https://a/b c.png"]),
        ("sref", "ftp://s/1"),
    ],
)
def test_a_value_that_midjourney_would_refuse_is_refused_by_its_name(name: str, value: object) -> None:
    with pytest.raises(RequestRefused, match=f"^{name} is"):
        text(references=ONE, **{name: value})


def test_two_settings_for_one_flag_must_agree() -> None:
    assert text(ar="3:2", aspect_ratio="3:2") == "a pig --ar 3:2 --v 7"
    with pytest.raises(RequestRefused, match="by another setting"):
        text(ar="3:2", aspect_ratio="2:3")


def test_version_and_niji_exclude_each_other() -> None:
    with pytest.raises(RequestRefused, match="exclude each other"):
        text(v=7, niji=6)


def test_raw_is_spelt_as_the_version_wants_it() -> None:
    assert text(style="raw") == "a pig --v 7 --raw"
    assert text(raw=True, v="6.1") == "a pig --v 6.1 --style raw"
    assert text(style="cute", niji="5") == "a pig --niji 5 --style cute"
    with pytest.raises(RequestRefused, match="exclude each other"):
        text(style="cute", raw=True, niji="5")


def test_an_image_weight_without_an_image_is_refused() -> None:
    assert text("https://i/1.png a pig", iw=1) == "https://i/1.png a pig --v 7 --iw 1"
    with pytest.raises(RequestRefused, match="--iw"):
        text(iw=1)


# --- Flags inside the prompt ----------------------------------------------------------------------------------------


def test_flags_in_the_prompt_are_kept_and_not_said_twice() -> None:
    assert text("a pig --ar 3:2 --v 6.1 --seed 7", ar="3:2", seed=7) == "a pig --ar 3:2 --v 6.1 --seed 7"


def test_other_spellings_are_the_same_flag() -> None:
    said = text("a pig --aspect 3:2 --s 50 --c 5 --w 1 --version 6.0 --q 1", ar="3:2", stylize=50)
    assert said == "a pig --ar 3:2 --v 6 --stylize 50 --chaos 5 --weird 1 --quality 1"


def test_a_version_in_the_prompt_chooses_how_references_travel() -> None:
    assert text("a pig --v 6.1", references=ONE) == f"a pig --v 6.1 --cref {ONE[0]}"


def test_a_contradiction_is_an_error_that_names_both() -> None:
    with pytest.raises(RequestRefused, match=r"the prompt says --ar 3:2 and the settings say --ar 2:3"):
        text("a pig --ar 3:2", ar="2:3")


@pytest.mark.parametrize(
    "prompt",
    [
        "a pig --ar16:9",
        "a pig --niji",
        "a pig --ar 16:9 and then more words",
        "a pig --tile now",
        "a pig --banana",
        "a pig --seed 1 --seed 2",
        "a pig --fast",
        "a pig --repeat 4",
        "a pig --r 4",
        "a {red, blue} pig",
        "--ar 3:2",
        "",
        "   ",
    ],
)
def test_a_prompt_that_would_count_as_illegal_or_cost_more_is_refused(prompt: str) -> None:
    with pytest.raises(RequestRefused):
        text(prompt)


@pytest.mark.parametrize(
    ("value", "said"), [(["text, logo", "frame"], "text, logo, frame"), (["a,", ", b"], "a, b"), ("a,,b,", "a, b")]
)
def test_what_is_not_wanted_is_told_word_by_word(value: object, said: str) -> None:
    assert text(negative_prompt=value).endswith(f"--no {said}")


@pytest.mark.parametrize("value", ["{text, logo}", ["{text", "logo}"]])
def test_braces_in_a_negative_prompt_are_several_jobs_too(value: object) -> None:
    with pytest.raises(RequestRefused, match="several paid jobs"):
        text(negative_prompt=value)


@pytest.mark.parametrize("value", [",", [","], ["", " "]])
def test_commas_alone_name_nothing_that_is_not_wanted(value: object) -> None:
    with pytest.raises(RequestRefused):
        text(negative_prompt=value)


def test_words_that_only_look_like_flags_stay_words() -> None:
    assert text("a pig -- asleep, semi--detached {house}") == "a pig -- asleep, semi--detached {house} --v 7"


@pytest.mark.parametrize("prompt", ["a pig -", "0-", "-", "a pig \u2014", "a pig --", "a pig -\u200b"])
def test_a_dash_before_a_plain_flag_is_one_of_the_words(prompt: str) -> None:
    said = text(prompt)
    assert said == f"{prompt.rstrip(chr(0x200B))} --v 7"
    assert prompt_text(said, settings={}) == said


def test_white_space_is_folded_so_that_flags_stay_on_the_line() -> None:
    assert text("a pig\r\n in  the\tsun \n--ar 3:2") == "a pig in the sun --ar 3:2 --v 7"


def test_a_seed_of_ours_gives_way_to_any_other() -> None:
    assert prompt_text("a pig", settings={}, seed_if_none=5).endswith("--seed 5")
    assert prompt_text("a pig", settings={"seed": 7}, seed_if_none=5).endswith("--seed 7")
    assert prompt_text("a pig --seed 7", settings={}, seed_if_none=5).endswith("--seed 7")


# --- Any input ------------------------------------------------------------------------------------------------------

SETTING_NAMES = sorted({name for flag in FLAGS for name in flag.settings})
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.text(max_size=9))
)


@given(prompt=st.text(), settings=st.dictionaries(st.sampled_from(SETTING_NAMES), VALUES, max_size=4))
def test_any_input_is_either_refused_or_becomes_a_text_that_says_the_same_again(
    prompt: str, settings: dict[str, Any]
) -> None:
    try:
        said = prompt_text(prompt, settings=settings)
    except RequestRefused:
        return
    assert "\n" not in said
    assert said.count("--v ") + said.count("--niji ") >= 1
    assert prompt_text(said, settings={}) == said


@pytest.mark.parametrize(
    ("settings", "references", "expected"),
    [
        ({"cref_weight": 25}, TWO, ("cref_weight", "cw", 25, 50, 2)),
        ({"cw": 60}, ONE, ("cw", "cw", 60, 75, 1)),
        ({}, TWO, ("cref_weight", "cw", 100, None, 2)),
        ({}, ONE, ("oref_weight", "ow", 100, 200, 1)),
        ({"ow": 400}, ONE, ("ow", "ow", 400, None, 1)),
        ({"v": "7", "oref_weight": 30}, TWO, ("oref_weight", "ow", 30, 50, 1)),
        ({"cref_urls": ONE[0]}, TWO, ("cref_weight", "cw", 100, None, 1)),
    ],
)
def test_it_is_known_how_strongly_the_references_are_followed(
    settings: dict[str, Any], references: tuple[str, ...], expected: tuple[str, str, int, int | None, int]
) -> None:
    found = carried("a pig", settings=settings, reference_urls=references)
    weight = found.weight
    assert weight is not None
    assert (weight.setting, weight.flag, weight.value, weight.stronger, found.references) == expected


def test_a_weight_that_stands_in_the_prompt_is_the_persons_own() -> None:
    found = carried("a pig --v 6.1 --cw 25", settings={}, reference_urls=TWO)
    assert (found.weight, found.references) == (None, 2)


def test_without_a_reference_there_is_nothing_to_follow() -> None:
    assert carried("a pig", settings={"cref_weight": 25}, reference_urls=()) == Carried()


def test_a_stronger_weight_can_be_said_by_the_setting_that_is_named() -> None:
    settings = {"cw": 25}
    weight = carried("a pig", settings=settings, reference_urls=TWO).weight
    assert weight is not None
    said = prompt_text("a pig", settings={**settings, weight.setting: weight.stronger}, reference_urls=TWO)
    assert "--cw 50" in said
