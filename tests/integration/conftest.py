"""Fixtures of the integration tests: books, step runners and the command line; a file may define its own instead."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from db.session import Database
from tests.conftest import Sent
from tests.support import openai_runner as openai
from tests.support import replicate_runner as replicate
from tests.support.books import Books, books_of
from tests.support.command_line import CommandLine, stand
from tests.support.steps import StepRunner, runner_of, sandbox_at


@pytest.fixture
def books(database: Database) -> Iterator[Books]:
    with books_of(database) as opened:
        yield opened


@pytest.fixture
def given() -> Mapping[str, str]:
    """Variables that commands see beside the servers. The address of the stand-in is never asked."""
    return {"SANDBOX_BASE_URL": "http://127.0.0.1:9"}


@pytest.fixture
def likeness(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    database_url: str,
    redis_url: str,
    given: Mapping[str, str],
) -> CommandLine:
    stand(monkeypatch, home.parent, {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **given})
    return CommandLine(capsys)


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A sandbox that the tests of one file share; each has an account of its own there."""
    with sandbox_at(tmp_path_factory.mktemp("sandbox")) as url:
        yield url


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def openai_runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[openai.OpenAiRunner]:
    with openai.runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def replicate_runner(
    database: Database, sandbox_url: str, sent: Sent, home: Path
) -> Iterator[replicate.ReplicateRunner]:
    with replicate.runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened
