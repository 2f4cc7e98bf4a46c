"""What every test may ask for: real servers of its own, a fresh database, and a world that is shut out.

The servers start with the first test that asks for them and end with the run. A database is a test's own while it
runs, so that a test may commit, and does.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from db.session import Database
from domain.ids import AttemptId, GenerationId
from domain.preparation import Place
from domain.states import AttemptState
from runtime.embedded.stack import Servers, throwaway
from tests.support.databases import Databases, url_of

_OURS = ("LIKENESS_", "TTAPI_", "REPLICATE_", "OPENAI_", "R2_", "SANDBOX_", "CLIP_", "DATABASE_URL", "REDIS_URL")
_numbers = itertools.count(1)

# How long an example takes says something about the machine and who else uses it, and nothing about the code.
settings.register_profile("likeness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("likeness")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(_OURS):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """One PostgreSQL and one Redis for the whole run."""
    with throwaway() as started:
        yield started


@pytest.fixture(scope="session")
def databases(servers: Servers) -> Iterator[Databases]:
    opened = Databases(servers)
    yield opened
    opened.close()


@pytest.fixture
def database_url(servers: Servers, databases: Databases) -> Iterator[str]:
    """An empty, migrated database of this test's own."""
    name = databases.lend()
    yield url_of(servers, name)
    databases.take_back(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url, pool_size=8, application="likeness test")
    yield opened
    opened.close()


@pytest.fixture
def redis_url(servers: Servers) -> Iterator[str]:
    """A Redis database that no other test uses at the same time, empty at the start."""
    url = f"{servers.redis_url.rpartition('/')[0]}/{next(_numbers) % 15 + 1}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield url
        client.flushdb()


@dataclass(slots=True)
class Sent:
    """A dispatcher that only writes down what it was told to send: for steps that are called by hand."""

    tasks: list[tuple[str, AttemptId]] = field(default_factory=list)
    prepared: list[tuple[GenerationId, Place]] = field(default_factory=list)

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def submit(
        self, *, lane: str, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None
    ) -> None:
        self.tasks.append((f"submit {lane}", attempt_id))

    def prepare(self, *, generation_id: GenerationId, place: Place) -> None:
        self.prepared.append((generation_id, place))

    def collect(self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None) -> None:
        self.tasks.append(("collect", attempt_id))

    def rebuild_inputs(
        self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None
    ) -> None:
        self.tasks.append(("rebuild", attempt_id))

    def validate(self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None) -> None:
        self.tasks.append(("validate", attempt_id))

    def waiting(self, step: AttemptState, lane: str | None) -> int:
        """Messages that were sent here wait nowhere."""
        del step, lane
        return 0

    def take(self, kind: str) -> list[AttemptId]:
        """The attempts that tasks of this kind were sent for, and forget them."""
        found = [attempt for what, attempt in self.tasks if what.startswith(kind)]
        self.tasks = [(what, attempt) for what, attempt in self.tasks if not what.startswith(kind)]
        return found


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A LIKENESS_HOME of this test's own."""
    made = tmp_path / "home"
    made.mkdir()
    return made
