"""A PgBouncer of a test's own, in transaction mode, in front of the test's Postgres."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psycopg
import pytest

from runtime.embedded.ports import choose
from tests.support.commands import wait_for

_BUILDS: Final = ".ci/pgbouncer-current"
_BUILT: Final = Path(__file__).resolve().parents[2] / "build/pgbouncer/pgbouncer"
#: The first that gives each client its own prepared statements.
_TRACKING: Final = (1, 21)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooler:
    """A pooler that answers.

    Args:
        url: of the database behind it.
        log: what it wrote.
    """

    url: str
    log: Path
    _admin: str

    def server_connections(self) -> int:
        """How many it has to Postgres."""
        with psycopg.connect(self._admin, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            return len(connection.execute("SHOW SERVERS").fetchall())

    def tracked_statements(self) -> int:
        """How many prepared statements it keeps for each client; older ones know nothing of them."""
        with psycopg.connect(self._admin, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            said = {str(name): value for name, value, *_ in connection.execute("SHOW CONFIG").fetchall()}
        return int(said.get("max_prepared_statements", 0))

    def client_connections(self) -> int:
        with psycopg.connect(self._admin, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            return len(connection.execute("SHOW CLIENTS").fetchall())


def require_pgbouncer(*, current: bool = False) -> str:
    """The program; skips at home where it is missing, and fails in CI.

    Args:
        current: one that tracks the prepared statements of its clients; built by `.ci/pgbouncer-current` where the
            machine's own is older.
    """
    own = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    found = next((one for one in (own, str(_BUILT)) if one and _version(one) >= _TRACKING), None) if current else own
    if found is None:
        reason = f"there is no {'current ' if current else ''}pgbouncer here; install the package, or run {_BUILDS}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def _version(program: str) -> tuple[int, ...]:
    if not Path(program).exists():
        return ()
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, told.split()[1].split(".")))


@contextmanager
def pooler_of(folder: Path, database_url: str, *, connections: int, current: bool = False) -> Iterator[Pooler]:
    """In front of one database, with so many connections to it."""
    program = require_pgbouncer(current=current)
    parts = urlsplit(database_url)
    name, port = parts.path.lstrip("/"), choose()
    folder.mkdir(parents=True)
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"""[databases]
{name} = host={parts.hostname} port={parts.port} user={parts.username} password={parts.password} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = {parts.username}
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 500
ignore_startup_parameters = extra_float_digits
logfile =
""",
        encoding="utf-8",
    )
    # It refuses to run as root, and reads its settings before it becomes another.
    as_other = ["-u", "nobody"] if os.geteuid() == 0 else []
    log = folder / "pgbouncer.log"
    with log.open("wb") as lines:
        process = subprocess.Popen([program, *as_other, str(settings)], stdout=lines, stderr=lines)
    base = f"postgresql://{parts.username}@127.0.0.1:{port}"
    try:
        pooler = Pooler(url=f"{base}/{name}", log=log, _admin=f"{base}/pgbouncer")
        wait_for(lambda: _answers(pooler.url), what=f"PgBouncer ({log})", timeout_s=20)
        yield pooler
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
