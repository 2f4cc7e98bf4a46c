"""A budget is a hard limit, whatever runs at the same time."""

from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.process import running
from tests.support import commands

PRICE = Decimal("0.10")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_batch_of_2000_stops_at_its_budget_and_keeps_the_rest_queued(home: Path, tmp_path: Path) -> None:
    prompts = commands.write_prompts(tmp_path / "many.csv", [f"a pig on hill {i}" for i in range(2000)])
    # Ten calls at once hold 4 USD of the 5, so the budget is reached after a few dozen jobs as it is after hundreds.
    with running(tmp_path / "sandbox", latency_s=0.05, size_px=64, price=PRICE) as url:
        ended = commands.run(
            "run",
            str(prompts),
            "--provider=sandbox",
            "--max-cost=5",
            "--json",
            home=home,
            cwd=tmp_path,
            timeout_s=500,
            SANDBOX_BASE_URL=url,
            SANDBOX_RATE_LIMIT="100/s",
            CLIP_MODEL=commands.SMALL_MODEL,
        )
        billed = Decimal(commands.bill(url)["total_usd"])
    said = ended.document
    assert ended.code == 1, ended.err
    assert said["stopped"] == "budget"
    assert Decimal(said["charged_usd"]) == billed <= 5
    assert Decimal(said["charged_usd"]) > Decimal("4.5"), "money that was held and not spent went to further images"
    counts = said["counts"]
    assert counts["queued"] + counts["completed"] == 2000
    assert counts["completed"] == int(billed / PRICE), "each at its price"
