"""Prompts are checked with the provider before a batch, for nothing, and refused all together or not at all."""

from dataclasses import replace
from typing import Any

import pytest

from db.schema import generations
from domain.errors import BadInput, ProviderDown, RateLimited
from pipeline.intake.plan import Order, Plan, prepare
from pipeline.intake.prompt_check import refuse_objectionable
from pipeline.intake.prompt_rows import PromptRow
from providers.registry import open_lane
from tests.support.books import USER
from tests.support.steps import StepRunner


def planned(runner: StepRunner, *prompts: str, **settings: Any) -> Plan:
    rows = [
        PromptRow(position=at, line=at + 2, prompt=prompt, settings=settings, extra={})
        for at, prompt in enumerate(prompts)
    ]
    return prepare(runner.resources, Order(name="batch", user_id=USER, provider="sandbox", prompts=rows))


def test_prompts_that_the_provider_takes_pass(runner: StepRunner) -> None:
    assert refuse_objectionable(runner.resources, planned(runner, "a pig", "a pink pig", "a pig")).passed == 3


def test_every_row_that_the_provider_refuses_is_named_and_nothing_is_enqueued(runner: StepRunner) -> None:
    plan = planned(runner, "a pig", "a nude pig", "gore", "a nude pig")
    with pytest.raises(BadInput, match="refuses 3 of the prompts") as caught:
        refuse_objectionable(runner.resources, plan)
    said = str(caught.value)
    for row in ("line 3 (banned prompt words: nude)", "line 4 (banned prompt words: gore)", "line 5 (banned"):
        assert row in said
    assert "line 2" not in said
    assert runner.books.rows(generations) == []
    assert runner.caller.bill() == []


def test_rows_without_words_are_left_out_and_counted(runner: StepRunner) -> None:
    spec = {"records": [{"garmentType": "dress"}]}
    rows = [
        PromptRow(position=0, line=2, prompt="a pig", settings={}, extra={}),
        PromptRow(
            position=1,
            line=3,
            prompt="(from nude.jpg)",
            settings={},
            extra={},
            preparation={"prompt": None, "vlt": spec},
        ),
    ]
    order = Order(name="batch", user_id=USER, provider="sandbox", prompts=rows)
    found = refuse_objectionable(runner.resources, prepare(runner.resources, order))
    assert (found.passed, found.wordless) == (1, 1)
    assert found.counts() == "1 prompts have passed the provider's check; 1 row has no words yet and went unchecked"
    with pytest.raises(BadInput, match="no row has words yet"):
        refuse_objectionable(runner.resources, prepare(runner.resources, replace(order, prompts=rows[1:])))


@pytest.mark.parametrize("word", ["massacre", "bloodbath", "naked"])
def test_a_word_that_would_be_a_strike_is_found_beforehand(runner: StepRunner, word: str) -> None:
    with pytest.raises(BadInput, match=f"banned prompt words: {word}"):
        refuse_objectionable(runner.resources, planned(runner, "a pig", f"a {word}"))


def test_the_text_that_is_checked_is_the_text_that_would_be_sent(runner: StepRunner) -> None:
    with pytest.raises(BadInput, match=r"line 2 .*nude"):
        refuse_objectionable(runner.resources, planned(runner, "a pig", no="nude"))


class _Judge:
    """The lane, whose service answers the check as the test says, one failure after the other."""

    def __init__(self, lane: Any, *failures: Exception) -> None:
        self._lane, self.failures, self.asked = lane, list(failures), 0
        self.checks_prompts = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)

    def objection(self, text: str) -> str | None:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        said: str | None = self._lane.objection(text)
        return said


def test_a_check_that_is_slowed_down_goes_on_and_asks_about_each_text_once(runner: StepRunner) -> None:
    judge = _Judge(runner.resources.lanes["sandbox"], RateLimited("slow down", retry_after_s=0.01))
    resources = replace(runner.resources, lanes={"sandbox": judge})
    assert refuse_objectionable(resources, planned(runner, "a pig", "a pig")).passed == 2
    assert judge.asked == 2


def test_a_check_that_cannot_be_made_lets_nothing_pass(runner: StepRunner) -> None:
    failures = [ProviderDown("away", retry_after_s=0.01) for _ in range(9)]
    resources = replace(runner.resources, lanes={"sandbox": _Judge(runner.resources.lanes["sandbox"], *failures)})
    with pytest.raises(ProviderDown):
        refuse_objectionable(resources, planned(runner, "a pig"))


def test_a_provider_without_such_a_check_is_said(runner: StepRunner) -> None:
    with open_lane("replicate", "replicate", base_url="http://127.0.0.1:9", key="k") as lane:
        assert not lane.checks_prompts
        row = PromptRow(position=0, line=2, prompt="a pig", settings={}, extra={})
        resources = replace(runner.resources, lanes={"replicate": lane})
        plan = prepare(resources, Order(name="batch", user_id=USER, provider="replicate", prompts=[row]))
        with pytest.raises(BadInput, match="leave out --check-prompts"):
            refuse_objectionable(resources, plan)
