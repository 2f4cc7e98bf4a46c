"""One server process: started over its data by one keeper at a time, watched, stopped, never doubled.

The data's lock is inherited by the server, so it is held exactly as long as any process of that server lives; what
the server is (arguments, readiness, signals) stands in `postgres.py` and `redis.py`.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from runtime.embedded import logs
from runtime.embedded.account import Account
from runtime.embedded.errors import ServersUnavailable
from runtime.embedded.locks import FileLock, holders, wait_until

# A server whose keeper died is told to stop by the kernel; one that is still at it after this is killed.
ORPHAN_PATIENCE_S = 10.0
STOP_PATIENCE_S = 30.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Program(Protocol):
    """What differs between the servers."""

    name: str
    stop_signal: signal.Signals
    """Asks for an orderly end."""
    death_signal: signal.Signals
    """What the kernel sends it when the keeper has died."""

    def prepare(self, *, launch: "Launch") -> None:
        """Make the data ready; called while nobody else holds it."""

    def command(self, port: int) -> Sequence[str]:
        """The foreground command; nothing secret in it."""

    def feed(self, port: int) -> bytes:
        """What the server reads from its standard input."""

    def answers(self, *, port: int, pid: int) -> bool:
        """Whether the server takes clients now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How every process of one server is started."""

    name: str
    account: Account | None
    data: Path
    log: Path
    env: Mapping[str, str]
    lock: FileLock

    def spawn(self, command: Sequence[str], *, feed: bytes = b"", death: signal.Signals) -> subprocess.Popen[bytes]:
        """Start `command` as the account, told `death` by the kernel when this process dies (Linux)."""
        log = logs.open_for_appending(self.log)
        try:
            process = subprocess.Popen(  # noqa: S603  programs of the installed wheels
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.data,
                env=dict(self.env),
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                umask=0o077,
                start_new_session=True,
                pass_fds=(self.lock.fileno(),),
                preexec_fn=_die_with_this_process(death),  # noqa: PLW1509  the keeper has no threads
            )
        except OSError as error:
            raise ServersUnavailable(f"{self.name} could not be started: {error.strerror}", log=self.log) from error
        finally:
            os.close(log)
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(feed)
        return process

    def run(self, command: Sequence[str], *, feed: bytes = b"") -> None:
        """Run a program of this server to its end.

        Raises:
            ServersUnavailable: it ended with a status other than 0.
        """
        status = self.spawn(command, feed=feed, death=signal.SIGKILL).wait()
        if status != 0:
            raise ServersUnavailable(
                f"{Path(command[0]).name} ended with status {status}", log=self.log, log_tail=logs.tail(self.log)
            )


def _die_with_this_process(death: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    keeper = os.getpid()

    def ask_the_kernel() -> None:
        # After the change of user (which would clear it) and before exec (which keeps it).
        _LIBC.prctl(_PR_SET_PDEATHSIG, death)
        if os.getppid() != keeper:
            os._exit(1)

    return ask_the_kernel


class Server:
    """The life of one server over one data folder.

    Args:
        program: what to run.
        account: as whom; None for the keeper's own user.
        data: its folder, which this server alone uses.
        lock: the file whose lock stands for that folder.
        log: where its output goes.
        env: its whole environment.
    """

    def __init__(
        self, program: Program, *, account: Account | None, data: Path, lock: Path, log: Path, env: Mapping[str, str]
    ) -> None:
        self.program = program
        self.port = 0
        self._account = account
        self._data = data
        self._lock = lock
        self._log = log
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    def start(self, port: int) -> None:
        """Start over the data once nobody else holds it; `is_ready` tells when it takes clients."""
        self.port = port
        with FileLock(self._lock) as lock:
            self._wait_for_former(lock)
            launch = Launch(
                name=self.name, account=self._account, data=self._data, log=self._log, env=self._env, lock=lock
            )
            self.program.prepare(launch=launch)
            self._process = launch.spawn(
                self.program.command(port), feed=self.program.feed(port), death=self.program.death_signal
            )

    def exit_status(self) -> int | None:
        """The status of a server that ended (negative: the signal), None while it runs."""
        return None if self._process is None else self._process.poll()

    def is_ready(self) -> bool:
        return self.program.answers(port=self.port, pid=self.pid)

    def failed(self, what: str) -> ServersUnavailable:
        """The error that `what` amounts to, with the log's tail."""
        return ServersUnavailable(f"{self.name} {what}", log=self._log, log_tail=logs.tail(self._log))

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.program.stop_signal)

    def finish(self) -> None:
        """Wait for the end that was asked for; insist when it does not come."""
        if self._process is None:
            return
        for patience_s, harder in ((STOP_PATIENCE_S, signal.SIGQUIT), (STOP_PATIENCE_S / 3, signal.SIGKILL)):
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._process.send_signal(harder)
        self._process.wait()

    def bound_log(self) -> None:
        logs.bound(self._log)

    def _wait_for_former(self, lock: FileLock) -> None:
        if wait_until(lock.try_exclusive, timeout_s=ORPHAN_PATIENCE_S):
            return
        # The lock tells who they are beyond doubt: whoever has this file open is a process of the former server.
        for pid in holders(lock.path):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not wait_until(lock.try_exclusive, timeout_s=ORPHAN_PATIENCE_S):
            raise ServersUnavailable(
                f"a former {self.name} still holds {str(self._data)!r} (processes {holders(lock.path)})",
                advice="End these processes and start again.",
            )
