"""The options of `enqueue` and `run`: reference addresses in every form that people type them in."""

from pathlib import Path

import pytest

from cli.batches.enqueue_options import EnqueueOptions
from cli.options import one_address_each

ONE, TWO = "https://a.example/1,2.png", "http://b.example/2.png"


def test_several_addresses_after_one_option_are_all_references() -> None:
    typed = ["run", "p.csv", "--cref-urls", ONE, TWO, "--cref-weight", "100"]
    assert list(one_address_each(typed)) == [
        *("run", "p.csv", "--cref-urls", ONE, "--cref-urls", TWO, "--cref-weight", "100")
    ]


def test_a_prompt_file_after_the_addresses_is_not_taken_for_one() -> None:
    typed = ["run", f"--cref-urls={ONE}", TWO, "p.csv", "https://elsewhere"]
    assert list(one_address_each(typed)) == ["run", typed[1], "--cref-urls", TWO, "p.csv", "https://elsewhere"]


@pytest.mark.parametrize(
    "values",
    [[ONE, TWO], [f"{ONE} {TWO}"], [f"{ONE},{TWO}"], [f" {ONE}, \n{TWO},"]],
    ids=["twice", "space", ",", "mix"],
)
def test_addresses_may_be_repeated_or_share_a_value(values: list[str]) -> None:
    assert EnqueueOptions(prompts=Path("p.csv"), cref_urls=values).settings == {"cref_urls": [ONE, TWO]}


def test_what_was_not_asked_for_is_left_to_the_providers_default() -> None:
    assert EnqueueOptions(prompts=Path("p.csv")).settings == {}
    assert EnqueueOptions(prompts=Path("p.csv"), cref_urls=["one two"]).settings == {"cref_urls": ["one two"]}
