"""Prompts as people write them, by the sandbox's own record: one paid job each, of the text that was meant."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from domain.errors import ProviderError
from providers.catalogue import load
from providers.contract import Accepted, Ask
from providers.registry import open_lane
from sandbox.process import running
from tests.support.prompt_cases import CASES, Case

WIRES = {"ttapi": "sandbox", "replicate": "replicate"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), size_px=64, latency_s=0.02) as url:
        yield url


def sent_to_jobs(wire: str) -> list[Case]:
    """Cases that make a job, whose references anybody could read."""
    return [
        case
        for case in CASES
        if load().get(case.model).provider == wire and case.sent is not None and "https://" not in case.prompt
        if not case.settings.get("cref_urls")
    ]


def bill(sandbox: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = httpx2.get(f"{sandbox}/_sandbox/bill", trust_env=False).json()["jobs"]
    return jobs


@pytest.mark.parametrize("wire", sorted(WIRES))
def test_each_prompt_is_one_paid_job_of_what_was_meant(sandbox: str, wire: str) -> None:
    base_url = sandbox if wire == "ttapi" else f"{sandbox}/replicate"
    with open_lane("lane", WIRES[wire], base_url=base_url, key="key-1", stand_in=sandbox) as lane:
        for number, case in enumerate(sent_to_jobs(wire)):
            before = {job["job_id"] for job in bill(sandbox)}
            ask = Ask(attempt_id=f"a-{number}", token="t", model=case.model, prompt=case.prompt, settings=case.settings)
            assert isinstance(lane.submit(ask), Accepted)
            (job,) = [job for job in bill(sandbox) if job["job_id"] not in before]
            if isinstance(case.sent, str):
                assert job["prompt"] == lane.prompt_text(ask)
                assert job["prompt"].startswith(case.sent.partition(" --")[0])
            else:
                assert job["prompt"] == (case.sent or {}).get("prompt", case.prompt)


def test_what_is_refused_here_would_have_been_several_jobs_there(sandbox: str) -> None:
    """The sandbox reads long dashes and braces as Midjourney does: without us, one hold would pay for several jobs."""
    price = _charged(sandbox, "a pig --v 7")
    for prompt, jobs in (("a pig —repeat 4", 4), ("a {red, blue} pig", 2), ("a {pig {in rain}, asleep}", 2)):
        assert _charged(sandbox, prompt) == jobs * price
        with open_lane("lane", "sandbox", base_url=sandbox, key="key-2") as lane, pytest.raises(ProviderError):
            lane.submit(Ask(attempt_id="a", token="t", model="midjourney", prompt=prompt))


def _charged(sandbox: str, prompt: str) -> int:
    before = {job["job_id"] for job in bill(sandbox)}
    httpx2.post(
        f"{sandbox}/ttapi/midjourney/v1/imagine",
        json={"prompt": prompt, "mode": "fast"},
        headers={"TT-API-KEY": "key-2"},
        trust_env=False,
    ).raise_for_status()
    (job,) = [job for job in bill(sandbox) if job["job_id"] not in before]
    return round(float(job["charged_usd"]) * 10_000)
