"""Replies that are lost, a Redis that forgets everything: nothing is paid twice, and everything goes on."""

import json
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from pipeline import status
from pipeline.enqueue import Order, enqueue, plan
from pipeline.prompt_file import read_prompts
from pipeline.resources import Resources
from providers.catalogue import load
from runtime.resources import open_resources
from runtime.settings import Settings
from tests.acceptance.commands import bill, wait_for, write_prompts
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches

_IO = ("io", "beat")


def _arm(settings: Settings, *faults: dict[str, Any]) -> None:
    body = json.dumps({"faults": faults, "seed": 1}).encode()
    url = f"{settings.sandbox_base_url}/_sandbox/faults"
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"}, method="POST")
    urllib.request.urlopen(request, timeout=10).close()


def _enqueue(resources: Resources, path: Path, prompts: list[str], **settings: Any) -> Any:
    order = Order(name=path.stem, user_id="local", provider="sandbox", settings={"mode": "fast", **settings})
    rows = read_prompts(write_prompts(path, prompts))
    return enqueue(resources, order, plan(resources, load(), order, rows, today=datetime.now(UTC).date()))


def _wait_until_done(resources: Resources, batch_id: Any) -> None:
    wait_for(
        lambda: status.of_batch(resources, batch_id).standing.unfinished == 0,
        what="every generation to be final",
        timeout_s=300,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_equal_prompts_whose_replies_are_lost_have_four_jobs_one_each(settings: Settings, tmp_path: Path) -> None:
    with open_resources(settings, application="likeness crash test") as (resources, _):
        _arm(settings, {"where": "submit", "what": "drop_after", "rate": 1.0, "count": 4})
        written = _enqueue(resources, tmp_path / "equal.csv", ["a pig on a hill"] * 4, seed=7)
        with crew_of(settings, roles=_IO):
            _wait_until_done(resources, written.batch_id)
        billed = bill(str(settings.sandbox_base_url))
        assert status.of_batch(resources, written.batch_id).accepted == 4
        assert len(billed["jobs"]) == 4
        assert breaches(resources, billed) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_connections_dropped_before_and_after_acceptance_cost_no_job_twice(settings: Settings, tmp_path: Path) -> None:
    with open_resources(settings, application="likeness crash test") as (resources, _):
        _arm(
            settings,
            {"where": "submit", "what": "drop_before", "rate": 0.25},
            {"where": "submit", "what": "drop_after", "rate": 0.25},
        )
        written = _enqueue(resources, tmp_path / "dropped.csv", [f"a pig on hill {i}" for i in range(100)])
        with crew_of(settings, roles=_IO):
            _wait_until_done(resources, written.batch_id)
        billed = bill(str(settings.sandbox_base_url))
        assert status.of_batch(resources, written.batch_id).accepted == 100
        assert len(billed["jobs"]) == 100
        assert breaches(resources, billed) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_is_published_again_after_redis_forgot_it(settings: Settings, tmp_path: Path) -> None:
    assert settings.redis_url is not None
    with (
        open_resources(settings, application="likeness crash test") as (resources, _),
        redis.Redis.from_url(settings.redis_url.get_secret_value()) as client,
    ):
        written = _enqueue(resources, tmp_path / "flushed.csv", [f"a pig on hill {i}" for i in range(60)])
        with crew_of(settings, roles=_IO):
            for enough in (10, 30):
                wait_for(
                    lambda enough=enough: status.of_batch(resources, written.batch_id).accepted >= enough,
                    what=f"{enough} generations",
                    timeout_s=120,
                )
                client.flushdb()
            _wait_until_done(resources, written.batch_id)
        billed = bill(str(settings.sandbox_base_url))
        assert len(billed["jobs"]) == 60
        assert breaches(resources, billed) == []
