"""A batch that is weak on purpose, without the closed loop and with it: what further tries save, and what they cost."""

import csv
import re
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest

from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from sandbox.process import running
from tests.support import commands
from tests.support.system import settings_of, system_of

EXAMPLE = commands.ROOT / "examples" / "lulu-pig"
FITTED = tomllib.loads((EXAMPLE / "character.toml").read_text(encoding="utf-8"))
PRICE = Decimal("0.02")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_further_tries_raise_a_weak_batch_from_under_half_to_over_nine_tenths(
    home: Path, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    servers = {"database_url": database_url, "redis_url": redis_url}
    with running(tmp_path / "sandbox", latency_s=0.05, size_px=128) as url, ExitStack() as stack:
        surroundings = {"SANDBOX_BASE_URL": url, "CLIP_MODEL": commands.SMALL_MODEL}
        surroundings |= {name.upper(): address for name, address in servers.items()}
        # Every command finds these workers, and none brings its own.
        settings = settings_of(home, sandbox=url, **servers)
        system = stack.enter_context(system_of(settings, "io", "gpu", "beat", log=tmp_path / "workers.log"))
        definitions.add(system.resources, _lulu_pig())

        def likeness(*arguments: str) -> commands.Ended:
            return commands.run(*arguments, home=home, cwd=tmp_path, timeout_s=400, **surroundings)

        weak = ["run", str(EXAMPLE / "prompts.csv"), "--approved-only", "--provider=sandbox", "--mode=turbo"]
        weak += ["--character=lulu-pig", "--cref-weight=25", "--json", "--max-cost=20"]

        tries = ("--max-tries=6", "--escalate=weight,action")
        calls = (*weak, "--name=plain", "--report=plain.html"), (*weak, "--name=loop", "--report=loop.html", *tries)
        with ThreadPoolExecutor() as both:
            once, loop = both.map(lambda call: likeness(*call), calls)
        plain, tried = once.document, loop.document
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


def _lulu_pig() -> NewCharacter:
    return NewCharacter(
        name="lulu-pig",
        description="",
        references=[EXAMPLE / name for name in FITTED["references"]],
        core=FITTED["thresholds"]["core"],
        style=FITTED["thresholds"]["style"],
        origin="chosen for this test",
    )
