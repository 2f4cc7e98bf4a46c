"""One batch over three services and six models while a tenth of all calls goes wrong, as a person starts it."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from tests.acceptance import commands

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
    assert ended.code in {0, 1}, ended.err
    said = ended.document
    assert (said["promises"], said["breaches"]) == ("kept", []), (said, ended.err)
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
    commands.wait_for(lambda: not commands.processes_of(home), what="every process to be gone", timeout_s=60)
