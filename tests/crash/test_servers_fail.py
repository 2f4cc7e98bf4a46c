"""PostgreSQL restarts, Redis forgets or evicts everything, both stand still, under load: nothing fails or is lost."""

import os
import random
import signal
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from pydantic import SecretStr
from sqlalchemy import text

from domain.errors import ServiceMissing
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.resources import Resources
from runtime.embedded.stack import Servers, revive, shared
from runtime.resources import open_producer
from runtime.settings import Settings
from sandbox.process import running
from tasks import names
from tests.crash.chaos import Enemy, family
from tests.crash.conftest import crew_of
from tests.crash.invariants import breaches, waiting
from tests.crash.record import Record
from tests.crash.wires import OPENAI, REPLICATE, TTAPI, WIRES, ordered, settings_for
from tests.support.commands import ROOT, bill, wait_for

#: The promise of `docs/reliability.md`.
_AGAIN_WITHIN = timedelta(seconds=30)


def _rows(resources: Resources, statement: str, **values: Any) -> list[Any]:
    with resources.database.transaction() as connection:
        return list(connection.execute(text(statement), values))


def _have_ended(resources: Resources, enough: int) -> bool:
    try:
        number: int = _rows(resources, "SELECT count(*) FROM generations WHERE completed_at IS NOT NULL")[0].count
    except ServiceMissing:  # a pooled connection learns of a restart when it is used, and the next one is new
        return False
    return number >= enough


@pytest.fixture
def own_servers() -> Iterator[Servers]:
    """Servers that no other test uses, so that they may be killed."""
    with tempfile.TemporaryDirectory(prefix="likeness-crash-") as name:
        # Embedded PostgreSQL runs as an unprivileged user where the test runs as root, and must reach its folder.
        Path(name).chmod(0o711)
        with shared(Path(name) / "home", durable=True) as servers:
            yield servers


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_error_of_a_restarted_postgres_reaches_a_final_state(own_servers: Servers, tmp_path: Path) -> None:
    servers = own_servers
    with running(tmp_path / "sandbox", latency_s=0.3, size_px=64) as url:
        settings = settings_for(
            url,
            home=servers.home,
            database_url=SecretStr(servers.libpq_url),
            redis_url=SecretStr(servers.redis_url),
        )
        with open_producer(settings, application="likeness crash test") as resources:
            for wire, number in ((TTAPI, 40), (REPLICATE, 25), (OPENAI, 15)):
                hills = [f"a pig on {wire.provider} hill {i}" for i in range(number)]
                ordered(resources, wire, tmp_path / f"{wire.provider}.csv", hills)
            with crew_of(settings, roles=("io", "io-sync", "beat")):
                # Told to restart at once, and killed.
                for enough, how in ((5, signal.SIGINT), (20, signal.SIGKILL), (40, signal.SIGINT)):
                    wait_for(partial(_have_ended, resources, enough), what=f"{enough} ends", timeout_s=120)
                    os.kill(servers.postgres_pid, how)
                    servers = _restarted(servers)
                wait_for(lambda: _quiet(resources), what="every generation to end", timeout_s=300)
            counts = dict(_rows(resources, "SELECT state, count(*) FROM generations GROUP BY state"))
            assert counts == {"completed": 80}, "no error of the server has reached a final state"
            assert breaches(resources, bill(url)) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_servers_that_stand_still_for_longer_than_a_lease_cost_nothing(own_servers: Servers, tmp_path: Path) -> None:
    servers = own_servers
    with running(tmp_path / "sandbox", latency_s=0.3, size_px=64) as url:
        settings = settings_for(
            url,
            home=servers.home,
            database_url=SecretStr(servers.libpq_url),
            redis_url=SecretStr(servers.redis_url),
        )
        enemy = Enemy(Record(seed=1, minutes=0), random.Random(1), points=(), folder=tmp_path / "deaths")
        with open_producer(settings, application="likeness crash test") as resources:
            for wire, number in ((TTAPI, 30), (REPLICATE, 20), (OPENAI, 10)):
                hills = [f"a pig on {wire.provider} hill {i}" for i in range(number)]
                ordered(resources, wire, tmp_path / f"{wire.provider}.csv", hills)
            with crew_of(settings, roles=("io", "io-sync", "beat")):
                for enough, kind, pid in (
                    (5, "postgres", servers.postgres_pid),
                    (15, "redis", servers.redis_pid),
                    (25, "postgres", servers.postgres_pid),
                ):
                    wait_for(partial(_have_ended, resources, enough), what=f"{enough} ends", timeout_s=120)
                    enemy.stop(kind, pid)
                wait_for(lambda: _quiet(resources), what="every generation to end", timeout_s=300)
            counts = dict(_rows(resources, "SELECT state, count(*) FROM generations GROUP BY state"))
            assert counts == {"completed": 60}
            assert breaches(resources, bill(url)) == []
            assert revive(servers) == servers, "both are the processes that they were"


def test_every_process_of_a_server_is_found(own_servers: Servers) -> None:
    """Only all of them together stand still: a session that goes on is no outage."""
    with psycopg.connect(own_servers.libpq_url) as session:
        assert {own_servers.postgres_pid, session.info.backend_pid} <= set(family(own_servers.postgres_pid))
    assert family(own_servers.redis_pid) == [own_servers.redis_pid]


def _restarted(servers: Servers) -> Servers:
    """The servers once Postgres has another process."""
    before = servers.postgres_pid

    def another() -> bool:
        return revive(servers).postgres_pid != before

    wait_for(another, what="Postgres to be back", timeout_s=60)
    return revive(servers)


def _quiet(resources: Resources) -> bool:
    try:
        return waiting(resources.database) == 0
    except ServiceMissing:
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_is_published_again_within_thirty_seconds_of_a_flushed_redis(
    settings: Settings, tmp_path: Path
) -> None:
    # As installed; other tests are in more of a hurry.
    settings = settings.model_copy(update={"unclaimed_s": Settings().unclaimed_s, "sandbox_rate_limit": "3/s"})
    assert settings.redis_url is not None
    url = str(settings.sandbox_base_url)
    with (
        open_producer(settings, application="likeness crash test") as resources,
        redis.Redis.from_url(settings.redis_url.get_secret_value()) as client,
    ):
        _character(resources)
        for wire in WIRES:
            hills = [f"a pig on {wire.provider} hill {i}" for i in range(12)]
            ordered(resources, wire, tmp_path / f"{wire.provider}.csv", hills, character="lulu")
        # Without a worker for the checks: their messages wait, and there is always something to forget.
        with crew_of(settings, roles=("io", "io-sync", "beat")):
            unchecked = "SELECT count(*) FROM attempts WHERE state = 'validating'"
            wait_for(lambda: _rows(resources, unchecked)[0].count >= 8, what="messages to forget", timeout_s=120)
            flushed: datetime = _rows(resources, "SELECT clock_timestamp() AS now")[0].now
            client.flushdb()
            forgotten = {row.id for row in _rows(resources, _PUBLISHED, flushed=flushed)}
            assert len(forgotten) >= 8
            wait_for(partial(_all_have_a_message, resources, client, flushed), what="a second message for each")
            again = _rows(resources, "SELECT published_at FROM attempts WHERE id = ANY(:ids)", ids=list(forgotten))
            assert max(row.published_at for row in again) <= flushed + _AGAIN_WITHIN
            with crew_of(settings, roles=("gpu",)):
                _evict_everything(client, resources)
                wait_for(lambda: waiting(resources.database) == 0, what="every generation to end", timeout_s=300)
        assert breaches(resources, bill(url)) == []
        assert len(bill(url)["jobs"]) == 36, "no job was ordered a second time for a message that was gone"


def _evict_everything(client: redis.Redis, resources: Resources) -> None:
    """A broker of the wrong policy and too little memory: it evicts every key, and refuses new ones for a while."""
    usual = client.config_get("maxmemory*")
    before = int(client.info("stats")["evicted_keys"])
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", 1)
    try:
        wait_for(lambda: client.dbsize() == 0, what="an empty broker")
        refused_until = _rows(resources, "SELECT clock_timestamp() + interval '3 seconds' AS moment")[0].moment
        wait_for(
            lambda: _rows(resources, "SELECT clock_timestamp() > :moment AS over", moment=refused_until)[0].over,
            what="three seconds in which it takes nothing",
        )
    finally:
        client.config_set("maxmemory", usual["maxmemory"])
        client.config_set("maxmemory-policy", usual["maxmemory-policy"])
    assert int(client.info("stats")["evicted_keys"]) > before


#: Attempts whose only message was sent before, and that nobody has claimed.
_PUBLISHED = (
    "SELECT id, state FROM attempts WHERE state IN ('admitted', 'collecting', 'validating') AND lease_token IS NULL"
    " AND published_at <= :flushed"
)


def _all_have_a_message(resources: Resources, client: "redis.Redis", flushed: datetime) -> bool:
    """Counted in the queue where nobody takes any: what was stamped before the flush may have been sent after it."""
    unclaimed = _rows(resources, _PUBLISHED, flushed=flushed)
    if any(row.state != "validating" for row in unclaimed):
        return False
    checks = "SELECT count(*) FROM attempts WHERE state = 'validating' AND lease_token IS NULL"
    number: int = client.llen(names.QUEUE_GPU)  # type: ignore[assignment]
    return number >= _rows(resources, checks)[0].count


def _character(resources: Resources) -> None:
    reference = ROOT / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
    definitions.add(
        resources,
        NewCharacter(
            name="lulu", description="", references=[reference], core=0.5, style=-1.0, origin="chosen for this test"
        ),
    )
