"""Flower beside real workers, by a browser and its API, over a Redis reached by TLS as a user of few rights."""

import base64
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from cli.operations.doctor_broker import broker
from cli.operations.doctor_checks import Health
from pipeline.operator import lanes
from runtime.embedded.ports import choose
from sandbox.process import running
from tasks import names
from tests.support.browser import Browser, browser
from tests.support.commands import wait_for
from tests.support.secured_redis import SecuredRedis, documented_rules, secured_redis
from tests.support.system import System, settings_of, system_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

USER = ("somebody", "secret")
LANE = "ttapi"
PROMPTS = ("a pig asleep", "a pig in the rain", "a pig on a hill", "a pig at sea")
#: Where the picture of the docs goes; unset, it stays in the test's folder.
PICTURES = "DOCS_PICTURES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A system with Flower looking on."""

    system: System
    redis: SecuredRedis
    port: int

    def ask(self, path: str, **parameters: str) -> Any:
        reply = httpx2.get(self._url(path), params=parameters, auth=USER, trust_env=False, timeout=30)
        return reply.raise_for_status().json()

    def tell(self, path: str, **form: str) -> Any:
        reply = httpx2.post(self._url(path), data=form, auth=USER, trust_env=False, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def without_password(self, path: str) -> int:
        return httpx2.get(self._url(path), trust_env=False, timeout=30).status_code

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def watched(home: Path, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    port = choose(avoid=frozenset())
    monkeypatch.setenv("FLOWER_PORT", str(port))
    monkeypatch.setenv("FLOWER_BASIC_AUTH", ":".join(USER))
    # Both workers answer within its second, unless the machine is busy.
    monkeypatch.setenv("FLOWER_INSPECT_TIMEOUT", "10000")
    folder = tmp_path / "redis"
    folder.mkdir()
    with (
        secured_redis(folder, documented_rules()) as redis,
        running(tmp_path / "sandbox", latency_s=0.2, size_px=64) as sandbox,
    ):
        settings = settings_of(home, database_url=database_url, redis_url=redis.url(), sandbox=sandbox)
        with system_of(settings, "io", "io", "beat", "flower", log=tmp_path / "workers.log") as system:
            watched = Watched(system=system, redis=redis, port=port)
            wait_for(lambda: _sees_both(watched), what="Flower to see both workers", timeout_s=120)
            yield watched


def _sees_both(watched: Watched) -> bool:
    try:
        workers = watched.ask("/api/workers", refresh="true")
    except httpx2.HTTPError:
        return False
    return len([name for name, seen in workers.items() if seen.get("active_queues")]) == 2


def test_flower_shows_a_prompts_life_and_changes_a_rate_for_all_workers(watched: Watched, tmp_path: Path) -> None:
    system = watched.system
    batch = system.enqueue("watched", PROMPTS, provider=LANE)
    system.until_final(batch, timeout_s=120)
    assert {watched.without_password(path) for path in ("/tasks", "/broker", "/api/tasks", "/api/workers")} == {401}

    # A prompt's life, and no tick among it.
    life = [names.submit(LANE), names.COLLECT]
    for generation in _generations(system):
        query = f"kwargs:generation_id={generation}"
        wait_for(lambda query=query: _succeeded(watched, query) == sorted(life), what=query, timeout_s=60)
    assert set(watched.ask("/api/task/types")["task-types"]) == set(life)

    # A rate: said to one worker, kept in the lane's row, obeyed by both.
    worker = next(iter(system.submitted_by(LANE)))
    told = watched.tell(f"/api/task/rate-limit/{names.submit(LANE)}", workername=worker, ratelimit="1/s")
    assert told == {"message": "new rate limit set successfully"}
    assert lanes.rate_limit(system.resources, LANE) == "1/s"
    slow = system.enqueue("slower", [f"{prompt} again" for prompt in PROMPTS], provider=LANE)
    system.until_final(slow, timeout_s=120)
    attempts = system.attempts(slow)
    # The first token comes after the row, and each of the others a second later.
    assert max(one.intent_s for one in attempts) - min(one.created_s for one in attempts) > len(attempts) - 1.1

    with browser(tmp_path / "profile") as page:
        _look(page, watched, f"kwargs:generation_id={_generations(system)[0]}", life)
    _restart(watched)

    # The one address, as the operator's own check and the server see it.
    assert broker(watched.redis.url(), where="here").health is Health.OK
    assert watched.redis.refused() == []


def _restart(watched: Watched) -> None:
    """What Flower has seen is there again after a restart."""
    seen = watched.ask("/api/tasks").keys()
    (before,) = _pids(watched.port)
    os.kill(before, signal.SIGTERM)
    wait_for(lambda: _pids(watched.port) not in ([], [before]), what="another Flower", timeout_s=60)
    wait_for(lambda: _sees_both(watched), what="Flower to see both workers again", timeout_s=120)
    assert watched.ask("/api/tasks").keys() >= seen


def _pids(port: int) -> list[int]:
    """The processes of that Flower."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            given = (process / "environ").read_bytes().split(b"\0")
            if b"worker.flower" in (process / "cmdline").read_bytes() and b"FLOWER_PORT=%d" % port in given:
                found.append(int(process.name))
    return found


def _look(page: Browser, watched: Watched, query: str, life: list[str]) -> None:
    """With a person's eyes: Flower's search, and its view of the broker."""
    page.size(1280, 620)
    page.goto(f"http://{':'.join(USER)}@127.0.0.1:{watched.port}/broker")
    shown = page.js("document.body.innerText")
    assert names.submit_queue(LANE) in shown
    assert names.QUEUE_COLLECT in shown
    page.goto(f"http://127.0.0.1:{watched.port}/tasks")
    page.until(f"document.body.innerText.includes({names.COLLECT!r})", what="the tasks")
    _photograph(page)
    page.js(
        "const box = document.querySelector('#tasks-table_wrapper input');"
        f"box.value = {query!r}; box.dispatchEvent(new Event('input', {{bubbles: true}}));"
        "box.dispatchEvent(new Event('keyup', {bubbles: true}))"
    )
    rows = "document.querySelectorAll('#tasks-table tbody tr').length"
    page.until(f"{rows} === {len(life)}", what="the one prompt's tasks")
    shown = page.js("document.querySelector('#tasks-table tbody').innerText")
    assert all(name in shown for name in life)
    assert page.errors == []


def _photograph(page: Browser) -> None:
    folder = os.environ.get(PICTURES)
    said = page.send("Page.captureScreenshot", format="webp", quality=70)
    content = base64.b64decode(said["data"])
    assert content[8:12] == b"WEBP"
    if folder:
        (Path(folder) / "flower.webp").write_bytes(content)


def _generations(system: System) -> list[str]:
    with system.resources.database.transaction() as connection:
        return [str(one) for one in connection.scalars(text("SELECT id FROM generations ORDER BY id"))]


def _succeeded(watched: Watched, query: str) -> list[str]:
    found = watched.ask("/api/tasks", search=query)
    return sorted(one["name"] for one in found.values() if one["state"] == "SUCCESS")
