"""A process that dies between a commit and its answer: the request comes again, gets an answer, and spends nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from db.session import Database
from runtime.supervisor import PARENT_PIPE
from tests.support.commands import ROOT

SAYS = "listening at "


@contextmanager
def started(home: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of the role, and its address; killed at the end if it still runs."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "api.main"],
        cwd=home,
        env={**os.environ, **environment, PARENT_PIPE: str(reader)},
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[reader],
    )
    os.close(reader)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if SAYS in line)
        yield process, line.partition(SAYS)[2].strip()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
        os.close(writer)


def made_by(likeness: Any) -> str:
    return str(likeness.document("keys", "create", "caller", "--scope", "generate")["key"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate/from-prompt", {"prompt": "a pig"}),
        ("/api/batches", {"name": "once", "prompts": ["a pig", "a cow"]}),
    ],
)
def test_the_repetition_of_a_killed_request_makes_nothing_twice(
    path: str,
    body: dict[str, Any],
    likeness: Any,
    studio: str,
    home: Path,
    database: Database,
    database_url: str,
    redis_url: str,
) -> None:
    environment = {
        "PYTHONPATH": str(ROOT),
        "LIKENESS_HOME": str(home),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SANDBOX_BASE_URL": studio,
        "LIKENESS_API_PORT": "0",
        "LIKENESS_DIE_AT": "kept_answers.carried_out",
    }
    headers = {"Authorization": f"Bearer {made_by(likeness)}", "Idempotency-Key": "the same"}
    with started(home, environment) as (process, address):
        with pytest.raises(httpx2.TransportError):
            httpx2.post(f"{address}{path}", json=body, headers=headers, trust_env=False, timeout=60)
        assert process.wait(timeout=60) < 0
    with started(home, environment) as (_, address):
        first, second = (
            httpx2.post(f"{address}{path}", json=body, headers=headers, trust_env=False, timeout=60) for _ in range(2)
        )
    assert (first.status_code, first.text) == (202, second.text)
    with database.transaction() as connection:
        batches, generations = (
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("batches", "generations")
        )
    assert (batches, generations) == (1, len(body.get("prompts", ["one"])))
