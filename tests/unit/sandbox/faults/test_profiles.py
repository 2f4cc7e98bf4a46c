"""Faults under one name: which ones, and how often."""

from collections import Counter

import pytest

from sandbox.faults.armed import Faults
from sandbox.faults.kinds import KINDS, UNPREDICTABLE, WIRES
from sandbox.faults.profiles import chaos, profile
from sandbox.web import BadRequest


def _armed(rate: float) -> Faults:
    faults = Faults()
    faults.arm(chaos(rate), seed=7)
    return faults


def test_chaos_holds_every_fault_at_every_wire_that_can_do_it() -> None:
    held = {(fault["what"].partition(":")[0], fault["where"], fault["provider"]) for fault in chaos(0.1)}
    possible = {
        (name, where, provider)
        for name, kind in KINDS.items()
        if name not in UNPREDICTABLE
        for where in kind.where
        for provider in kind.wires(where)
    }
    assert held == possible


@pytest.mark.parametrize("provider", sorted(WIRES["submit"]))
def test_a_submission_meets_a_fault_at_the_rate_of_the_profile_and_all_kinds_alike(provider: str) -> None:
    faults = _armed(0.5)
    rolls = 20_000
    for _ in range(rolls):
        _ = faults.choose_unread(provider) or faults.choose("submit", provider)
    met = Counter(str(one["what"]) for one in faults.happened())
    assert sum(met.values()) / rolls == pytest.approx(0.5, abs=0.03)
    kinds = [fault for fault in chaos(0.5) if (fault["where"], fault["provider"]) == ("submit", provider)]
    assert set(met) == {fault["what"] for fault in kinds}
    assert max(met.values()) < 1.5 * min(met.values())


def test_the_same_seed_brings_the_same_faults() -> None:
    def met() -> list[object]:
        faults = _armed(0.3)
        for number in range(200):
            faults.choose("fetch", "ttapi", prompt=f"pig {number}")
        return [(one["what"], one["prompt"]) for one in faults.happened()]

    assert met() == met() != []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"profile": "calm"}, "known: chaos"),
        ({"profile": "chaos", "rate": 1.5}, "from 0 to 1"),
        ({"profile": "chaos", "rate": True}, "from 0 to 1"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        profile(fields)


def test_a_fault_is_refused_at_a_wire_that_cannot_do_it() -> None:
    with pytest.raises(BadRequest, match="none of 'openai', but of replicate"):
        Faults().arm([{"where": "fetch", "what": "data_removed", "provider": "openai"}])
