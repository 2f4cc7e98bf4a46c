"""The way in: `shared(home)` for commands, `throwaway()` for tests.

Users of one home share one PostgreSQL and one Redis; who comes first has a keeper started, and the keeper ends both
when no user is left. A user holds nothing but a file lock, so the kernel counts users, whatever kills them.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.embedded import binaries, logs
from runtime.embedded.errors import ServersUnavailable
from runtime.embedded.guard import BOOT, ROOT
from runtime.embedded.keeper import Orders
from runtime.embedded.layout import SERVERS, Layout, make_home, read_password
from runtime.embedded.locks import FileLock, exclusive, wait_until
from runtime.embedded.ports import HOST
from runtime.embedded.postgres import DATABASE, USER

PATIENCE_S = 180.0
LINGER_S = 1.0
# What of the user's environment a Python may need to start at all; keys and passwords stay behind.
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Two servers that take clients on loopback. The URLs hold the password and stay out of `repr`.

    Process ids are those of the moment it was made; a server that its keeper had to start again has another.
    """

    home: Path
    database_url: str = field(repr=False)
    """For SQLAlchemy: `postgresql+psycopg://...`."""
    libpq_url: str = field(repr=False)
    """For psycopg and psql: `postgresql://...`."""
    redis_url: str = field(repr=False)
    """For redis-py and Celery: `redis://...`, database 0."""
    keeper_pid: int
    postgres_pid: int
    redis_pid: int
    durable: bool


@contextmanager
def shared(home: Path, *, durable: bool = True, linger_s: float = LINGER_S) -> Iterator[Servers]:
    """Use the servers of `home`, started if need be, until the block is left.

    Args:
        home: the folder of their data, made if needed; `.likeness` by default elsewhere.
        durable: False never waits for the disk: for tests alone.
        linger_s: how long the servers stay after their last user (it counts for whoever starts them).

    Raises:
        ServersUnavailable: they cannot be started here; the message says what to do.
    """
    layout = make_home(home)
    with _open_lock(layout.users_lock) as user:
        yield _join(layout, user=user, durable=durable, linger_s=linger_s)


def revive(servers: Servers) -> Servers:
    """Start the servers again if they died together with their keeper, at the same addresses where possible.

    For a user that lives long: call it now and then, from inside `shared`. Costs a millisecond when all is well.

    Raises:
        ServersUnavailable: as `shared`.
    """
    return _join(Layout(home=servers.home), user=None, durable=servers.durable, linger_s=LINGER_S)


@contextmanager
def throwaway() -> Iterator[Servers]:
    """Fast servers over an empty folder that is removed afterwards: for tests, also for a whole session of them."""
    home = Path(tempfile.mkdtemp(prefix="likeness-"))
    if os.geteuid() == 0:
        home.chmod(0o711)
    try:
        with shared(home, durable=False, linger_s=0.0) as servers:
            yield servers
    finally:
        wait_for_end(home)
        remove(home)


def wait_for_end(home: Path, *, timeout_s: float = PATIENCE_S) -> bool:
    """Wait until neither a keeper nor a server of `home` runs any more; False when `timeout_s` went by."""
    layout = Layout(home=home.resolve())
    deadline = time.monotonic() + timeout_s
    return all(
        _wait_unheld(path, timeout_s=max(0.0, deadline - time.monotonic()))
        for path in (layout.keeper_lock, *map(layout.server_lock, SERVERS))
    )


def remove(home: Path) -> None:
    """Remove a home and the data it leads to, for good; nobody may be using it."""
    for name in SERVERS:
        data = Layout(home=home).data(name)
        if data.is_symlink():
            shutil.rmtree(data.resolve(), ignore_errors=True)
    shutil.rmtree(home)


def _join(layout: Layout, *, user: FileLock | None, durable: bool, linger_s: float) -> Servers:
    """Count in as a user, then find or start the servers, one process at a time."""
    try:
        with exclusive(layout.start_lock, timeout_s=PATIENCE_S):
            if user is not None and not wait_until(user.try_shared, timeout_s=PATIENCE_S):
                raise TimeoutError(f"{user.path} is held")
            state = None
            while state is None:
                if not _keeper_lives(layout):
                    _start_keeper(layout, durable=durable, linger_s=linger_s)
                state = _wait_for_state(layout)
    except OSError as error:
        log = layout.log("keeper")
        raise ServersUnavailable(
            f"the servers of {str(layout.home)!r} could not be reached: {error}", log=log, log_tail=logs.tail(log)
        ) from error
    if durable and not state["durable"]:
        raise ServersUnavailable(
            f"the servers of {str(layout.home)!r} were started by a test and do not wait for the disk",
            advice="Wait for its end, or use another LIKENESS_HOME.",
        )
    return _describe(layout, state)


def _open_lock(path: Path) -> FileLock:
    try:
        return FileLock(path)
    except OSError as error:
        raise ServersUnavailable(f"the file {str(path)!r} cannot be used: {error.strerror}") from error


def _wait_unheld(path: Path, *, timeout_s: float) -> bool:
    with FileLock(path) as lock:
        return wait_until(lock.try_exclusive, timeout_s=timeout_s)


def _keeper_lives(layout: Layout) -> bool:
    with FileLock(layout.keeper_lock) as lock:
        if not lock.try_exclusive():
            return True
        # What a dead keeper wrote; removed while no other can be writing.
        layout.state.unlink(missing_ok=True)
        return False


def _start_keeper(layout: Layout, *, durable: bool, linger_s: float) -> None:
    """Start a keeper and wait until it says that the servers are ready."""
    programs = binaries.installed()
    orders = Orders(
        home=str(layout.home),
        durable=durable,
        linger_s=linger_s,
        postgres=str(programs.postgres),
        initdb=str(programs.initdb),
        redis=str(programs.redis),
    )
    # -I and -S: nothing of the user's environment or site-packages; the keeper needs the standard library alone.
    command = (sys.executable, "-I", "-S", "-c", BOOT.format("keeper"), str(ROOT), orders.to_json())
    reader, writer = os.pipe()
    log = logs.open_for_appending(layout.log("keeper"))
    try:
        env = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # Returns at once: what is started here forks the keeper, which then is nobody's child.
        done = subprocess.run(  # noqa: S603  this very program
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=log,
            cwd="/",
            env=env,
            start_new_session=True,
        )
        os.close(writer)
        writer = -1
        answer = _read_answer(reader) if done.returncode == 0 else None
    finally:
        for descriptor in {reader, writer, log} - {-1}:
            os.close(descriptor)
    _raise_unless_ready(layout, answer)


def _read_answer(reader: int) -> dict[str, Any] | None:
    """The keeper's line; None when it died without one.

    Raises:
        TimeoutError: it neither spoke nor died in time.
    """
    deadline = time.monotonic() + PATIENCE_S
    said = b""
    while not said.endswith(b"\n"):
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError("the keeper did not answer")
        chunk = os.read(reader, 65536)
        if not chunk:
            return None
        said += chunk
    answer: dict[str, Any] = json.loads(said)
    return answer


def _raise_unless_ready(layout: Layout, answer: dict[str, Any] | None) -> None:
    if answer is None:
        log = layout.log("keeper")
        raise ServersUnavailable("the keeper of the servers died while starting them", log=log, log_tail=logs.tail(log))
    if answer:
        raise ServersUnavailable(
            answer["what"],
            advice=answer.get("advice"),
            log=Path(answer["log"]) if answer.get("log") else None,
            log_tail=answer.get("log_tail", ""),
        )


def _wait_for_state(layout: Layout) -> dict[str, Any] | None:
    """What the keeper wrote when the servers were ready; None when it ended without.

    A keeper whose starter was killed may still be at it, hence the wait.
    """
    if not wait_until(lambda: layout.state.exists() or not _keeper_lives(layout), timeout_s=PATIENCE_S):
        raise TimeoutError("the keeper did not bring up the servers")
    try:
        state: dict[str, Any] = json.loads(layout.state.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return state


def _describe(layout: Layout, state: dict[str, Any]) -> Servers:
    password = read_password(layout)
    database = f"{USER}:{password}@{HOST}:{state['postgres']['port']}/{DATABASE}"
    return Servers(
        home=layout.home,
        database_url=f"postgresql+psycopg://{database}",
        libpq_url=f"postgresql://{database}",
        redis_url=f"redis://:{password}@{HOST}:{state['redis']['port']}/0",
        keeper_pid=state["keeper"],
        postgres_pid=state["postgres"]["pid"],
        redis_pid=state["redis"]["pid"],
        durable=state["durable"],
    )
