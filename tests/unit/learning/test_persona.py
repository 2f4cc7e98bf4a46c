"""Personas: words with weights, a direction, influence that can be read, and a file that comes back as it went."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from learning.persona import (
    MOST_WORDS,
    Persona,
    Source,
    as_document,
    direction,
    influence,
    matches,
    of_document,
    words_of,
)


def persona(name: str = "Ann", *, words: object = (("silk", 1.0), ("neon", -0.6)), **more: object) -> Persona:
    return Persona(name=name, description="", source=Source.DESCRIPTION, words=words, **more)  # type: ignore[arg-type]


def test_words_say_what_is_liked_and_what_is_not() -> None:
    found = words_of(
        ["Muted earth tones and natural linen", "linen again, I like it", "linen in earth tones"],
        against=["too much neon", "neon"],
    )
    assert found[0] == ("linen", 1.0)
    assert dict(found)["neon"] < 0
    assert not {"and", "too", "it", "like"} & set(dict(found))
    assert len(found) <= MOST_WORDS


@given(st.lists(st.text(max_size=60), max_size=5), st.lists(st.text(max_size=60), max_size=5))
def test_weights_lie_between_minus_one_and_one_whatever_was_said(liked: list[str], disliked: list[str]) -> None:
    found = words_of(liked, against=disliked)
    assert all(-1 <= weight <= 1 and weight != 0 for _, weight in found)
    assert persona(words=found).digest


def test_influence_names_the_words_and_leaves_flags_behind_them() -> None:
    found = influence(persona(), "a red gown --ar 2:3", strength=1.0)
    assert found.prompt == "a red gown, silk --ar 2:3"
    assert found.added == [("silk", 1.0)]
    assert found.avoided == [("neon", -0.6)]


def test_no_strength_and_known_words_change_nothing() -> None:
    assert influence(persona(), "a red gown", strength=0).prompt == "a red gown"
    assert influence(persona(), "a silk gown", strength=1).added == []
    with pytest.raises(BadInput):
        influence(persona(), "a gown", strength=1.5)


def test_the_nearest_persona_comes_first_and_other_models_are_left_out() -> None:
    one = persona("one", model="m", vector=np.array([1.0, 0.0]))
    two = persona("two", model="m", vector=np.array([0.6, 0.8]))
    other = persona("other", model="n", vector=np.array([1.0, 0.0]))
    found = matches([two, other, one, persona("words")], np.array([2.0, 0.0]), model="m")
    assert [(one.persona.name, round(one.score, 3)) for one in found] == [("one", 1.0), ("two", 0.6)]


def test_a_direction_leads_from_what_is_disliked_to_what_is_liked() -> None:
    liked, disliked = np.array([[1.0, 0.0], [1.0, 0.2]]), np.array([[0.0, 0.1]])
    found = direction(liked, disliked)
    assert found == pytest.approx([1.0, 0.0])
    with pytest.raises(BadInput, match="cannot be told"):
        direction(liked, liked)


def test_a_file_comes_back_as_it_went() -> None:
    one = persona(model="m", vector=np.array([0.25, -0.5]), made_of=3)
    back = of_document(json.loads(json.dumps(as_document(one))))
    assert as_document(back) == as_document(one)
    assert back.digest == one.digest


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ([], "no file of a persona"),
        ({"format": "other"}, "no file of a persona"),
        ({"format": "likeness-persona-1"}, "lacks"),
        ({**as_document(persona()), "words": [["silk", 3]]}, "between -1 and 1"),
        ({**as_document(persona()), "vector": ["x"], "model": "m"}, "cannot be read"),
        ({**as_document(persona()), "vector": [1.0]}, "goes with the name"),
        ({**as_document(persona()), "name": "../x"}, "name"),
    ],
)
def test_a_file_that_is_no_persona_says_why(document: object, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        of_document(document)
