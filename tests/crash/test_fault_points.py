"""Every named moment kills a worker once; the work is taken over, and the books equal the bill."""

import ast
from pathlib import Path

import pytest

from domain.states import FINAL
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.operator import batch_control, lanes
from pipeline.process import fault_points
from pipeline.process.fault_points import DieOnce
from pipeline.views import status
from runtime.resources import open_producer
from runtime.settings import Settings
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches, in_motion, waiting
from tests.crash.wires import OPENAI, REPLICATE, TTAPI, arm, ordered
from tests.support.commands import ROOT, bill, wait_for

#: Steps that need none: they move no money, and the next tick, or rescue, does what a death leaves undone.
_WITHOUT_POINTS = {"accounts", "daily_audit", "heartbeat", "model_inputs", "preferences", "upload"}
_EVERY = {point for name, tuple_ in vars(fault_points).items() if name.endswith("POINTS") for point in tuple_}
#: Requests have a death of their own in `tests/integration/api/test_killed_request.py`.
#: Points of preparation are reached in `test_preparing_points.py`, those of finishing in `test_finishing_points.py`.
_ELSEWHERE = {*fault_points.REQUEST_POINTS, *fault_points.PREPARING_POINTS, *fault_points.FINISHING_POINTS}
_OF_WORKERS = _EVERY - _ELSEWHERE
#: Names of modules in all of `pipeline`; a point's name begins with that of its step's.
_MODULES = {path.stem: path for path in (ROOT / "pipeline").rglob("*.py")}


def _steps() -> set[str]:
    """The modules to whose functions task bodies hand their resources."""
    tree = ast.parse((ROOT / "tasks" / "bodies.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    handed = [call for call in calls if call.args and ast.unparse(call.args[0]) == "resources"]
    called = {ast.unparse(call.func).partition(".")[0] for call in handed}
    return _MODULES.keys() & called


def test_every_step_that_a_task_calls_has_fault_points() -> None:
    steps = _steps()
    assert {"submit", "poll", "collect", "validate"} <= steps
    assert steps - _WITHOUT_POINTS <= {point.partition(".")[0] for point in _EVERY}


def test_every_point_stands_once_in_its_step() -> None:
    for point in _EVERY:
        source = _MODULES[point.partition(".")[0]].read_text(encoding="utf-8")
        assert source.count(f'reach("{point}")') == 1, point


def test_a_point_that_does_not_exist_cannot_be_armed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"submit\.nowhere"):
        DieOnce(tmp_path, frozenset({"submit.nowhere"}))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_dies_at_every_point_and_nothing_is_lost_or_paid_twice(settings: Settings, tmp_path: Path) -> None:
    deaths, url = settings.home / "deaths", str(settings.sandbox_base_url)
    # So many deaths within a minute hit the same bystander three times, now and then; poison has tests of its own.
    # A death puts in doubt what its worker has sent to OpenAI, and nobody lists it: few threads, and a place for every
    # doubt, leave prompts for the point behind the answer.
    few = {"io_threads": 4, "openai_concurrency": 4}
    settings = settings.model_copy(update={"deaths_alone": len(_OF_WORKERS), **few})
    arm(url, {"where": "submit", "what": "stuck", "match": "stuck"})
    hills = [f"Lulu Pig on hill number {i}" for i in range(60)]
    with open_producer(settings, application="likeness crash test") as resources:
        lanes.set_concurrency(resources, OPENAI.provider, len(hills))
        definitions.add(resources, _character("lulu", core=0.5))
        definitions.add(resources, _character("strict", core=0.999))
        checked = ordered(resources, TTAPI, tmp_path / "checked.csv", hills, character="lulu").batch_id
        # Rejected, and tried again with a stronger reference.
        path = tmp_path / "strict.csv"
        ordered(resources, TTAPI, path, hills[:4], character="strict", max_tries=2, cref_weight=25)
        # At work until its provider is told to stop.
        stuck = ordered(resources, REPLICATE, tmp_path / "stuck.csv", [f"stuck {hill}" for hill in hills[:4]]).batch_id
        with crew_of(settings, LIKENESS_DIE_AT=",".join(_OF_WORKERS)):
            wait_for(
                lambda: status.of_batch(resources, stuck).progress.counts["generating"] > 0,
                what="a job to stop",
                timeout_s=300,
            )
            batch_control.cancel(resources, stuck)
            # Whoever comes first to a point dies there, and only a doubt about a job that is listed comes to these two.
            wait_for(
                lambda: {path.name for path in deaths.iterdir()} >= {"by_listing.listed", "by_listing.settled"},
                what="a doubt to be settled by the list",
                timeout_s=300,
                found=lambda: in_motion(resources.database),
            )
            unlisted = ordered(resources, OPENAI, tmp_path / "unlisted.csv", hills[:12]).batch_id
            wait_for(
                lambda: waiting(resources.database) == 0,
                what="every generation to be final, or in doubt where nothing is listed",
                timeout_s=600,
                found=lambda: [*in_motion(resources.database), _OF_WORKERS - {path.name for path in deaths.iterdir()}],
            )
            # What came late must have found its place too.
            wait_for(lambda: not breaches(resources, bill(url)), what="the books to be right")
        assert {path.name for path in deaths.iterdir()} == _OF_WORKERS, "every point was reached and killed somebody"
        counts = [status.of_batch(resources, one).progress.counts for one in (checked, unlisted)]
        assert sum(counts[0][state] for state in FINAL) == 60
        assert [one["failed"] for one in counts] == [0, 0]


def _character(name: str, *, core: float) -> NewCharacter:
    reference = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
    return NewCharacter(
        name=name, description="", references=[reference], core=core, style=0.0, origin="chosen for this test"
    )
