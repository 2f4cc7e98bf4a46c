"""Lanes under load, with real I/O workers: the service's own log says how fast, how many at once, and who waited.

The stand-in's jobs fail at once where only submissions are looked at: then the processor of the machine is left to
what is measured. Only one of these tests may run at a time, since each needs the machine for itself.
"""

import bisect
import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from domain.ids import BatchId
from sandbox.process import running
from tests.support.system import System, settings_of, system_of

ANIMALS = ("pig", "hen", "cow", "owl", "ram", "fox", "cat", "dog")

pytestmark = [pytest.mark.slow, pytest.mark.quiet, pytest.mark.timeout(300)]


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path / "sandbox", latency_s=0.2, size_px=64, concurrency=1000, illegal_limit=100_000) as url:
        yield url


@pytest.fixture
def system(home: Path, database_url: str, redis_url: str, sandbox: str, tmp_path: Path) -> Iterator[System]:
    settings = settings_of(
        home, database_url=database_url, redis_url=redis_url, sandbox=sandbox, ttapi_illegal_limit=100_000
    )
    with system_of(settings, "io", "io", "beat", log=tmp_path / "workers.log") as begun:
        yield begun


def said(sandbox: str, what: str) -> list[dict[str, Any]]:
    reply = httpx2.get(f"{sandbox}/_sandbox/{what}", trust_env=False, timeout=60).json()
    found: list[dict[str, Any]] = reply["submits" if what == "log" else "jobs"]
    return found


def arm(sandbox: str, **fault: Any) -> None:
    httpx2.post(f"{sandbox}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()


def fullest(moments: Sequence[float], *, window_s: float) -> int:
    """The most moments in any closed window of that length."""
    return max(bisect.bisect_right(moments, first + window_s) - at for at, first in enumerate(moments))


def test_two_workers_never_exceed_600_a_minute_and_miss_few_of_them(sandbox: str, system: System) -> None:
    system.limit("replicate", rate="600/m", concurrency=400)
    # Last words that cost nothing, so that no picture is drawn, fetched or decoded meanwhile; several, because equal
    # ones in a row close the lane.
    for animal in ANIMALS:
        what = f"failed_body:The input was flagged for its {animal} (E005)"
        arm(sandbox, where="submit", provider="replicate", what=what, match=animal)
    prompts = [f"a {ANIMALS[number % len(ANIMALS)]} on hill {number}" for number in range(690)]
    batch = system.enqueue("fast", prompts, provider="replicate")
    system.until_final(batch, timeout_s=200)
    log = said(sandbox, "log")
    assert {entry["outcome"] for entry in log} == {"accepted"}, "the stand-in's own limit of 600 refused none"
    moments = sorted(entry["at_s"] for entry in log)
    assert len(moments) == 690
    assert 570 <= fullest(moments, window_s=60) <= 600
    assert len(system.submitted_by("replicate")) == 2, "both workers took part"


def test_a_lane_with_ten_places_never_has_eleven_jobs(sandbox: str, system: System) -> None:
    system.limit("replicate", rate="100/s", concurrency=10)
    batch = system.enqueue("narrow", [f"a pig on hill {number}" for number in range(100)], provider="replicate")
    system.until_final(batch, timeout_s=200)
    jobs = said(sandbox, "bill")
    assert len(jobs) == 100
    spans = [(moment(job["accepted_at"]), moment(job["finished_at"])) for job in jobs]
    at_once = [sum(begin <= at < end for begin, end in spans) for at, _ in spans]
    assert max(at_once) <= 10
    assert statistics.mean(at_once) > 3, "the places were used"


def test_a_slow_lane_with_a_hundred_waiting_delays_no_other(sandbox: str, system: System) -> None:
    alone = delays(sandbox, system, others(system, "alone"))
    system.limit("sandbox", rate="6/m", concurrency=100)
    # All at once, as ten seconds of its rate would not: a hundred messages that the workers hold.
    slow = system.enqueue(
        "slow", [f"a snail on hill {number}" for number in range(100)], provider="sandbox", ahead=timedelta(hours=1)
    )
    assert len(system.attempts(slow)) == 100
    beside = delays(sandbox, system, others(system, "beside"))
    waiting = [row for row in system.attempts(slow) if row.intent_s is None]
    assert len(waiting) >= 85, "the slow lane kept to its limit meanwhile"
    for what, usual in alone.items():
        assert beside[what] <= 3 * usual + 2, (what, alone, beside)


def others(system: System, name: str) -> list[BatchId]:
    """Batches on two other lanes, carried to their end."""
    system.limit("ttapi", rate="20/s", concurrency=10)
    system.limit("replicate", rate="20/s", concurrency=20)
    batches = [
        system.enqueue(f"{name} {provider}", [f"{name}, pig {number}" for number in range(40)], provider=provider)
        for provider in ("ttapi", "replicate")
    ]
    system.until_final(*batches, timeout_s=120)
    return batches


def delays(sandbox: str, system: System, batches: Sequence[BatchId]) -> dict[str, float]:
    """Nine tenths waited less than so many seconds: from admission to submission, and from a job's end to its poll."""
    ended = {job["job_id"]: moment(job["finished_at"]) for job in said(sandbox, "bill") if job["finished_at"]}
    rows = [row for batch in batches for row in system.attempts(batch)]
    return {
        "submission": ninth_tenth([float(row.intent_s - row.created_s) for row in rows]),
        "poll": ninth_tenth([float(row.made_s) - ended[row.job_id] for row in rows]),
    }


def ninth_tenth(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=10)[-1]


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
