"""The API over a sandbox that the tests of a file share; the database is each test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.session import Database
from sandbox.process import running
from tests.conftest import Sent
from tests.support.api_server import ApiServer, api_server


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("studio"), latency_s=0.02, size_px=64, concurrency=100) as url:
        yield url


@pytest.fixture
def api(database: Database, studio: str, sent: Sent, home: Path) -> Iterator[ApiServer]:
    with api_server(database, sandbox=studio, sent=sent, home=home) as opened:
        yield opened
