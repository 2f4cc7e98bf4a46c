"""Routing: propensities that are those of the draw, hard constraints, cost per accepted picture, change noticed."""

from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.beliefs import Belief, Beliefs, Result
from learning.routing import EXPLORATION, Needs, Offer, choose, propensities

BELIEFS = st.builds(Belief, passed=st.floats(1, 60, allow_nan=False), failed=st.floats(1, 60, allow_nan=False))


def offer(model: str, usd: str = "0.10", **facts: Any) -> Offer:
    return Offer(model=model, provider="p", usd=Decimal(usd), at_most_usd=Decimal(usd), **facts)


def results(model: str, *, passed: int, failed: int, context: str = "no character") -> list[Result]:
    return [Result(model=model, context=context, accepted=at < passed) for at in range(passed + failed)]


@given(st.lists(st.tuples(BELIEFS, st.floats(0.001, 2)), min_size=1, max_size=6))
def test_propensities_are_a_distribution_with_a_floor_for_everyone(arms: list[tuple[Belief, float]]) -> None:
    prices = np.array([price for _, price in arms])
    found = propensities([belief for belief, _ in arms], list(prices))
    assert found.sum() == pytest.approx(1)
    assert (found >= EXPLORATION * (1 / prices) / (1 / prices).sum() - 1e-12).all()


@pytest.mark.parametrize("seed", range(3))
def test_propensities_are_how_often_each_is_the_best_of_a_draw_from_the_beliefs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    beliefs = [Belief(passed=1 + rng.uniform(0, 20), failed=1 + rng.uniform(0, 20)) for _ in range(4)]
    prices = rng.uniform(0.02, 0.2, 4)
    drawn = np.stack([rng.beta(one.passed, one.failed, 200_000) for one in beliefs])
    best = (prices[:, None] / drawn).argmin(axis=0)
    expected = np.bincount(best, minlength=4) / best.size
    found = propensities(beliefs, list(prices), exploration=0.0)
    # Five standard errors of 200,000 draws, and the grid's own error.
    assert np.abs(found - expected).max() < 0.008


def test_the_choice_is_drawn_from_the_propensities_that_are_stored() -> None:
    beliefs = Beliefs.of([*results("a", passed=6, failed=6), *results("b", passed=5, failed=5)])
    offers = [offer("a"), offer("b", "0.09"), offer("c", "0.12")]
    rng = np.random.default_rng(5)
    choices = [choose(offers, Needs(), beliefs, draw=float(rng.random())) for _ in range(600)]
    drawn = Counter(one.chosen.model for one in choices if one.chosen is not None)
    for candidate in choices[0].candidates:
        error = (candidate.propensity * (1 - candidate.propensity) / 600) ** 0.5
        assert abs(drawn[candidate.model] / 600 - candidate.propensity) < 5 * error + 1e-9


def test_the_cheapest_per_accepted_picture_wins_and_not_the_cheapest_call() -> None:
    beliefs = Beliefs.of([*results("cheap", passed=1, failed=19), *results("good", passed=19, failed=1)])
    found = choose([offer("cheap", "0.02"), offer("good", "0.06")], Needs(), beliefs, draw=0.5)
    assert [one.model for one in found.candidates] == ["good", "cheap"]
    assert found.chosen is not None
    assert found.chosen.model == "good"


@pytest.mark.parametrize(
    ("needs", "facts", "why"),
    [
        (Needs(characters=1), {}, "takes no references"),
        (Needs(ratio="21:9"), {"ratios": ("1:1", "16:9")}, "does not make 21:9"),
        (Needs(negative=True), {}, "takes no negative prompt"),
        (Needs(most_usd=Decimal("0.05")), {}, "may cost 0.10 USD"),
        (Needs(deadline_s=20), {"expected_s": 60.0}, "usually takes 60 s"),
        (Needs(), {"closed": "insufficient funds"}, "its lane is closed (insufficient funds)"),
    ],
)
def test_what_cannot_serve_is_no_candidate_however_good(needs: Needs, facts: dict[str, Any], why: str) -> None:
    beliefs = Beliefs.of(results("x", passed=50, failed=0))
    able = offer("y", "0.04", references=4, negative=True)
    found = choose([offer("x", **facts), able], needs, beliefs, draw=0.0)
    assert found.excluded == {"x": why}
    assert [(one.model, one.propensity) for one in found.candidates] == [("y", 1.0)]


def test_where_nothing_can_serve_nothing_is_chosen() -> None:
    found = choose([offer("x")], Needs(characters=2), Beliefs(), draw=0.3)
    assert found.chosen is None
    assert found.candidates == []


def test_a_named_model_is_chosen_with_propensity_1() -> None:
    beliefs = Beliefs.of(results("bad", passed=0, failed=30))
    found = choose([offer("bad"), offer("good")], Needs(), beliefs, draw=0.99, frozen="bad")
    assert found.chosen is not None
    assert (found.chosen.model, found.chosen.propensity) == ("bad", 1.0)
    assert found.excluded == {"good": "another was named"}


def test_a_collapse_is_noticed_within_some_dozen_results() -> None:
    before = Beliefs.of(results("a", passed=200, failed=0))
    prior = offer("a").prior
    assert before.about("a", "no character", prior=prior).mean > 0.9
    for one in results("a", passed=0, failed=40):
        before.learn(one)
    assert before.about("a", "no character", prior=prior).mean < 0.6


def test_a_new_context_starts_from_what_the_model_does_elsewhere() -> None:
    beliefs = Beliefs.of(results("a", passed=40, failed=0, context="one character"))
    here = beliefs.about("a", "several characters", prior=offer("a").prior)
    unknown = beliefs.about("b", "several characters", prior=offer("b").prior)
    assert unknown.mean < here.mean < beliefs.about("a", "one character", prior=offer("a").prior).mean


def test_what_nobody_tries_grows_less_sure_again() -> None:
    beliefs = Beliefs.of(results("idle", passed=0, failed=30))
    sure = beliefs.about("idle", "no character", prior=offer("idle").prior)
    for one in results("busy", passed=300, failed=0):
        beliefs.learn(one)
    assert beliefs.about("idle", "no character", prior=offer("idle").prior).failed < sure.failed
