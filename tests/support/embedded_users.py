"""Processes that use the embedded servers, and how the tests write to them, read, and look for what is left."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis

from runtime.embedded import stack
from runtime.embedded.layout import SERVERS, Layout
from runtime.embedded.locks import holders
from runtime.embedded.stack import Servers

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
USER_PROGRAM = """
import dataclasses, json, sys
from pathlib import Path
from runtime.embedded.stack import shared
with shared(Path(sys.argv[1]), durable=False, linger_s=0.0) as servers:
    facts = dataclasses.asdict(servers)
    print(json.dumps({name: facts[name] for name in facts if name != "home"}), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A process that uses the servers of a home, and can be killed."""

    process: subprocess.Popen[str]
    servers: Servers

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(DEADLINE_S) == 0


@contextmanager
def open_folder(*, prefix: str = "likeness-test-") -> Iterator[Path]:
    """A temporary folder that any account may pass through, with at most one home in it, named `home`.

    Not pytest's own folder, which is private to root where root runs the tests: that is a test of its own.
    """
    made = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    made.chmod(0o711)
    try:
        yield made
        assert not (made / "home").exists() or stack.wait_for_end(made / "home", timeout_s=DEADLINE_S)
    finally:
        shutil.rmtree(made)


def fast(home: Path) -> AbstractContextManager[Servers]:
    return stack.shared(home, durable=False, linger_s=0.0)


@contextmanager
def another_user(home: Path, *, python_path: tuple[Path, ...] = ()) -> Iterator[User]:
    command = [sys.executable, "-c", USER_PROGRAM, str(home)]
    env = environment(*python_path)
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            facts = json.loads(process.stdout.readline())
            yield User(process=process, servers=Servers(home=home.resolve(), **facts))
        finally:
            process.kill()


def environment(*first: Path) -> dict[str, str]:
    path = (*map(str, first), str(ROOT), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def this_test() -> str:
    """Keeps apart what the tests write into the servers of one home."""
    return os.environ["PYTEST_CURRENT_TEST"].split(" ")[0]


def write(servers: Servers, value: str) -> None:
    with psycopg.connect(servers.libpq_url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (test TEXT, value TEXT)")
        connection.execute("INSERT INTO kept VALUES (%s, %s)", (this_test(), value))
    with redis.Redis.from_url(servers.redis_url) as client:
        client.rpush(this_test(), value)


def read(servers: Servers) -> tuple[list[str], list[str]]:
    with psycopg.connect(servers.libpq_url) as connection:
        rows = connection.execute("SELECT value FROM kept WHERE test = %s", (this_test(),)).fetchall()
    with redis.Redis.from_url(servers.redis_url, decode_responses=True) as client:
        return [value for (value,) in rows], client.lrange(this_test(), 0, -1)


def works_again(servers: Servers) -> bool:
    with suppress(psycopg.OperationalError, redis.ConnectionError):
        read(servers)
        return True
    return False


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def assert_nothing_is_left(servers: Servers) -> None:
    assert stack.wait_for_end(servers.home, timeout_s=DEADLINE_S), "servers or keeper still hold their locks"
    layout = Layout(home=servers.home)
    for path in (layout.keeper_lock, *map(layout.server_lock, SERVERS)):
        assert holders(path) == []
    for url in (servers.libpq_url, servers.redis_url):
        with pytest.raises(ConnectionRefusedError), socket.create_connection(address(url), timeout=5.0):
            pass


def address(url: str) -> tuple[str, int]:
    host, port = url.rsplit("@", 1)[1].split("/", maxsplit=1)[0].split(":")
    return host, int(port)
