"""The `api` role as a process: says where it listens, ends in order, ends with its parent, and needs no torch."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from api.main import bound
from domain.errors import ServiceMissing
from runtime.supervisor import PARENT_PIPE

ROOT = Path(__file__).parents[3]
SAYS = "listening at "


@contextmanager
def started(home: Path, database_url: str, *, pipe: int) -> Iterator[subprocess.Popen[str]]:
    """A process of the role; killed at the end if it still runs."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LIKENESS_HOME": str(home),
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:9/0",  # nobody is there: a webhook needs no broker
        "TTAPI_API_KEY": "sk-any-key-will-do",
        "LIKENESS_API_PORT": "0",
        PARENT_PIPE: str(pipe),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "api.main"],
        cwd=home,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[pipe],
    )
    assert process.stderr is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if SAYS in line:
            return line.partition(SAYS)[2].strip()
    raise AssertionError(f"it ended with {process.wait()} and said nowhere where it listens")


def test_it_answers_until_the_one_that_started_it_is_gone(home: Path, database_url: str) -> None:
    """The end comes by SIGTERM, which a process whose parent is gone sends to itself."""
    reader, writer = os.pipe()
    with started(home, database_url, pipe=reader) as process:
        os.close(reader)
        address = address_of(process)
        assert address.startswith("http://127.0.0.1:")
        health = httpx2.get(f"{address}/health", trust_env=False)
        assert (health.status_code, health.json()["status"]) == (200, "ok")
        assert httpx2.post(f"{address}/hooks/ttapi/guessed", content=b"{}", trust_env=False).status_code == 404
        os.close(writer)
        assert process.stderr is not None
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert "a webhook for lane ttapi was refused" in rest
    assert "guessed" not in rest
    assert "Traceback" not in rest


def test_a_port_that_is_taken_is_said_in_a_sentence() -> None:
    with bound("127.0.0.1", 0) as first, pytest.raises(ServiceMissing, match="LIKENESS_API_PORT") as caught:
        bound("127.0.0.1", first.getsockname()[1])
    assert caught.value.exit_code == 3


def test_an_answer_in_two_packets_does_not_wait_for_an_acknowledgement() -> None:
    with bound("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()[:2]):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_it_loads_neither_weights_nor_the_queue() -> None:
    program = "import json, sys, api.main; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)).isdisjoint({"torch", "transformers", "celery.app", "kombu"})
