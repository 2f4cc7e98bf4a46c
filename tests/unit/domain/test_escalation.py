"""Another try: never unasked, never beyond what was allowed, each one step up, and always to an end."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput
from domain.escalation import (
    DEFAULT_STEPS,
    MOST_TRIES,
    Carried,
    Chances,
    Escalation,
    NextModel,
    Policy,
    Variation,
    Weight,
    merged,
    next_step,
    read_steps,
    try_policy_of,
)

RUNGS = (25, 50, 75, 100)
CW = Weight(setting="cref_weight", flag="cw", value=25, rungs=RUNGS)
VARIATION = Variation(picture=2, action={"job_id": "job", "name": "variation3", "lane": "ttapi", "position": 2})
DEARER = NextModel(name="dearer", provider="replicate")
EVERYTHING = Chances(
    carried=Carried(references=1, weight=CW),
    model="cheap",
    more_references=3,
    in_the_way=("cref_urls",),
    variation=VARIATION,
    next_model=DEARER,
)

weights = st.builds(
    Weight,
    setting=st.just("cref_weight"),
    flag=st.just("cw"),
    value=st.integers(0, 120),
    rungs=st.sampled_from([RUNGS, (25, 50, 75, 100, 200, 400), ()]),
)
chances = st.builds(
    Chances,
    carried=st.builds(Carried, references=st.integers(0, 5), weight=st.none() | weights),
    model=st.just("cheap"),
    more_references=st.none() | st.integers(0, 5),
    in_the_way=st.sampled_from([(), ("cref_urls",)]),
    variation=st.none() | st.just(VARIATION),
    next_model=st.none() | st.just(DEARER),
)
policies = st.builds(
    Policy,
    max_tries=st.integers(1, MOST_TRIES),
    steps=st.lists(st.sampled_from(list(Escalation)), unique=True).map(tuple),
)


@given(chances=chances, tries=st.integers(1, 50))
def test_nobody_who_said_nothing_gets_another_try(chances: Chances, tries: int) -> None:
    assert next_step(Policy.of({}), tries=tries, chances=chances) is None
    assert next_step(Policy.of({}, {"escalate": ["weight", "model"]}), tries=tries, chances=chances) is None


@given(policy=policies, chances=chances, tries=st.integers(1, 50))
def test_a_step_is_one_that_was_named_and_leaves_room_for_a_try(policy: Policy, chances: Chances, tries: int) -> None:
    step = next_step(policy, tries=tries, chances=chances)
    if step is None:
        return
    assert tries < policy.max_tries
    assert step.kind in policy.steps
    assert step.before != step.after


@given(policy=policies, chances=chances, tries=st.integers(1, 50))
def test_the_first_named_step_that_is_possible_is_taken(policy: Policy, chances: Chances, tries: int) -> None:
    step = next_step(policy, tries=tries, chances=chances)
    alone = [next_step(replace(policy, steps=(kind,)), tries=tries, chances=chances) for kind in policy.steps]
    assert step == next((one for one in alone if one is not None), None)


@given(value=st.integers(0, 100))
def test_a_weight_climbs_rung_by_rung_and_stops_at_the_top(value: int) -> None:
    seen = [value]
    while True:
        weight = replace(CW, value=seen[-1])
        step = next_step(
            Policy(max_tries=20, steps=(Escalation.WEIGHT,)),
            tries=len(seen),
            chances=Chances(carried=Carried(references=1, weight=weight), model="m"),
        )
        if step is None:
            break
        seen.append(step.settings["cref_weight"])
    assert seen == sorted(set(seen))
    assert seen[-1] == 100
    assert len(seen) <= len(RUNGS) + 1


def test_the_steps_say_what_they_change() -> None:
    said = []
    for kind in Escalation:
        step = next_step(Policy(max_tries=2, steps=(kind,)), tries=1, chances=EVERYTHING)
        assert step is not None
        said.append(step.says)
    assert said == ["cw 25 → 50", "references 1 → 3", "a variation of picture 3", "cheap → dearer"]


def test_references_that_are_no_more_are_no_step() -> None:
    policy = Policy(max_tries=2, steps=(Escalation.REFERENCES,))
    assert next_step(policy, tries=1, chances=replace(EVERYTHING, more_references=1)) is None


def test_another_model_must_be_named() -> None:
    assert Escalation.MODEL not in DEFAULT_STEPS
    assert Policy.of({"max_tries": 3}).steps == DEFAULT_STEPS


def test_a_row_wins_over_its_batch_key_by_key() -> None:
    batch = try_policy_of(max_tries=4, escalate=read_steps("weight,model"), max_image_cost=Decimal("0.5"))
    assert Policy.of(batch, try_policy_of(max_tries=1)) == Policy(
        max_tries=1, steps=(Escalation.WEIGHT, Escalation.MODEL), max_image_cost=Decimal("0.5")
    )


def test_a_policy_is_the_same_after_its_way_through_json() -> None:
    policy = Policy(max_tries=3, steps=(Escalation.MODEL,), max_image_cost=Decimal("0.07"))
    assert Policy.of(try_policy_of(max_tries=3, escalate=policy.steps, max_image_cost=Decimal("0.07"))) == policy
    assert try_policy_of() == {}


@pytest.mark.parametrize("said", ["weight, model", "Weight MODEL", ["weight", "model"], "weight,weight,model"])
def test_steps_are_read_in_the_order_in_which_they_are_named(said: str | list[str]) -> None:
    assert read_steps(said) == (Escalation.WEIGHT, Escalation.MODEL)


@pytest.mark.parametrize("said", ["", " , ", "weight,size", "luck"])
def test_a_step_that_there_is_not_is_refused(said: str) -> None:
    with pytest.raises(BadInput, match="weight, references, action, model"):
        read_steps(said)


@pytest.mark.parametrize("tries", [0, -1, MOST_TRIES + 1])
def test_a_number_of_tries_out_of_range_is_refused(tries: int) -> None:
    with pytest.raises(BadInput, match="max_tries"):
        try_policy_of(max_tries=tries)


def test_changes_go_over_settings_and_none_takes_one_away() -> None:
    settings = {"cref_weight": 25, "cref_urls": ["u"], "mode": "fast"}
    changes = {"settings": {"cref_weight": 50, "cref_urls": None}, "try": 2}
    assert merged(settings, changes) == {"cref_weight": 50, "mode": "fast"}
    assert merged(settings, {}) == settings
