"""Every named moment kills a worker once; the work is taken over, and the books equal the bill."""

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

import pipeline
from domain.states import FINAL
from pipeline import characters, status
from pipeline.characters import NewCharacter
from pipeline.enqueue import Order, enqueue, plan
from pipeline.points import POINTS, DieOnce
from pipeline.prompt_file import read_prompts
from providers.catalogue import load
from runtime.children import Children, ChildReport
from runtime.crew import role
from runtime.resources import open_resources
from runtime.settings import Settings
from sandbox.process import running
from tests.acceptance.commands import ROOT, bill, wait_for, write_prompts
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


@pytest.fixture
def settings(home: Path, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Settings]:
    with running(tmp_path / "sandbox", latency_s=0.2, size_px=96) as url:
        yield Settings().model_copy(
            update={
                "home": home,
                "database_url": SecretStr(database_url),
                "redis_url": SecretStr(redis_url),
                "sandbox_base_url": url,
                "clip_model": str(ROOT / "sandbox" / "clip"),
                "lease_s": 3.0,
                "unclaimed_s": 3.0,
                "listings_apart_s": 6.0,
            }
        )


def _crew() -> Children:
    def on_report(report: ChildReport) -> None:
        print(f"{report.name}: {report.happening}, status {report.status}", file=sys.stderr)

    return Children(
        lambda name, line: print(f"{name} | {line}", file=sys.stderr),
        on_report,
        first_pause_s=0.1,
        longest_pause_s=0.5,
        gives_up_after=200,
    )


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
        with _crew() as crew:
            for name in ("io", "gpu", "beat"):
                child = role(name, settings)
                crew.start(dataclasses.replace(child, env={**child.env, "LIKENESS_DIE_AT": ",".join(POINTS)}))
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
