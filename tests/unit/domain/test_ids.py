"""How a prompt is recognised again."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import normalised, row_identity, sha256

JSON = st.dictionaries(
    st.text(string.ascii_lowercase, max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=4
)
PROMPTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def test_the_order_of_settings_does_not_matter() -> None:
    assert row_identity("a pig", {"ar": "1:1", "seed": 1}) == row_identity("a pig", {"seed": 1, "ar": "1:1"})


@pytest.mark.parametrize("same", ["a  pig", " a pig ", "a\tpig", "a\r\npig", "a\u00a0pig"])
def test_white_space_does_not_make_another_prompt(same: str) -> None:
    assert row_identity(same, {}) == row_identity("a pig", {})


def test_canonical_forms_of_one_letter_are_one_prompt() -> None:
    assert row_identity("caf\u00e9", {}) == row_identity("cafe\u0301", {})


@pytest.mark.parametrize("other", ["A pig", "a pig.", "apig", ""])
def test_another_text_is_another_prompt(other: str) -> None:
    assert row_identity(other, {}) != row_identity("a pig", {})


def test_another_setting_is_another_picture() -> None:
    known = row_identity("a pig", {"seed": 1})
    assert known not in {row_identity("a pig", other) for other in ({}, {"seed": 2}, {"seed": "1"}, {"seed": None})}


def test_a_prompt_cannot_pass_for_a_setting() -> None:
    assert row_identity('a","b', {}) != row_identity("a", {"b": 1})


@given(PROMPTS, JSON, PROMPTS, JSON)
def test_two_rows_share_an_identity_if_and_only_if_they_ask_for_the_same(
    one: str, its: dict[str, object], other: str, theirs: dict[str, object]
) -> None:
    same = (normalised(one), its) == (normalised(other), theirs)
    assert (row_identity(one, its) == row_identity(other, theirs)) == same


@given(PROMPTS)
def test_normalising_twice_changes_nothing(prompt: str) -> None:
    assert normalised(normalised(prompt)) == normalised(prompt)
    assert len(row_identity(prompt, {})) == 32


def test_a_digest_is_lower_case_hexadecimal() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
