"""The report's estimates: from decisions with their propensities, and silent where there are too few."""

import pytest

from db.records.routing import JudgedDecision, RoutingDecision
from pipeline.views.routing import estimates_of

USD = {"good": 0.2, "bad": 0.1}


def judged(count: int) -> list[JudgedDecision]:
    """Two models in turn, as if by a coin: the good one is always accepted, the bad one half the time."""
    found = []
    for at in range(count):
        model = ("good", "bad")[at % 2]
        decision = RoutingDecision(
            number=1,
            context="no character",
            candidates=[{"model": name, "propensity": 0.5, "usd": str(usd)} for name, usd in USD.items()],
            model=model,
            provider="p",
            propensity=0.5,
            version="test",
        )
        found.append(JudgedDecision(decision=decision, accepted=at % 4 != 1, usd=USD[model]))
    return found


def test_estimates_are_made_of_what_was_decided() -> None:
    found = {(one.policy, one.estimator): one.as_json() for one in estimates_of(judged(80), model="good")}
    assert found["cheapest", "ips"]["accepted"]["value"] == pytest.approx(0.5)
    assert found["cheapest", "ips"]["usd"]["value"] == pytest.approx(0.1)
    assert found["uniform", "ips"]["accepted"]["value"] == pytest.approx(0.75)
    assert found["good", "doubly_robust"]["accepted"]["value"] == pytest.approx(1.0, abs=0.05)
    assert found["good", "doubly_robust"]["usd_per_accepted"] == pytest.approx(0.2, rel=0.1)


def test_too_few_results_are_said_instead_of_a_figure() -> None:
    assert {one.as_json()["said"] for one in estimates_of(judged(40), model="good") if one.policy != "uniform"} == {
        "not enough data"
    }
