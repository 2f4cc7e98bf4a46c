"""The embedded servers shared by processes, killed in every way, and gone afterwards.

Most servers here do not wait for the disk: what a kill of processes may lose does not depend on it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from runtime.embedded import stack
from runtime.embedded.layout import Layout
from runtime.embedded.locks import FileLock, holders, wait_until
from tests.support.embedded_users import (
    DEADLINE_S,
    USER_PROGRAM,
    another_user,
    assert_nothing_is_left,
    environment,
    fast,
    kill,
    open_folder,
    read,
    works_again,
    write,
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    """One home for most tests: making the data from nothing is a second of processor time."""
    with open_folder() as made:
        yield made / "home"


@pytest.fixture
def home(used_home: Path) -> Iterator[Path]:
    yield used_home
    assert stack.wait_for_end(used_home, timeout_s=DEADLINE_S)


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


@on_linux
def test_a_part_of_postgres_killed_together_with_the_keeper_leaves_nothing(home: Path) -> None:
    with fast(home) as servers:
        write(servers, "kept")
        parts = set(holders(Layout(home=home).server_lock("postgres"))) - {servers.postgres_pid}
        kill(min(parts), servers.keeper_pid)
        assert_nothing_is_left(servers)
    with fast(home) as servers:
        assert read(servers) == (["kept"], ["kept"])


@on_linux
def test_a_part_of_postgres_killed_is_mended_like_the_whole(home: Path) -> None:
    with fast(home) as servers:
        write(servers, "kept")
        parts = set(holders(Layout(home=home).server_lock("postgres"))) - {servers.postgres_pid}
        kill(min(parts))
        assert wait_until(lambda: stack.revive(servers).postgres_pid != servers.postgres_pid, timeout_s=DEADLINE_S)
        assert read(servers) == (["kept"], ["kept"])


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
