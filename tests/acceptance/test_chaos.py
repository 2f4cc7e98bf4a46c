"""One batch over three services and six models while a tenth of all calls goes wrong, as a person starts it."""

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pipeline.operator import batch_control
from sandbox.process import running
from tests.support import commands
from tests.support.system import settings_of, system_of

PROMPTS = commands.ROOT / "examples" / "chaos" / "prompts.csv"
FINAL = {"completed", "rejected", "failed"}


def test_the_prompts_are_spread_over_three_services_and_six_models() -> None:
    with PROMPTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["provider"] for row in rows} == {"ttapi", "replicate", "openai"}
    assert len({row["model"] for row in rows}) == 6
    prompts = [row["prompt"] for row in rows]
    assert not [one for one in prompts for other in prompts if one is not other and one in other], "told apart by text"


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_in_a_storm_every_prompt_comes_to_an_end_and_the_books_equal_the_bill(home: Path, tmp_path: Path) -> None:
    ended = commands.run(
        "demo", "--chaos", "--json", "--size=64", "--latency=0.2", "--seed=7", home=home, cwd=tmp_path, timeout_s=450
    )
    said = ended.document
    assert (ended.code, said["promises"], said["breaches"]) == (0, "kept", []), (said, ended.err)
    assert (said["total"], said["rate"], said["seed"]) == (36, 0.1, 7)
    parts = {part["provider"]: part for part in said["providers"]}
    assert {name: part["total"] for name, part in parts.items()} == {"ttapi": 12, "replicate": 12, "openai": 12}
    assert all(part["called_back"] for name, part in parts.items() if name != "openai"), "webhooks were at work"
    for name, part in parts.items():
        assert part["faults_met"] > 0, "it rained everywhere"
        assert set(part["counts"]) <= FINAL | ({"in_doubt"} if name == "openai" else set())
        charged, billed, doubtful = (Decimal(part[key]) for key in ("charged_usd", "bill_usd", "in_doubt_usd"))
        assert charged <= billed <= charged + doubtful
        if name != "openai":
            assert (charged, doubtful) == (billed, 0)
    assert all(failure["explained"] for failure in said["failures"]), said["failures"]
    assert len(said["failures"]) == said["counts"]["failed"]
    assert said["counts"]["completed"] >= 12, "most prompts got through"
    assert {"submit", "fetch", "picture"} <= set(said["faults_met_by_call"])
    commands.wait_for(lambda: not commands.processes_of(home), what="every process to be gone", timeout_s=60)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_batch_that_is_canceled_in_a_storm_comes_to_an_end_and_its_books_equal_the_bill(
    home: Path, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    with running(tmp_path / "sandbox", latency_s=3, size_px=64) as url:
        settings = settings_of(home, database_url=database_url, redis_url=redis_url, sandbox=url, listings_apart_s=2.0)
        with system_of(settings, "io", "beat", log=tmp_path / "workers.log") as system:
            storm = {"profile": "chaos", "rate": 0.1, "seed": 7}
            lost = [{"where": "cancel", "what": what, "rate": 0.5} for what in ("drop_before", "drop_after")]
            for wanted in ({"faults": lost}, storm):
                httpx2.post(f"{url}/_sandbox/faults", json=wanted, trust_env=False).raise_for_status()
            batch = system.enqueue("called off", [f"a pig on hill {n}" for n in range(12)], provider="replicate")
            system.until(lambda: _jobs_of(url) >= 4, what="jobs at work", timeout_s=60)
            batch_control.cancel(system.resources, batch)
            system.until_final(batch, timeout_s=200)
            books, happened = system.progress(batch).as_json(), _said(url, "happened")["happened"]
            billed = sum(Decimal(job["charged_usd"]) for job in _said(url, "bill")["jobs"])
    assert any(one["where"] == "cancel" for one in happened), "a cancel met a fault"
    assert books["counts"]["canceled"] >= 1
    assert (books["held_usd"], books["in_doubt_usd"]) == ("0.00", "0.00")
    assert Decimal(books["charged_usd"]) == billed


def _said(url: str, what: str) -> dict[str, Any]:
    said: dict[str, Any] = httpx2.get(f"{url}/_sandbox/{what}", trust_env=False, timeout=60).json()
    return said


def _jobs_of(url: str) -> int:
    return len(_said(url, "bill")["jobs"])
