"""`likeness health`: a worker that works, one that hangs, one that is gone; real processes, no answer of the broker."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.operations.probe import what_is_wrong
from cli.operations.roles import Role
from runtime.settings import Settings
from runtime.signs_of_life import STALE_S, SignOfLife, ages_s
from tests.support.commands import wait_for


@contextmanager
def worker(role: str, *, home: Path, database_url: str, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    module = {"io": "worker.main", "beat": "worker.beat"}[role]
    environment = {
        "PATH": os.environ["PATH"],
        "LIKENESS_HOME": str(home),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SANDBOX_BASE_URL": "http://127.0.0.1:9",
    }
    with subprocess.Popen([sys.executable, "-m", module], env=environment) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()


@pytest.mark.parametrize("role", [Role.IO, Role.BEAT])
def test_a_worker_is_well_until_it_hangs_or_ends(role: Role, home: Path, database_url: str, redis_url: str) -> None:
    settings = Settings().model_copy(update={"home": home})
    assert "no " in str(what_is_wrong(role, settings))
    with worker(role, home=home, database_url=database_url, redis_url=redis_url) as process:
        wait_for(lambda: what_is_wrong(role, settings) is None, what=f"{role} to give a sign", timeout_s=60)
        process.send_signal(signal.SIGSTOP)
        (sign,) = (home / "alive").iterdir()
        long_ago = time.time() - 2 * STALE_S
        os.utime(sign, (long_ago, long_ago))
        assert f"{process.pid} has given no sign" in str(what_is_wrong(role, settings))
    assert process.returncode == 0
    assert list((home / "alive").iterdir()) == [], "who ends in order leaves nothing"


def test_the_file_of_a_killed_worker_is_no_sign(home: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = home / "alive" / f"gpu.{gone.pid}"
    SignOfLife(home=home, role="gpu").give()
    left.touch()
    assert [pid for pid, _ in ages_s(home, "gpu")] == [os.getpid()]
    assert not left.exists()
    assert list(ages_s(home, "io")) == []


def test_an_api_that_nobody_runs_is_said(home: Path) -> None:
    settings = Settings().model_copy(update={"home": home, "api_port": 9, "api_host": "0.0.0.0"})
    assert "nobody answers at 127.0.0.1 port 9" in str(what_is_wrong(Role.API, settings))
