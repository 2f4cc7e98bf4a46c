"""Workers behind PgBouncer in transaction mode: a batch ends, and nobody meets another's prepared statement."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from db.session import Database
from runtime.embedded.stack import Servers
from sandbox.process import running
from tests.support.databases import url_of
from tests.support.pgbouncer import Pooler, pooler_of
from tests.support.system import settings_of, system_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def empty_url(servers: Servers) -> Iterator[str]:
    """A database that nobody has migrated."""
    name = "behind_a_pooler"
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield url_of(servers, name)
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["own", "current"])
def pooler(tmp_path: Path, empty_url: str, request: pytest.FixtureRequest) -> Iterator[Pooler]:
    """The machine's own, and one that tracks the prepared statements of its clients."""
    current = request.param == "current"
    with pooler_of(tmp_path / "pooler", empty_url, connections=6, current=current) as started:
        assert not current or started.tracked_statements() > 0
        yield started


@pytest.mark.parametrize(("pooler", "direct"), [("own", False), ("own", True), ("current", False)], indirect=["pooler"])
def test_a_batch_ends_behind_a_pooler(
    home: Path, redis_url: str, pooler: Pooler, empty_url: str, tmp_path: Path, *, direct: bool
) -> None:
    log = tmp_path / "workers.log"
    with running(tmp_path / "sandbox", latency_s=0.2, size_px=64) as sandbox:
        more = {"database_direct_url": SecretStr(empty_url)} if direct else {}
        settings = settings_of(home, database_url=pooler.url, redis_url=redis_url, sandbox=sandbox, **more)
        with system_of(settings, "io", "io", "beat", log=log) as system:
            batch = system.enqueue("pooled", [f"a pig on hill {number}" for number in range(40)], provider="replicate")
            system.until_final(batch, timeout_s=200)
            assert system.progress(batch).accepted == 40
            assert pooler.server_connections() <= 6 < pooler.client_connections(), "connections were shared"
    said = log.read_text()
    assert "prepared statement" not in said
    assert "ProtocolViolation" not in said


def test_only_behind_a_pooler_is_nothing_prepared(pooler: Pooler, empty_url: str) -> None:
    for url, prepared in ((empty_url, True), (pooler.url, False)):
        database = Database(url)
        for number in range(12):
            with database.transaction() as connection:
                connection.execute(text("SELECT CAST(:number AS int)"), {"number": number})
                there = connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
        database.close()
        assert bool(there) is prepared
