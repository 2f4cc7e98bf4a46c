"""A batch at a service whose jobs are looked at after minutes, finished in seconds because the service calls back."""

import socket
from decimal import Decimal
from pathlib import Path

import pytest

from providers.ttapi.modes import FIRST_LOOK
from sandbox.process import running
from tests.support.commands import SMALL_MODEL, bill, processes_of, run, wait_for, write_prompts

PROMPTS = [f"a pink pig on hill number {number}" for number in range(6)]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_webhooks_finish_a_batch_long_before_its_first_poll(tmp_path: Path, home: Path) -> None:
    prompts = write_prompts(tmp_path / "pigs.csv", PROMPTS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(tmp_path / "sandbox", latency_s=0.3, size_px=64) as url:
        environment = {
            "TTAPI_API_KEY": "sk-any-key-will-do",
            "TTAPI_BASE_URL": f"{url}/ttapi",
            "LIKENESS_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "LIKENESS_API_PORT": str(port),
            "CLIP_MODEL": SMALL_MODEL,
        }
        first_look_s = FIRST_LOOK["relax"].total_seconds()
        # Were it for the polls, the batch could not be over by then.
        ended = run(
            "run",
            str(prompts),
            "--provider=ttapi",
            "--mode=relax",
            "--max-cost=5",
            "--json",
            home=home,
            cwd=tmp_path,
            timeout_s=first_look_s - 5,
            **environment,
        )
        assert ended.code == 0, ended.err
        assert ended.document["accepted"] == len(PROMPTS)
        assert Decimal(ended.document["charged_usd"]) == Decimal(bill(url)["total_usd"])
        assert len(bill(url)["jobs"]) == len(PROMPTS)
    said = (home / "logs" / "api.log").read_text()
    assert said.count("its job is looked at now") == len(PROMPTS)
    wait_for(lambda: not processes_of(home), what="the end of every process")
