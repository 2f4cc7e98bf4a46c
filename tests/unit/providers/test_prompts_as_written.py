"""Prompts as people write them: what each model is sent, warned about or refused; and no false alarm."""

import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RequestRefused
from providers.catalogue import load
from providers.contract import Ask
from providers.midjourney.flags import ANSWERED, FLAGS, Takes
from providers.midjourney.prompt import understood
from providers.prices import price
from providers.prompt_flags import overruled, with_words
from providers.registry import service
from tests.support.prompt_cases import CASES, Case

SEED_OF_OURS = re.compile(r" --seed \d{8,}")


def ask(model: str, prompt: str, **settings: Any) -> Ask:
    return Ask(attempt_id="a-1", token="t-1", model=model, prompt=prompt, settings=settings)


def sent(asked: Ask) -> dict[str, Any]:
    """What the service is told, by its own names."""
    body = service(load().get(asked.model).provider).adapter().build_submit(asked).json
    assert body is not None
    return dict(body.get("input", body))


def warnings(asked: Ask) -> list[str]:
    return list(service(load().get(asked.model).provider).adapter().warnings(asked))


def test_the_table_is_long_enough_and_says_nothing_twice() -> None:
    assert len(CASES) >= 80
    assert len({(case.model, case.prompt, repr(case.settings)) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_prompt_is_sent_as_it_was_meant(case: Case) -> None:
    asked = ask(case.model, case.prompt, **case.settings)
    if case.refused:
        with pytest.raises(RequestRefused, match=re.escape(case.refused)):
            sent(asked)
        return
    told = sent(asked)
    if isinstance(case.sent, str):
        assert SEED_OF_OURS.sub("", told["prompt"]) == case.sent
    else:
        assert case.sent is not None
        assert {name: told.get(name) for name in case.sent} == case.sent
    found = warnings(asked)
    assert len(found) == len(case.warned), found
    assert all(part in one for part, one in zip(case.warned, found, strict=True)), found


def test_a_flag_in_the_prompt_is_priced_as_it_is_sent() -> None:
    model = load().get("gpt-image-2.5-flare")
    day = load().get("gpt-image-1.5").retired_on
    assert day is not None
    wide = price(model, {"ar": "3:2", "quality": "high"}, on=day, prompt="a pig")
    assert price(model, {"quality": "high"}, on=day, prompt="a pig —ar 3:2").usd == wide.usd
    assert price(model, {}, on=day, prompt="a pig --ar 3:2 --quality high").usd == wide.usd
    assert price(model, {"quality": "high"}, on=day, prompt="a pig").usd != wide.usd


@pytest.mark.parametrize(
    ("prompt", "batch", "names"),
    [
        ("a pig --cw 0", {"cref_weight": 80}, ["cref_weight"]),
        ("a pig —cw 0", {"cref_weight": 80, "ar": "3:2"}, ["cref_weight"]),
        ("a pig --ar 3:2", {"ar": "3:2"}, []),
        ("a pig --ar 3:2", {"aspect_ratio": "16:9"}, ["aspect_ratio"]),
        ("a pig", {"cref_weight": 80}, []),
        ("a pig --cw 0", {"cref_weight": None}, []),
    ],
)
def test_a_row_s_own_flag_wins_over_the_batch_s_default(prompt: str, batch: dict[str, Any], names: list[str]) -> None:
    assert overruled(prompt, batch) == names


# --- Words that are added ---


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a pig", "a pig, dramatic."),
        ("a pig --no hats", "a pig, dramatic. --no hats"),
        ("a pig  --ar 16:9\n--no hats", "a pig, dramatic. --ar 16:9 --no hats"),
        ("a pig —no hats", "a pig, dramatic. —no hats"),
        ("a street—no cars—at dawn", "a street—no cars—at dawn, dramatic."),
        ("a pig --ar 16:9 - @ana (fast)", "a pig, dramatic. --ar 16:9 - @ana (fast)"),
        ("a pig - @ana (fast)", "a pig, dramatic. - @ana (fast)"),
        ("--no hats", "--no hats"),
    ],
)
def test_added_words_stand_before_the_first_flag(prompt: str, expected: str) -> None:
    assert with_words(prompt, ", dramatic.") == expected


TO_MIDJOURNEY = [one for one in CASES if one.model.startswith("midjourney") and not one.refused]


@pytest.mark.parametrize("case", TO_MIDJOURNEY, ids=str)
def test_added_words_leave_every_flag_as_it_was(case: Case) -> None:
    before, after = understood(case.prompt), understood(with_words(case.prompt, " Style: vivid."))
    assert (after.flags, after.images) == (before.flags, before.images)
    assert after.words == f"{before.words} Style: vivid.".lstrip()


# --- No flag goes out unread and unwarned ---------------------------------------------------------------------------

DOUBLED = ["--", "––", "——", "－－", "- -", "– –", "−−", "-–", "\u2e3a", "‐‐"]
LONG = ["–", "—", "―", "‒"]
VALUES = {
    "--ar": "16:9",
    "--v": "6.1",
    "--niji": "7",
    "--style": "raw",
    "--sref": "1234",
    "--cref": "https://x/1.png",
    "--oref": "https://x/1.png",
    "--profile": "abc123",
    "--no": "hat",
    "--motion": "low",
    "--iw": "2",
    "--ow": "50",
    "--stop": "50",
    "--quality": "1",
    "--repeat": "4",
    "--r": "4",
}
SPELLINGS = sorted({spelling for flag in FLAGS for spelling in (flag.name, *flag.also)} | set(ANSWERED))
CANONICAL = {spelling: flag for flag in FLAGS for spelling in (flag.name, *flag.also)}
WORDS = st.lists(
    st.sampled_from(["a", "pink", "pig", "in", "rain,", "猪", "über", "3", "hat.", "{x}", "–", "#art", "it's"]),
    min_size=1,
    max_size=6,
).map(lambda words: " ".join(["scene", *words]))


def value_of(spelling: str) -> str:
    flag = CANONICAL.get(spelling)
    name = flag.name if flag is not None else spelling
    if flag is not None and flag.takes is Takes.NOTHING:
        return ""
    if name in ANSWERED and ANSWERED[name][0] is Takes.NOTHING:
        return ""
    return VALUES.get(name, "10")


@given(
    words=WORDS,
    dash=st.sampled_from([*DOUBLED, *LONG]),
    before=st.sampled_from([" ", "  ", "\n", "\u200b ", ", ", "。", "! "]),
    spelling=st.sampled_from(SPELLINGS),
    cased=st.booleans(),
    model=st.sampled_from(["midjourney", "gpt-image-2.5-flare", "black-forest-labs/flux-2-pro"]),
)
def test_no_flag_in_any_dash_goes_out_unread_and_unwarned(
    words: str, dash: str, before: str, spelling: str, *, cased: bool, model: str
) -> None:
    name = spelling[2:].upper() if cased else spelling[2:]
    value = value_of(spelling)
    asked = ask(model, f"{words}{before}{dash}{name} {value}".rstrip())
    try:
        told = sent(asked)["prompt"]
    except RequestRefused:
        return
    text = told.split(" --", 1)[0] if model == "midjourney" else told
    left = f"{dash}{name}" in text
    assert not left or warnings(asked), f"{told!r} still holds the flag, and nobody is told"


@given(
    words=WORDS,
    dash=st.sampled_from([*DOUBLED, *LONG]),
    spelling=st.sampled_from(["--ar", "--seed", "--v", "--cw"]),
)
def test_a_flag_with_a_number_that_hangs_on_a_word_is_read_too(words: str, dash: str, spelling: str) -> None:
    if dash in {"- -", "– –"}:
        return
    asked = ask("midjourney", f"{words}pig{dash}{spelling[2:]} {value_of(spelling)}")
    assert f"pig{dash}" not in sent(asked)["prompt"]


# --- No false alarms ------------------------------------------------------------------------------------------------

SUBJECTS = (
    "a well-known barista", "an old man and his twenty-one-year-old cat", "Lulu the pig", "ein Mädchen mit Hut",
    "une façade Art déco", "un perro callejero", "女の子", "一只粉色的小猪", "кот-космонавт", "سيارة حمراء",
    "a T-shirt", "R2-D2 and C-3PO", "an iPhone 15 Pro", "the F-16 and the A-10", "a Coca-Cola can", "a 1970s e-bike",
)  # fmt: skip
PLACES = (
    "in Saint-Tropez", "at 7:30 a.m.", "on the Paris–Dakar road", "between 1990–1995", "under a 3-for-2 sign",
    "with a price tag of $19.99", "for €5,–", "in a 2:1 mix of fog and light", "behind the no-entry sign",
    "at the Wood Green—Turnpike Lane stop", "在上海外滩", "à l'aube", "mit Regen – viel Regen", "en la playa",
)  # fmt: skip
STYLES = (
    "35mm f/1.8, ISO 400", "#art #pig #no-filter", "8k, ultra-detailed", "soft, semi-realistic, high-contrast",
    "style of a 16-bit video game", "photo—grainy and warm—by an amateur", "so quiet — no one awake", "50% off",
    "v-neck, x-ray look", "wide shot (low angle)", "(masterpiece:1.2), best quality", '"Keep calm" on the wall',
    "colour palette: teal & orange", "no people, no text", "aspect of joy", "seed pods in the wind", "raw umber tones",
    "tile roof, stop sign, weird chaos", "—", "…", "fast cars – turbo engines", "it's 10 - 5 = 5", "a-b-c",
    "C++ -- code",
)  # fmt: skip


def ordinary_prompts(count: int) -> list[str]:
    rng = random.Random(11)
    forms = ("{} {}, {}", "{} {}. {}", "{} {} – {}", "{}—{}, {}", "{} {} {}", "«{}» {} / {}", "{}: {}; {}")
    return [
        rng.choice(forms).format(rng.choice(SUBJECTS), rng.choice(PLACES), rng.choice(STYLES)) for _ in range(count)
    ]


@pytest.mark.parametrize("model", ["midjourney", "gpt-image-2.5-flare", "google/nano-banana-pro"])
def test_a_thousand_ordinary_prompts_raise_no_alarm(model: str) -> None:
    prompts = ordinary_prompts(1000)
    assert len(set(prompts)) > 600
    alarms = {prompt: said for prompt in prompts if (said := warnings(ask(model, prompt)))}
    assert not alarms
    kept = [sent(ask(model, prompt))["prompt"].partition(" --v 7")[0] for prompt in prompts]
    assert kept == [" ".join(prompt.split()) for prompt in prompts]
