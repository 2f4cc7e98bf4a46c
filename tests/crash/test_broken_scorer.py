"""A device that breaks under a batch: the worker makes room for a new one, and no paid picture suffers."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from runtime.crew import role
from runtime.resources import open_producer
from runtime.settings import Settings
from runtime.supervisor import ChildEvent, ChildReport, Supervisor
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches, waiting
from tests.crash.wires import TTAPI, ordered
from tests.support.commands import ROOT, bill, wait_for

PICTURES = 12


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_worker_whose_device_breaks_is_replaced_and_every_picture_is_checked(
    settings: Settings, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"gpu_threads": 4, "sandbox_rate_limit": "500/s"})
    lives, reports = tmp_path / "lives", list[ChildReport]()
    gpu = role("gpu", settings)
    breaking = dataclasses.replace(gpu, argv=(sys.executable, "-m", "tests.crash.breaking_gpu", str(lives)))
    with open_producer(settings, application="likeness crash test") as resources:
        reference = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
        new = NewCharacter(name="lulu", description="", references=[reference], core=0.5, style=-1.0, origin="chosen")
        definitions.add(resources, new)
        hills = [f"a pig on hill {number}" for number in range(PICTURES)]
        ordered(resources, TTAPI, tmp_path / "hills.csv", hills, character="lulu")
        lines: list[str] = []
        with (
            crew_of(settings, roles=("io", "beat")),
            Supervisor(lambda _, line: lines.append(line), reports.append, first_pause_s=0.1) as children,
        ):
            children.start(breaking)
            wait_for(lambda: waiting(resources.database) == 0, what="every generation to end", timeout_s=300)
        with resources.database.transaction() as connection:
            states = "SELECT state, count(*) FROM generations GROUP BY state"
            counts = {row.state: row.count for row in connection.execute(text(states))}
            deaths = connection.execute(text("SELECT coalesce(sum(deaths), 0) FROM attempts")).scalar_one()
        assert set(counts) <= {"completed", "rejected"}, counts
        assert sum(counts.values()) == PICTURES
        assert deaths == 0, "what was claimed was handed back"
        assert breaches(resources, bill(str(settings.sandbox_base_url))) == []
    assert lives.read_text().splitlines() == ["a life", "a life"]
    ended = [report for report in reports if report.happening is ChildEvent.ENDED]
    assert [report.status for report in ended] == [os.EX_TEMPFAIL], "in order, and worth another start"
    assert any(line.startswith("ERROR likeness: the scorer is broken") for line in lines), lines[-20:]
