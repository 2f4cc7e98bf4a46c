"""The keeper: one process per home that runs both servers, and ends them when their last user has gone.

Started by `stack.py` with the standard library alone (`python -I -S`), detached from the user's terminal. It talks
to the one who started it once, by one line of JSON, and to everybody else by `servers.json` and the locks.
"""

import json
import os
import secrets
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtime.embedded import logs, ports
from runtime.embedded.account import Account, account_for
from runtime.embedded.binaries import Binaries, copied
from runtime.embedded.errors import ServersUnavailable
from runtime.embedded.guard import Guard
from runtime.embedded.layout import SERVERS, Layout, read_password, settle_data, shared_place, write_privately
from runtime.embedded.locks import FileLock, wait_until
from runtime.embedded.postgres import Postgres
from runtime.embedded.redis import Redis
from runtime.embedded.server import Program, Server

TICK_S = 0.2
LOOK_AT_LOGS_S = 10.0
# Recovery after a crash reads everything written since the last checkpoint, up to 1 GB of WAL.
READY_WITHIN_S = 170.0
FIRST_START_TRIES = 5
# More deaths than this within a minute are no accident.
DEATHS_ALLOWED = 6
DEATHS_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What a keeper is started with; travels on its command line, so nothing secret."""

    home: str
    durable: bool
    linger_s: float
    postgres: str
    initdb: str
    redis: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def binaries(self) -> Binaries:
        return Binaries(postgres=Path(self.postgres), initdb=Path(self.initdb), redis=Path(self.redis))


class StopAsked(Exception):
    """SIGTERM or SIGINT came while the servers were starting."""


class Keeper:
    """Both servers of one home, from the first user to the last."""

    def __init__(self, orders: Orders, *, lock: FileLock) -> None:
        self._orders = orders
        self._layout = Layout(home=Path(orders.home))
        self._lock = lock
        self._start_lock = FileLock(self._layout.start_lock)
        self._users_lock = FileLock(self._layout.users_lock)
        self._guard = Guard()
        self._servers: list[Server] = []
        self._deaths: list[float] = []
        self._idle_since: float | None = None
        self._logs_seen = 0.0
        self._stop_asked = False
        self._alarm, alarm_writer = os.pipe()
        os.set_blocking(self._alarm, False)
        os.set_blocking(alarm_writer, False)
        signal.set_wakeup_fd(alarm_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def start(self) -> None:
        """Bring up both servers and tell the world.

        Raises:
            ServersUnavailable: one of them would not; neither is left running.
        """
        try:
            self._servers = self._make_servers()
            for server in self._servers:
                self._start_first(server)
            for server in self._servers:
                self._await_ready(server)
        except BaseException:
            self._stop_servers()
            raise
        self._publish()

    def watch(self) -> None:
        """Mend what dies, until nobody uses the servers or somebody asks to stop; then stop them."""
        try:
            while not (self._stop_asked or self._is_abandoned() or self._is_over()):
                self._mend()
                self._bound_logs()
                select.select([self._alarm], [], [], TICK_S)
                with suppress(BlockingIOError):
                    os.read(self._alarm, 4096)
        except StopAsked:
            pass
        finally:
            # Whoever comes now waits for the start lock until the servers are gone, and starts anew.
            self._start_lock.try_exclusive()
            if self._lock.is_current():
                self._layout.state.unlink(missing_ok=True)
            self._stop_servers()

    def _on_stop(self, *_: object) -> None:
        self._stop_asked = True

    def _make_servers(self) -> list[Server]:
        layout, durable = self._layout, self._orders.durable
        account = account_for(layout.data("postgres"))
        binaries = _usable(self._orders.binaries(), account)
        known = read_password(layout)
        password = known or secrets.token_hex(24)
        if known is None:
            write_privately(layout.password, f"{password}\n")
        data = {name: settle_data(layout, name, account=account) for name in SERVERS}
        programs: tuple[Program, ...] = (
            Postgres(
                binaries=binaries,
                data=data["postgres"],
                password=password,
                new_password=known is None,
                durable=durable,
            ),
            Redis(binaries=binaries, data=data["redis"], password=password, durable=durable),
        )
        env = _plain_environment()
        return [
            Server(
                program,
                account=account,
                data=data[program.name],
                lock=layout.server_lock(program.name),
                log=layout.log(program.name),
                env=env,
            )
            for program in programs
        ]

    def _start_first(self, server: Server) -> None:
        taken = frozenset(other.port for other in self._servers)
        server.start(ports.choose(_former_ports(self._layout).get(server.name), avoid=taken))
        self._guard.watch(server.name, server.pid, server.program.death_signal)

    def _await_ready(self, server: Server) -> None:
        for attempt in range(FIRST_START_TRIES):
            self._wait_for(server)
            status = server.exit_status()
            if status is None:
                return
            # Between our choice and its start somebody else may have taken the port.
            if attempt + 1 == FIRST_START_TRIES or ports.is_free(server.port):
                raise server.failed(f"did not start: it ended with status {status}")
            self._start_first(server)

    def _wait_for(self, server: Server) -> None:
        """Until `server` takes clients or has ended."""

        def decided() -> bool:
            if self._stop_asked:
                raise StopAsked
            return server.exit_status() is not None or server.is_ready()

        if not wait_until(decided, timeout_s=READY_WITHIN_S, poll_s=0.005):
            raise server.failed(f"takes no clients after {READY_WITHIN_S:.0f} s")

    def _publish(self) -> None:
        ready = {server.name: {"pid": server.pid, "port": server.port} for server in self._servers}
        former = {server.name: server.port for server in self._servers}
        write_privately(self._layout.ports, json.dumps(former))
        state = {"keeper": os.getpid(), "durable": self._orders.durable, **ready}
        write_privately(self._layout.state, json.dumps(state))

    def _mend(self) -> None:
        for server in self._servers:
            status = server.exit_status()
            if status is None:
                continue
            self._note_death(server, status)
            server.start(server.port)
            self._guard.watch(server.name, server.pid, server.program.death_signal)
            self._wait_for(server)
            if server.exit_status() is None:
                say(f"{server.name} is back on port {server.port} as process {server.pid}")
                self._publish()

    def _note_death(self, server: Server, status: int) -> None:
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < DEATHS_WITHIN_S] + [now]
        say(f"{server.name} (process {server.pid}) ended with status {status}; starting it again")
        if len(self._deaths) > DEATHS_ALLOWED:
            raise server.failed(f"died {len(self._deaths)} times within {DEATHS_WITHIN_S:.0f} s")
        # The first comes back at once, later ones after a pause: 0, 0.2, 0.4, 0.8, ...
        time.sleep(0.1 * 2 ** (len(self._deaths) - 1) if len(self._deaths) > 1 else 0)

    def _is_abandoned(self) -> bool:
        """Whether somebody removed the home under our feet: nobody can find these servers any more."""
        return not self._lock.is_current()

    def _is_over(self) -> bool:
        """Whether there is no user and, from now on, can be none: then both locks are ours."""
        if not self._users_lock.try_exclusive():
            self._idle_since = None
            return False
        self._users_lock.unlock()
        now = time.monotonic()
        self._idle_since = now if self._idle_since is None else self._idle_since
        if now - self._idle_since < self._orders.linger_s or not self._start_lock.try_exclusive():
            return False
        if self._users_lock.try_exclusive():
            return True
        self._start_lock.unlock()
        return False

    def _bound_logs(self) -> None:
        if time.monotonic() - self._logs_seen < LOOK_AT_LOGS_S:
            return
        self._logs_seen = time.monotonic()
        for server in self._servers:
            server.bound_log()
        logs.bound(self._layout.log("keeper"))

    def _stop_servers(self) -> None:
        for server in self._servers:
            server.ask_to_stop()
        for server in self._servers:
            server.finish()
            self._guard.forget(server.name)


def main() -> None:
    """Detach, keep the servers, and answer the one who started us on the original standard output."""
    orders = Orders(**json.loads(sys.argv[1]))
    if os.fork() > 0:
        # The starter waits for this process only: the keeper is nobody's child, and leaves no zombie behind.
        os._exit(0)
    os.setsid()
    os.umask(0o077)
    layout = Layout(home=Path(orders.home))
    answer = _redirect(layout.log("keeper"))
    with FileLock(layout.keeper_lock) as lock:
        # Somebody may be looking at this very moment whether a keeper lives, by trying the same lock.
        if not wait_until(lock.try_exclusive, timeout_s=2.0):
            # Its starter was killed before it was up; whoever waits for us shall wait for it.
            _answer(answer, {})
            return
        try:
            keeper = Keeper(orders, lock=lock)
            keeper.start()
        except StopAsked:
            _answer(answer, {"what": "the servers were told to stop while they started", "advice": "Try again."})
            return
        except (ServersUnavailable, OSError) as error:
            _answer(answer, _describe(error))
            return
        _answer(answer, {})
        try:
            keeper.watch()
        except (ServersUnavailable, OSError) as error:
            say(str(error))


def say(words: str) -> None:
    """One line in the keeper's log."""
    # A full disk must not silence the answer to the one who waits, nor end servers that still work.
    with suppress(OSError):
        sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {words}\n")
        sys.stderr.flush()


def _usable(binaries: Binaries, account: Account | None) -> Binaries:
    if account is None or all(account.reaches(program, os.R_OK | os.X_OK) for program in binaries.all()):
        return binaries
    return copied(binaries, shared_place())


def _former_ports(layout: Layout) -> Mapping[str, int]:
    try:
        former = json.loads(layout.ports.read_text("utf-8"))
        return {name: int(port) for name, port in former.items()}
    except (OSError, ValueError, AttributeError):
        # It only spares users a new address; without it new ports will do.
        return {}


def _plain_environment() -> Mapping[str, str]:
    # Nothing of the user's: the servers need no keys, and what they inherit could be read from /proc.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _redirect(log: Path) -> int:
    """Standard streams to null and `log`; returns a descriptor of the former standard output."""
    answer = os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    descriptor = logs.open_for_appending(log)
    for source, target in ((null, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(descriptor)
    return answer


def _describe(error: ServersUnavailable | OSError) -> dict[str, Any]:
    say(str(error))
    if isinstance(error, ServersUnavailable):
        log = None if error.log is None else str(error.log)
        return {"what": error.what, "advice": error.advice, "log": log, "log_tail": error.log_tail}
    return {"what": f"the servers did not start: {error}"}


def _answer(descriptor: int, answer: Mapping[str, Any]) -> None:
    # The one who started us may be gone already; the servers then end by themselves.
    with suppress(BrokenPipeError):
        os.write(descriptor, json.dumps(answer).encode() + b"\n")
    os.close(descriptor)
