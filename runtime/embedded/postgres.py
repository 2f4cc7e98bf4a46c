"""PostgreSQL: its data folder from nothing, its arguments, and when it is ready. Running it is `server.py`'s."""

import os
import secrets
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.embedded.binaries import POSTGRES_MAJOR, Binaries
from runtime.embedded.errors import ServersUnavailable
from runtime.embedded.ports import HOST
from runtime.embedded.server import Launch

USER = "likeness"
DATABASE = "likeness"

_SETTINGS = {
    "listen_addresses": HOST,
    # No socket: its path could exceed the 100 bytes that the system allows, and loopback serves every driver.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    # After the crash of one process PostgreSQL would start itself anew inside; 18.4 asked to stop while it does so
    # never ends (seen by killing a backend and the keeper at once). It ends instead, and the keeper starts it again.
    "restart_after_crash": "off",
    # One server without replicas: crash safety needs no more WAL than this.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    # Statements carry prompts, which are no business of a log.
    "log_min_error_statement": "panic",
}
# For tests: a crash of the machine may lose the data, a crash of the server does not.
_CARELESS = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """One cluster in `data`/data with one superuser, `likeness`, who always needs the password.

    Args:
        binaries: programs that the server's account can run.
        data: a folder of the server's account.
        password: for `likeness`.
        new_password: the one in `data` is unknown and must be replaced.
        durable: False only where losing the data is nothing.
    """

    name = "postgres"
    # Fast shutdown: open transactions are rolled back, everything is written, clients are not waited for.
    stop_signal = signal.SIGINT
    # Immediate shutdown: with nobody left to insist, being gone comes first; the next start recovers from the log.
    death_signal = signal.SIGQUIT

    def __init__(self, *, binaries: Binaries, data: Path, password: str, new_password: bool, durable: bool) -> None:
        self._binaries = binaries
        self._folder = data
        self._cluster = data / "data"
        self._password = password
        self._new_password = new_password
        self._durable = durable

    def prepare(self, *, launch: Launch) -> None:
        """Make the cluster where there is none, and clear what a killed server left behind."""
        for draft in self._folder.glob("draft-*"):
            if draft.suffix == ".password":
                draft.unlink()
            else:
                shutil.rmtree(draft)
        if not self._cluster.exists():
            self._create(launch)
        elif self._new_password:
            self._single_user(launch, self._cluster, f"ALTER ROLE {USER} PASSWORD '{self._password}';\n")
        self._new_password = False
        self._check_version()
        # Nobody holds the data's lock but us: whatever process has that number now, it is not this server.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def command(self, port: int) -> Sequence[str]:
        settings = {**_SETTINGS, "port": str(port), **({} if self._durable else _CARELESS)}
        flags = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return (str(self._binaries.postgres), "-D", str(self._cluster), *flags)

    def feed(self, port: int) -> bytes:  # noqa: ARG002  part of the contract; this server reads nothing
        return b""

    def answers(self, *, port: int, pid: int) -> bool:  # noqa: ARG002  as above: the file names the process
        """What `pg_ctl` looks at: the postmaster writes its status to the last line of its pid file."""
        try:
            lines = (self._cluster / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _create(self, launch: Launch) -> None:
        # Under another name until complete: a half-made cluster is never taken for a real one.
        draft = self._folder / f"draft-{secrets.token_hex(4)}"
        password_file = self._folder / f"draft-{secrets.token_hex(4)}.password"
        # By descriptor from here on: in a folder of the account's, a root user must not follow names.
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{self._password}\n")
                if launch.account is not None:
                    launch.account.owns(file.fileno())
            launch.run(self._initdb(draft, password_file))
        finally:
            password_file.unlink()
        self._single_user(launch, draft, f"CREATE DATABASE {DATABASE};\n", "-c", "fsync=off")
        if self._durable:
            # Once for everything: a thousand single files took 4 s on a busy disk, the file system 0.1 s (Linux alone).
            method = "syncfs" if sys.platform == "linux" else "fsync"
            launch.run((str(self._binaries.initdb), "-D", str(draft), "--sync-only", f"--sync-method={method}"))
        draft.rename(self._cluster)

    def _initdb(self, draft: Path, password_file: Path) -> Sequence[str]:
        return (
            str(self._binaries.initdb),
            *("--pgdata", str(draft), "--username", USER, "--pwfile", str(password_file)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions", "--no-sync"),
            # The same order and the same case folding on every machine, whatever its C library knows.
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
        )

    def _single_user(self, launch: Launch, cluster: Path, statement: str, *flags: str) -> None:
        program = str(self._binaries.postgres)
        command = (program, "--single", "-D", str(cluster), "-c", "log_checkpoints=off", *flags, "postgres")
        launch.run(command, feed=statement.encode("ascii"))

    def _check_version(self) -> None:
        try:
            version = (self._cluster / "PG_VERSION").read_text("ascii").strip()
        except FileNotFoundError:
            version = "an unknown version"
        if version != POSTGRES_MAJOR:
            raise ServersUnavailable(
                f"the data in {str(self._cluster)!r} was written by PostgreSQL {version}, and this is {POSTGRES_MAJOR}",
                advice=f"Use the release of Likeness that wrote it to dump it (pg_dump), or move {str(self._folder)!r} "
                "away to start with empty books.",
            )
