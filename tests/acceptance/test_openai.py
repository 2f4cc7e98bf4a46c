"""A batch at a service whose replies are the pictures, from the command line to the bill."""

import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.process import running
from tests.support.commands import SMALL_MODEL, bill, kill_all, processes_of, run, start, wait_for, write_prompts

PROMPTS = [f"a pink pig on hill number {number}" for number in range(6)]
MODEL = ("--provider=openai", "--model=gpt-image-2.5-flare", "--max-cost=5", "--json")


def _environment(url: str, *, rate: str = "20/s", concurrency: int = 3, total_s: int = 30) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-any-key-will-do",
        "OPENAI_BASE_URL": f"{url}/openai/v1",
        "OPENAI_RATE_LIMIT": rate,
        "OPENAI_CONCURRENCY": str(concurrency),
        "OPENAI_TOTAL_S": str(total_s),
        "CLIP_MODEL": SMALL_MODEL,
        "LIKENESS_LEASE_S": "3",
        "LIKENESS_UNCLAIMED_S": "3",
    }


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_long_calls_have_a_worker_of_their_own_and_the_books_equal_the_bill(tmp_path: Path, home: Path) -> None:
    prompts = write_prompts(tmp_path / "pigs.csv", PROMPTS)
    with running(tmp_path / "sandbox", latency_s=1.0, size_px=64) as url:
        ended = run("run", str(prompts), *MODEL, home=home, cwd=tmp_path, timeout_s=300, **_environment(url))
        assert ended.code == 0, ended.err
        found = ended.document
        assert found["counts"]["completed"] == found["accepted"] == len(PROMPTS)
        assert len(bill(url)["jobs"]) == len(PROMPTS)
        assert Decimal(found["charged_usd"]) == Decimal(bill(url)["total_usd"])
        assert (home / "logs" / "io-sync.log").exists()
        assert _most_at_once(tmp_path / "sandbox") <= 3
    wait_for(lambda: not processes_of(home), what="the end of every process")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_pays_for_no_prompt_twice(tmp_path: Path, home: Path) -> None:
    prompts = write_prompts(tmp_path / "pigs.csv", PROMPTS)
    with running(tmp_path / "sandbox", latency_s=3.0, size_px=64) as url:
        # A doubt keeps its place; so slow that there are places left for the rest.
        # What was under way at the kill is in doubt when no call could last any longer.
        environment = _environment(url, rate="30/m", concurrency=len(PROMPTS), total_s=15)
        first = start("run", str(prompts), *MODEL, home=home, cwd=tmp_path, **environment)
        wait_for(lambda: len(bill(url)["jobs"]) >= 2, what="calls at the service", timeout_s=120)
        kill_all(home)
        first.wait()
        ended = run("run", str(prompts), *MODEL, home=home, cwd=tmp_path, timeout_s=600, **environment)
        found = ended.document
        lines = [job["prompt"] for job in bill(url)["jobs"]]
        assert len(lines) == len(set(lines)) == len(PROMPTS)
        counts = {state: number for state, number in found["counts"].items() if number}
        assert set(counts) <= {"completed", "in_doubt"}
        billed, charged = Decimal(bill(url)["total_usd"]), Decimal(found["charged_usd"])
        assert charged <= billed <= charged + Decimal(found["in_doubt_usd"])
    kill_all(home)


def _most_at_once(data: Path) -> int:
    """The most calls that were at work at the same time, by the sandbox's own times."""
    with sqlite3.connect(f"file:{data / 'jobs.sqlite'}?mode=ro", uri=True) as connection:
        spans = connection.execute("SELECT accepted_at_s, finished_at_s FROM jobs").fetchall()
    connection.close()
    return max(sum(begin <= at < end for begin, end in spans) for at, _ in spans)
