"""What tests of the books and of the command line ask for by name; a file that needs another one says so itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from db.session import Database
from tests.support.books import Books, books_of
from tests.support.command_line import CommandLine, stand


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
