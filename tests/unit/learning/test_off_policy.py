"""Off-policy estimates: right about a policy that never ran, wide where little is known, and honest about it."""

from collections.abc import Mapping

import numpy as np
import pytest

from learning.off_policy import Logged, always, cheapest, doubly_robust, ips, ratio, snips, uniform

RATES = {"a": 0.3, "b": 0.8, "c": 0.5}
PRICES = {"a": 0.02, "b": 0.10, "c": 0.05}


def log(seed: int, *, count: int = 2000, shares: Mapping[str, float] | None = None) -> list[Logged]:
    rng = np.random.default_rng(seed)
    shares = shares or {"a": 0.6, "b": 0.1, "c": 0.3}
    names = list(shares)
    found = []
    for _ in range(count):
        chosen = names[int(rng.choice(len(names), p=list(shares.values())))]
        accepted = float(rng.random() < RATES[chosen])
        found.append(
            Logged(
                chosen=chosen,
                candidates=shares,
                prices=PRICES,
                context="no character",
                accepted=accepted,
                usd=PRICES[chosen],
            )
        )
    return found


@pytest.mark.parametrize("estimate", [ips, snips, doubly_robust])
def test_the_value_of_another_policy_is_inside_its_interval_about_as_often_as_it_says(estimate: object) -> None:
    assert callable(estimate)
    inside = 0
    for seed in range(60):
        logged = log(seed, count=800)
        found = estimate(logged, always("b"), [one.accepted for one in logged])
        inside += found.low <= RATES["b"] <= found.high
    # 95 % of 60 is 57; 50 lies four standard deviations below.
    assert inside >= 50


def test_doubly_robust_is_narrower_than_ips() -> None:
    logged = log(1)
    values = [one.accepted for one in logged]
    plain, robust = ips(logged, always("b"), values), doubly_robust(logged, always("b"), values)
    assert robust.high - robust.low < plain.high - plain.low
    assert plain.effective == pytest.approx(sum(one.chosen == "b" for one in logged))


def test_the_policy_that_ran_is_estimated_as_what_happened() -> None:
    logged = log(2)
    same = lambda one: one.candidates  # noqa: E731 -- a policy is a function of the decision
    values = [one.accepted for one in logged]
    assert ips(logged, same, values).value == pytest.approx(np.mean(values))
    assert snips(logged, same, values).value == pytest.approx(np.mean(values))


def test_dollars_per_accepted_picture() -> None:
    logged = log(3, count=4000)
    accepted = snips(logged, cheapest, [one.accepted for one in logged])
    cost = snips(logged, cheapest, [one.usd for one in logged])
    assert ratio(cost, accepted) == pytest.approx(PRICES["a"] / RATES["a"], rel=0.1)


def test_few_agreements_are_not_enough_data() -> None:
    logged = log(4, count=100)
    assert not ips(logged, always("b"), [one.accepted for one in logged]).enough
    assert ips(logged, uniform, [one.accepted for one in logged]).effective < len(logged)


def test_no_decision_gives_no_number() -> None:
    assert np.isnan(ips([], uniform, []).value)
    assert np.isnan(snips([], uniform, []).value)
    assert np.isnan(doubly_robust([], uniform, []).value)
