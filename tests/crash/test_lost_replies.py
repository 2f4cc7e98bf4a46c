"""Replies that are lost: at every service nothing is paid twice, and everything goes on."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.views import status
from runtime.resources import open_producer
from runtime.settings import Settings
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches, waiting
from tests.crash.wires import OPENAI, REPLICATE, TTAPI, Wire, arm, ordered
from tests.support.commands import bill, wait_for

_IO = ("io", "beat")
_PROMPTS = 200


@pytest.fixture
def stand_in() -> dict[str, int]:
    return {"concurrency": _PROMPTS}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_equal_prompts_whose_replies_are_lost_have_four_jobs_one_each(settings: Settings, tmp_path: Path) -> None:
    url = str(settings.sandbox_base_url)
    with open_producer(settings, application="likeness crash test") as resources:
        arm(url, {"where": "submit", "what": "drop_after", "rate": 1.0, "count": 4})
        written = ordered(resources, TTAPI, tmp_path / "equal.csv", ["a pig on a hill"] * 4, seed=7)
        with crew_of(settings, roles=_IO):
            wait_for(lambda: waiting(resources.database) == 0, what="every generation to be final", timeout_s=300)
        billed = bill(url)
        assert status.of_batch(resources, written.batch_id).accepted == 4
        assert len(billed["jobs"]) == 4
        assert breaches(resources, billed) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("wire", [TTAPI, REPLICATE, OPENAI], ids=lambda wire: wire.provider)
def test_connections_dropped_before_and_after_acceptance_cost_no_job_twice(
    settings: Settings, tmp_path: Path, wire: Wire
) -> None:
    """Half of the submissions lose their connection, half of those after the service has taken the job."""
    # A doubt keeps its place until it is settled, which takes seconds where a list can tell, and else a person: there
    # are places for all, so that doubts wait beside each other.
    places = dict.fromkeys(("sandbox_concurrency", "replicate_concurrency", "openai_concurrency"), _PROMPTS)
    settings = settings.model_copy(update={**places, "ttapi_illegal_limit": 2 * _PROMPTS, "listings_apart_s": 2.0})
    url = str(settings.sandbox_base_url)
    with open_producer(settings, application="likeness crash test") as resources:
        arm(
            url,
            {"where": "submit", "what": "drop_before", "rate": 0.25},
            {"where": "submit", "what": "drop_after", "rate": 0.25},
        )
        written = ordered(resources, wire, tmp_path / "dropped.csv", [f"a pig on hill {i}" for i in range(_PROMPTS)])
        with crew_of(settings, roles=_IO if wire.listed else ("io", "io-sync", "beat")):
            wait_for(lambda: waiting(resources.database) == 0, what="every generation to end", timeout_s=600)
        billed = bill(url)
        counts = status.of_batch(resources, written.batch_id).progress.counts
        assert breaches(resources, billed) == []
        if wire.listed:
            assert counts["completed"] == len(billed["jobs"]) == _PROMPTS
        else:
            assert counts["completed"] + counts["in_doubt"] == _PROMPTS
            assert counts["in_doubt"] > 0, "half of the connections were dropped"
            assert max(Counter(job["prompt"] for job in billed["jobs"]).values()) == 1, "no prompt is billed twice"
