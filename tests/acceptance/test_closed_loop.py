"""A batch that is weak on purpose, without the closed loop and with it: what further tries save, and what they cost."""

import csv
import re
import tomllib
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.process import running
from tests.support import commands

EXAMPLE = commands.ROOT / "examples" / "lulu-pig"
SMALL_MODEL = str(commands.ROOT / "sandbox" / "clip")
FITTED = tomllib.loads((EXAMPLE / "character.toml").read_text(encoding="utf-8"))
PRICE = Decimal("0.02")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_further_tries_raise_a_weak_batch_from_under_half_to_over_nine_tenths(home: Path, tmp_path: Path) -> None:
    with running(tmp_path / "sandbox", latency_s=0.05, size_px=128) as url:
        surroundings = {"SANDBOX_BASE_URL": url, "CLIP_MODEL": SMALL_MODEL}

        def likeness(*arguments: str) -> commands.Ended:
            return commands.run(*arguments, home=home, cwd=tmp_path, timeout_s=400, **surroundings)

        references = [str(EXAMPLE / name) for name in FITTED["references"]]
        fitted = [f"--core={FITTED['thresholds']['core']}", f"--style={FITTED['thresholds']['style']}"]
        assert likeness("character", "add", "lulu-pig", *references, *fitted).code == 0
        weak = ["run", str(EXAMPLE / "prompts.csv"), "--approved-only", "--provider=sandbox", "--mode=turbo"]
        weak += ["--character=lulu-pig", "--cref-weight=25", "--json", "--max-cost=20"]

        plain = likeness(*weak, "--name=plain", "--report=plain.html").document
        loop = likeness(*weak, "--name=loop", "--report=loop.html", "--max-tries=6", "--escalate=weight,action")
        tried = loop.document
        assert plain["accepted"] < plain["total"] / 2, plain
        assert tried["accepted"] > 0.9 * tried["total"], (tried, loop.err)

        jobs = commands.bill(url)["jobs"]
        spent = Decimal(plain["charged_usd"]) + Decimal(tried["charged_usd"])
        assert spent == sum(Decimal(job["charged_usd"]) for job in jobs) == PRICE * len(jobs)
        assert Decimal(plain["charged_usd"]) == PRICE * plain["total"], "without being asked, no further try"

        page = (tmp_path / "loop.html").read_text(encoding="utf-8")
        said = re.search(r"first tries gave (\d+) accepted pictures?, further ones (\d+) more for ([\d.]+) USD", page)
        assert said is not None, "the report tells how and at what cost"
        assert int(said[1]) + int(said[2]) == tried["accepted"]
        assert Decimal(said[3]) == Decimal(tried["charged_usd"]) - PRICE * tried["total"]
        assert re.search(r"2nd try: cw 25 → 50: -?\d\.\d\d → -?\d\.\d\d, \+0\.02 USD", page)
        assert "Further tries" not in (tmp_path / "plain.html").read_text(encoding="utf-8")

        assert likeness("export", "loop", "pictures").code == 0
        with (tmp_path / "pictures" / "loop_tries.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert sum(Decimal(row["cost"]) for row in rows) == Decimal(tried["charged_usd"])
        assert sum(row["accepted"] == "yes" for row in rows) == tried["accepted"]
