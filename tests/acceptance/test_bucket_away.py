"""A bucket that is away for a minute in the middle of a batch, with real workers and beat: nobody notices but it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from sandbox.process import running
from tests.support.bucket import CDN, BucketServer, bucket_server
from tests.support.system import System, settings_of, system_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PROMPTS = 80
RATE = "60/m"  # so that the batch lasts longer than the minute
HANGS_S, REFUSES_S = 30.0, 30.0
BACK_WITHIN_S = 60.0


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with bucket_server() as started:
        yield started


@pytest.fixture
def system(home: Path, database_url: str, redis_url: str, server: BucketServer, tmp_path: Path) -> Iterator[System]:
    bucket = server.settings()
    with running(tmp_path / "sandbox", latency_s=0.2, size_px=64) as url:
        settings = settings_of(
            home,
            database_url=database_url,
            redis_url=redis_url,
            sandbox=url,
            r2_endpoint_url=bucket.endpoint_url,
            r2_bucket_name=bucket.name,
            r2_access_key_id=SecretStr(bucket.access_key_id),
            r2_secret_access_key=SecretStr(bucket.secret_access_key),
            r2_cdn_url=bucket.cdn_url,
        )
        with system_of(settings, "io", "beat", log=tmp_path / "workers.log") as begun:
            yield begun


def test_a_batch_completes_while_the_bucket_is_away_and_is_there_a_minute_after(
    system: System, server: BucketServer
) -> None:
    system.limit("replicate", rate=RATE, concurrency=20)
    batch = system.enqueue("storm", [f"a pig on hill {number}" for number in range(PROMPTS)], provider="replicate")

    def completed() -> int:
        return system.progress(batch).accepted

    system.until(lambda: len(server.stored_keys()) >= 3, what="the first pictures in the bucket", timeout_s=90)
    server.hang()
    away(system, completed, seconds=HANGS_S)
    server.stop()
    away(system, completed, seconds=REFUSES_S)
    assert completed() < PROMPTS, "the minute lay in the middle of the batch"
    assert waiting(system), "what was made meanwhile is kept here"
    server.start()
    back = time.monotonic()
    system.until_final(batch, timeout_s=120)
    assert completed() == PROMPTS
    left = BACK_WITHIN_S - (time.monotonic() - back)
    system.until(lambda: not waiting(system), what="the last picture in the bucket", timeout_s=max(left, 5.0))
    stored = server.stored_keys()
    for row in assets(system):
        assert row.r2_key in stored
        assert row.cdn_url == f"{CDN}/{row.r2_key}"


def away(system: System, completed: Callable[[], int], *, seconds: float) -> None:
    """Let so much time pass, and longer if need be, for the batch to go on meanwhile."""
    began, before = time.monotonic(), completed()

    def over() -> bool:
        return time.monotonic() - began >= seconds and completed() > before

    system.until(over, what="pictures that are completed without the bucket", timeout_s=seconds + 120)


def assets(system: System) -> list[Any]:
    with system.resources.database.transaction() as connection:
        return list(connection.execute(text("SELECT r2_key, cdn_url, uploaded_at FROM generation_assets")).all())


def waiting(system: System) -> list[Any]:
    return [row for row in assets(system) if row.uploaded_at is None]
