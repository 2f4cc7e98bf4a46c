"""A PgBouncer of a test's own, in transaction mode, in front of the test's Postgres."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from runtime.embedded.ports import choose
from tests.support.commands import wait_for


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

    def client_connections(self) -> int:
        with psycopg.connect(self._admin, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            return len(connection.execute("SHOW CLIENTS").fetchall())


def require_pgbouncer() -> str:
    """The program; skips at home where it is missing, and fails in CI."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        reason = "there is no pgbouncer here; install the package"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return program


@contextmanager
def pooler_of(folder: Path, database_url: str, *, connections: int) -> Iterator[Pooler]:
    """In front of one database, with so many connections to it."""
    program = require_pgbouncer()
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
