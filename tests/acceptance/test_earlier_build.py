"""Workers of the build before the newest migration, beside today's, for one batch: none lost, none paid twice."""

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from db.migrate import HEAD
from db.session import Database
from runtime.crew import environment
from runtime.embedded.stack import Servers
from runtime.settings import Settings
from sandbox.process import running
from tests.support.commands import ROOT, bill, wait_for, write_prompts
from tests.support.databases import url_of
from tests.support.system import settings_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

#: The last commit whose newest migration is 0011.
EARLIER = "9d48a29^"
DATABASE = "upgraded"
ROWS = 24


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The earlier build's files."""
    packed = tmp_path / "earlier.tar"
    done = subprocess.run(["git", "archive", "-o", packed, EARLIER], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this clone has no commit {EARLIER}: it is shallow, or the history is another")
    folder = tmp_path / "earlier"
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def settings(servers: Servers, redis_url: str, home: Path, tmp_path: Path) -> Iterator[Settings]:
    """A database without any schema, and a stand-in that takes its time."""
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    url = url_of(servers, DATABASE)
    with running(tmp_path / "sandbox", latency_s=1.0, size_px=64) as sandbox:
        yield settings_of(
            home, database_url=url, redis_url=redis_url, sandbox=sandbox, sandbox_rate_limit="2/s", lease_s=5.0
        )
    with psycopg.connect(servers.libpq_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


class Builds:
    """Processes of either build, on the same servers."""

    def __init__(self, settings: Settings, folder: Path, stack: ExitStack) -> None:
        self._environment = {**environment(settings), "PYTHONUNBUFFERED": "1"}
        self._folder = folder
        self._stack = stack

    def start(self, build: Path, module: str) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._folder / f"{build.name}-{module}.log").open("wb"))
        given = {**self._environment, "PYTHONPATH": str(build)}
        process = subprocess.Popen([sys.executable, "-m", module], cwd=build, env=given, stdout=log, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def run(self, build: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        given = {**self._environment, "PYTHONPATH": str(build)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=build, env=given, capture_output=True, text=True, timeout=120, check=False)

    def words(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in sorted(self._folder.glob("*-*.log")))


def revision(database: Database) -> str:
    with database.transaction() as connection:
        return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def test_workers_of_the_build_before_go_on_beside_todays(settings: Settings, earlier: Path, tmp_path: Path) -> None:
    assert settings.database_url is not None
    assert settings.sandbox_base_url is not None
    with ExitStack() as stack:
        builds = Builds(settings, tmp_path, stack)
        prompts = write_prompts(tmp_path / "prompts.csv", [f"a pig on hill {number}" for number in range(ROWS)])
        asked = builds.run(earlier, "-m", "cli.main", "enqueue", str(prompts), "--provider=sandbox")
        assert asked.returncode == 0, asked.stderr
        workers = [builds.start(earlier, module) for module in ("worker.main", "worker.beat")]
        database = Database(settings.database_url.get_secret_value(), pool_size=2, application="likeness test")
        stack.callback(database.close)

        def finished() -> int:
            with database.transaction() as connection:
                return int(connection.scalar(text("SELECT count(*) FROM generations WHERE state = 'completed'")) or 0)

        wait_for(lambda: finished() >= 3, what="the earlier build to work", timeout_s=120)
        before, known = finished(), revision(database)
        assert known < HEAD
        # The first of today's workers migrates beneath the others.
        for module in ("worker.main", "worker.beat"):
            builds.start(ROOT, module)
        wait_for(lambda: revision(database) == HEAD, what="the migration", timeout_s=120)
        assert all(worker.poll() is None for worker in workers), builds.words()
        wait_for(lambda: finished() >= min(before + 4, ROWS), what="both to work", timeout_s=120)
        for worker in workers:
            worker.terminate()
        wait_for(lambda: finished() == ROWS, what="the end", timeout_s=150)
        assert [worker.wait(90) for worker in workers] == [0, 0], builds.words()
        with database.transaction() as connection:
            known_jobs = connection.scalars(text("SELECT job_id FROM attempts WHERE job_id IS NOT NULL")).all()
        assert sorted(known_jobs) == sorted(job["job_id"] for job in bill(settings.sandbox_base_url)["jobs"])
        assert len(known_jobs) == ROWS
