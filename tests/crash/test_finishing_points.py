"""Every named moment of a finishing call kills a worker once: each picture is finished, and no call is paid twice."""

from pathlib import Path

import pytest
from sqlalchemy import text

from domain.finishing import FinishStep
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.operator import finish_pictures
from pipeline.process.fault_points import FINISHING_POINTS
from pipeline.views import status
from runtime.resources import open_producer
from runtime.settings import Settings
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches
from tests.crash.wires import TTAPI, ordered
from tests.support.commands import ROOT, bill, wait_for

_REFERENCE = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
_PROMPTS = 8
#: Of the steps that such a call shares with all others.
_SHARED = (
    *("submit.looked", "submit.intent", "submit.answered", "submit.stored"),
    *("poll.claimed", "poll.answered", "poll.made", "by_listing.settled"),
    *("collect.claimed", "collect.fetched", "collect.committed"),
    *("validate.claimed", "validate.scored", "validate.judged"),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_dies_at_every_point_of_finishing_and_calls_are_paid_once(settings: Settings, tmp_path: Path) -> None:
    armed = (*FINISHING_POINTS, *_SHARED)
    settings = settings.model_copy(update={"deaths_alone": len(armed)})
    # Corrected scores reach down to -1: of every hundred jobs one shows four strangers, who must be accepted as well.
    lulu = NewCharacter(name="lulu", description="", references=[_REFERENCE], core=-1.0, style=-1.0, origin="test")
    url = str(settings.sandbox_base_url)
    with open_producer(settings, application="likeness crash test") as resources:
        definitions.add(resources, lulu)
        prompts = [f"Lulu Pig on hill number {number}" for number in range(_PROMPTS)]
        batch_id = ordered(resources, TTAPI, tmp_path / "hills.csv", prompts, character="lulu").batch_id

        def over() -> bool:
            return status.of_batch(resources, batch_id).over

        with crew_of(settings, roles=("io", "gpu", "beat")):
            wait_for(over, what="every picture to be accepted", timeout_s=250)
        assert status.of_batch(resources, batch_id).all_accepted
        wish = (FinishStep.UPSCALE,)
        asked = finish_pictures.ask(resources, str(batch_id), user_id=settings.user, steps=wish)
        assert asked.new == _PROMPTS
        with crew_of(settings, roles=("io", "gpu", "beat"), LIKENESS_DIE_AT=",".join(armed)):
            wait_for(over, what="every picture to be finished", timeout_s=300)
        assert {path.name for path in (settings.home / "deaths").iterdir()} == set(armed)
        found = bill(url)
        assert breaches(resources, found) == []
        # The four pictures, the accepted one alone, and the larger one.
        assert len(found["jobs"]) == 3 * _PROMPTS
        with resources.database.transaction() as connection:
            ends = connection.execute(text("SELECT outcome, count(*) FROM finishings GROUP BY outcome")).all()
        assert [tuple(row) for row in ends] == [("finished", _PROMPTS)]
