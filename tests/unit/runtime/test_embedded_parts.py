"""The parts of the embedded servers that need no server."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.embedded import binaries, logs, ports
from runtime.embedded.errors import ServersUnavailable
from runtime.embedded.guard import BOOT, ROOT
from runtime.embedded.layout import Layout, make_home, write_privately
from runtime.embedded.locks import FileLock, exclusive, holders, wait_until

DEADLINE_S = 30.0
HOLDS_THE_LOCK = """
import sys
from pathlib import Path
from runtime.embedded.locks import exclusive
with exclusive(Path(sys.argv[1]), timeout_s=5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with (
        subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
        FileLock(path) as lock,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert not lock.try_shared()
        if sys.platform == "linux":
            assert holders(path) == [holder.pid]
        with pytest.raises(TimeoutError, match=r"some\.lock"), exclusive(path, timeout_s=0.05):
            pass
        holder.kill()
        assert wait_until(lock.try_exclusive, timeout_s=DEADLINE_S)


def test_a_lock_tells_when_its_file_was_replaced(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        assert lock.is_current()
        lock.path.unlink()
        assert not lock.is_current()
        lock.path.touch()
        assert not lock.is_current()


def test_a_port_in_use_is_not_chosen() -> None:
    with socket.create_server((ports.HOST, ports.choose())) as server:
        taken = server.getsockname()[1]
        assert not ports.is_free(taken)
        assert ports.choose(taken) != taken


def test_the_port_of_last_time_is_chosen_unless_it_must_not_be() -> None:
    former = ports.choose()
    assert ports.choose(former) == former
    assert ports.choose(former, avoid=frozenset({former})) != former


@pytest.mark.skipif(sys.platform != "linux", reason="the range is told by /proc")
def test_a_chosen_port_is_never_one_that_outgoing_connections_get() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    if lowest < 16_000:
        pytest.skip("this machine hands out nearly every port")
    assert all(ports.choose() < lowest for _ in range(50))


def test_a_log_that_grew_too_long_keeps_its_end(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    descriptor = logs.open_for_appending(log)
    try:
        os.write(descriptor, b"".join(b"line %03d\n" % number for number in range(100)))
        logs.bound(log, limit_bytes=90)
        os.write(descriptor, b"after\n")
    finally:
        os.close(descriptor)
    assert log.read_text("ascii") == "after\n"
    assert (tmp_path / "postgres.log.1").read_text("ascii").splitlines() == [f"line 0{n}" for n in range(90, 100)]
    logs.bound(log, limit_bytes=90)
    assert log.read_text("ascii") == "after\n"


def test_the_tail_of_a_log_is_its_last_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    assert logs.tail(log) == ""
    log.write_bytes(b"\xff" * 10_000 + b"\nlast but one\nlast\n")
    assert logs.tail(log, lines=2) == "last but one\nlast"


@pytest.mark.parametrize("words", ["FATAL: No space left on device", "HINT:  Check free disk space."])
def test_an_error_says_what_happened_what_to_do_and_the_last_words(tmp_path: Path, words: str) -> None:
    error = ServersUnavailable("postgres did not start", log=tmp_path / "postgres.log", log_tail=words)
    first, *rest = str(error).splitlines()
    assert first == "postgres did not start. Free some space on that disk and start again; nothing was lost."
    assert rest[-1] == words
    assert error.exit_code == 3


def test_a_new_home_is_private_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    layout = make_home(tmp_path / "new" / "home")
    # A root user's servers run as somebody else, who must get through to their own folders.
    assert layout.home.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)
    layout.home.chmod(0o750)
    assert make_home(layout.home) == layout
    assert layout.home.stat().st_mode & 0o777 == 0o750


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(ServersUnavailable, match="cannot be used"):
        make_home(tmp_path / "home")


def test_a_private_file_is_replaced_whole_and_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = Layout(home=tmp_path).password
    write_privately(path, "one")
    write_privately(path, "two")
    assert path.read_text("utf-8") == "two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_python_without_the_wheels_is_told_what_to_do() -> None:
    code = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from runtime.embedded import binaries, errors\n"
        "try:\n"
        "    binaries.installed()\n"
        "except errors.ServersUnavailable as error:\n"
        "    print(error)\n"
    )
    # Without site-packages, which is how any Python without the wheels sees the world.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=True
    )
    assert "need CPython 3.11 to 3.14" in done.stdout
    assert "DATABASE_URL and REDIS_URL" in done.stdout


def a_server_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, says: str) -> Path:
    """The only program on PATH, with no wheel installed."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(folder))
    return program


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("valkey-server", "Valkey server v=8.1.4 sha=00000000:0 malloc=libc bits=64"),
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"),
    ],
)
def test_where_no_wheel_has_a_valkey_the_machines_own_server_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    assert a_server_on_path(tmp_path, monkeypatch, name=name, says=says) == binaries.redis_server()


@pytest.mark.parametrize("says", ["Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", "no version"])
def test_a_redis_that_is_out_of_support_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    a_server_on_path(tmp_path, monkeypatch, name="redis-server", says=says)
    with pytest.raises(ServersUnavailable, match="version 7 or newer"):
        binaries.redis_server()


def test_copied_programs_run_and_are_copied_once(tmp_path: Path) -> None:
    source = binaries.installed()
    copy = binaries.copied(source, tmp_path)
    for program in copy.all():
        assert program.is_relative_to(tmp_path)
        assert program.stat().st_mode & 0o777 == 0o755
        done = subprocess.run([program, "--version"], capture_output=True, check=True)
        assert b"18." in done.stdout or b"v=9.1" in done.stdout
    before = copy.postgres.stat().st_ino
    assert binaries.copied(source, tmp_path).postgres.stat().st_ino == before
    assert len(list(tmp_path.iterdir())) == 1


def test_the_guard_ends_what_a_killed_keeper_left() -> None:
    keeper = (
        "import signal, subprocess, sys\n"
        "from runtime.embedded.guard import Guard\n"
        "guard = Guard(needed=True)\n"
        "for name in ('postgres', 'redis'):\n"
        "    server = subprocess.Popen(['sleep', '600'])\n"
        "    guard.watch(name, server.pid, signal.SIGTERM)\n"
        "    print(server.pid, flush=True)\n"
        "guard.forget('redis')\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", keeper], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        watched, forgotten = int(process.stdout.readline()), int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        process.kill()
        assert wait_until(lambda: not _runs(watched), timeout_s=DEADLINE_S)
        assert _runs(forgotten)
        os.kill(forgotten, signal.SIGKILL)


def _runs(pid: int) -> bool:
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(shown.strip()) and not shown.strip().startswith("Z")


def test_the_keeper_needs_the_standard_library_alone() -> None:
    code = BOOT.format("keeper").replace("; main()", "; print(sorted({name.split('.')[0] for name in sys.modules}))")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=True
    )
    assert "'runtime'" in done.stdout
    for heavy in ("psycopg", "redis", "celery", "sqlalchemy", "torch"):
        assert f"'{heavy}'" not in done.stdout
