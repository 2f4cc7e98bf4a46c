"""A worker dies around the decision to try again: one further attempt is made, and no picture is paid twice."""

from pathlib import Path

import pytest

from db.records import closed_loop
from domain.escalation import read_steps, try_policy_of
from domain.states import FINAL
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.operator import batch_control
from pipeline.process.fault_points import CLOSED_LOOP_POINTS
from pipeline.views import status
from runtime.resources import open_producer
from runtime.settings import Settings
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches
from tests.crash.wires import TTAPI, ordered
from tests.support.commands import ROOT, bill, wait_for

_REFERENCE = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
_PROMPTS = 12


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_death_after_the_decision_leads_to_one_further_attempt(settings: Settings, tmp_path: Path) -> None:
    armed = ("validate.scored", "validate.judged", *CLOSED_LOOP_POINTS)
    unreachable = NewCharacter(
        name="lulu", description="", references=[_REFERENCE], core=1.0, style=1.0, origin="chosen for this test"
    )
    with open_producer(settings, application="likeness crash test") as resources:
        definitions.add(resources, unreachable)
        prompts = [f"Lulu Pig on hill number {number}" for number in range(_PROMPTS)]
        written = ordered(resources, TTAPI, tmp_path / "hills.csv", prompts, character="lulu", cref_weight=25)
        said = try_policy_of(max_tries=2, escalate=read_steps("weight"))
        batch_control.try_further(resources, written.batch_id, said=said)
        with crew_of(settings, roles=("io", "gpu", "beat"), LIKENESS_DIE_AT=",".join(armed)):

            def ended() -> bool:
                counts = status.of_batch(resources, written.batch_id).progress.counts
                return sum(counts[state] for state in FINAL) == _PROMPTS

            wait_for(ended, what="every generation to be final", timeout_s=300)
        assert {path.name for path in (settings.home / "deaths").iterdir()} == set(armed)
        found = bill(str(settings.sandbox_base_url))
        assert breaches(resources, found) == []
        assert len(found["jobs"]) == 2 * _PROMPTS, "one further attempt for each, however often somebody died"
        assert status.of_batch(resources, written.batch_id).progress.counts["rejected"] == _PROMPTS
        with resources.database.transaction() as connection:
            assert closed_loop.paid_unasked(connection) == []
