"""Every named moment kills a worker once; the work is taken over, and the books equal the bill."""

import inspect
from datetime import UTC, datetime
from pathlib import Path

import pytest

import pipeline
from domain.states import FINAL
from pipeline import characters, status
from pipeline.characters import NewCharacter
from pipeline.enqueue import Order, enqueue, plan
from pipeline.points import POINTS, DieOnce
from pipeline.prompt_file import read_prompts
from providers.catalogue import load
from runtime.resources import open_resources
from runtime.settings import Settings
from tests.acceptance.commands import ROOT, bill, wait_for, write_prompts
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches

_STEPS = {"admit", "submit", "poll", "collect", "validate", "rescue", "doubts"}


def test_every_step_has_fault_points_and_every_point_stands_in_its_step() -> None:
    assert {point.partition(".")[0] for point in POINTS} == _STEPS
    folder = Path(inspect.getfile(pipeline)).parent
    for point in POINTS:
        source = (folder / f"{point.partition('.')[0]}.py").read_text(encoding="utf-8")
        assert source.count(f'reach("{point}")') == 1, point


def test_a_point_that_does_not_exist_cannot_be_armed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"submit\.nowhere"):
        DieOnce(tmp_path, frozenset({"submit.nowhere"}))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_dies_at_every_point_and_nothing_is_lost_or_paid_twice(settings: Settings, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "p.csv", [f"Lulu Pig on hill number {i}" for i in range(60)])
    deaths = settings.home / "deaths"
    with open_resources(settings, application="likeness crash test") as (resources, _):
        reference = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
        characters.add(
            resources,
            NewCharacter(
                name="lulu", description="", references=[reference], core=0.5, style=0.0, origin="chosen for this test"
            ),
        )
        order = Order(name="crash", user_id="local", provider="sandbox", character="lulu", settings={"mode": "fast"})
        written = enqueue(
            resources, order, plan(resources, load(), order, read_prompts(prompts), today=datetime.now(UTC).date())
        )
        with crew_of(settings, LIKENESS_DIE_AT=",".join(POINTS)):
            wait_for(
                lambda: status.of_batch(resources, written.batch_id).standing.unfinished == 0,
                what="every generation to be final",
                timeout_s=600,
            )
            # What came late must have found its place too.
            wait_for(
                lambda: not breaches(resources, bill(str(settings.sandbox_base_url))), what="the books to be right"
            )
        assert {path.name for path in deaths.iterdir()} == set(POINTS), "every point was reached and killed somebody"
        assert breaches(resources, bill(str(settings.sandbox_base_url))) == []
        ended = status.of_batch(resources, written.batch_id)
        assert sum(ended.standing.counts[state] for state in FINAL) == 60
        assert ended.standing.counts["failed"] == 0
