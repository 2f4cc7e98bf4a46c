"""The table of what people write into prompt files, through the real command line's dry run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.embedded.stack import Servers
from tests.support.command_line import CommandLine, stand
from tests.support.databases import Databases, url_of
from tests.support.prompt_tables import CASES, Case


@pytest.fixture(scope="module")
def url(servers: Servers, databases: Databases) -> Iterator[str]:
    """One database for all of these tests, since none of them writes a row."""
    name = databases.lend()
    yield url_of(servers, name)
    databases.take_back(name)


@pytest.fixture
def likeness(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, redis_url: str
) -> CommandLine:
    # The address of the stand-in is never asked: a dry run touches no provider.
    settings = {"DATABASE_URL": url, "REDIS_URL": redis_url, "SANDBOX_BASE_URL": "http://127.0.0.1:9"}
    stand(monkeypatch, tmp_path, settings)
    return CommandLine(capsys)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_dry_run_shows_what_comes_of_it(likeness: CommandLine, tmp_path: Path, case: Case) -> None:
    for name, content in case.beside.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    content = case.content if isinstance(case.content, bytes) else case.content.encode()
    (tmp_path / case.name).write_bytes(content)
    call = ("enqueue", case.name, "--provider", "sandbox", "--dry-run", "--no-look", *case.options)
    if case.refused is not None:
        error = likeness.document(*call, code=2)["error"]
        assert case.refused in error["message"]
        return
    said = likeness.document(*call)
    assert said["total"] == len(case.rows or ())
    assert len(said["warnings"]) == len(case.warns), said["warnings"]
    for warning, expected in zip(said["warnings"], case.warns, strict=True):
        assert expected in warning
