"""One list of words that the services object to, and every wire's way of saying so."""

from datetime import UTC, datetime

import pytest

from sandbox.moderation import BY_READING, WORDS, Stage, objections
from sandbox.wires.openai import submit, text_calls
from sandbox.wires.openai.bodies import NotAccepted
from sandbox.wires.replicate import submit as replicate_submit
from sandbox.wires.ttapi.prompt import IllegalPrompt, read_prompt

NOW_S = datetime(2026, 11, 26, tzinfo=UTC).timestamp()


def test_each_word_counts_alone_whatever_its_case_and_behind_flags_too() -> None:
    assert list(objections("No GORE, please --no nude")) == ["gore", "nude"]
    assert objections("a category of gorets") == {}


def test_every_stage_has_a_word_and_only_the_last_is_hidden_from_a_reader() -> None:
    assert {one.stage for one in WORDS.values()} == set(Stage)
    hidden = WORDS.keys() - objections(" ".join(WORDS), BY_READING).keys()
    assert {WORDS[word].stage for word in hidden} == {Stage.PICTURE}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_service_objects_to_every_word(word: str) -> None:
    prompt = f"a {word} pig"
    if WORDS[word].stage is not Stage.DOOR:
        with pytest.raises(IllegalPrompt):
            read_prompt(prompt)
    nano = {"input": {"prompt": prompt}}
    assert "(E005)" in replicate_submit.wanted("google/nano-banana-pro", nano, {}, retired="failed").message
    with pytest.raises(NotAccepted, match=rf"safety_violations=\[{WORDS[word].category}\]"):
        submit.wanted("generation", {"model": "gpt-image-2", "prompt": prompt}, references=(), now_s=NOW_S)
    asked = {"model": "gpt-5.6-luna", "messages": [{"role": "user", "content": prompt}]}
    assert text_calls.answer(text_calls.asked("chat", asked, now_s=NOW_S)) == (text_calls.REFUSED, True)
