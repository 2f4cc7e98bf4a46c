"""Supervise child processes: start them, forward their output, restart them, stop them in order.

Used by `likeness up`, `run` and `demo` for the workers; embedded servers have a keeper of their own (`embedded/`).
Children call `die_with_parent()` at the start of their main, so that none outlives a killed parent.
"""

import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Self

PARENT_PIPE = "LIKENESS_PARENT_PIPE"
# A child that ran this long before it died is restarted as if for the first time.
STEADY_AFTER_S = 30.0
LONGEST_LINE_BYTES = 64 * 1024
# Exit statuses that mean a restart will fail the same way: bad input, or something is missing
# (`LikenessError.exit_code`). Failures that may pass have another status (`runtime.process`).
PERMANENT_EXITS = frozenset({2, 3})
MAX_PERMANENT_EXITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to keep running.

    Args:
        name: prefix of its output lines; unique among the children.
        argv: the command.
        env: its whole environment.
        log: a file that its output is appended to as well.
        restarts: whether it is restarted when it ends by itself.
        grace_s: time between SIGTERM and SIGKILL.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    log: Path | None = None
    restarts: bool = True
    grace_s: float = 15.0


class ChildEvent(StrEnum):
    STARTED = "started"
    ENDED = "ended"  # by itself, with any status; `again_in_s` says whether it is restarted
    GAVE_UP = "gave_up"  # ended too often in a row; it is not restarted
    STOPPED = "stopped"  # on request


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildReport:
    """An event of a child.

    Args:
        status: exit status, negative for a signal; None while it runs.
        again_in_s: seconds until the restart; None when there is none.
    """

    happening: ChildEvent
    name: str
    pid: int
    status: int | None = None
    again_in_s: float | None = None


class Supervisor:
    """A context manager that runs children; leaving it stops them.

    Args:
        on_line: called with a child's name and one line of its output, without the line's end.
        on_report: called with each event. Both callbacks run in several threads, one call at a time, and must not call
            this object.
        stop_order: groups of names; each group is stopped together, after the group before it has ended. Children that
            are not named stop first, the latest started first.
        first_pause_s: before the first restart; doubles up to `longest_pause_s`.
        gives_up_after: quick deaths in a row after which a child is given up. Three permanent exit statuses in a row
            are enough, however long the child ran.
    """

    def __init__(
        self,
        on_line: Callable[[str, str], None],
        on_report: Callable[[ChildReport], None],
        *,
        stop_order: Sequence[Sequence[str]] = (),
        first_pause_s: float = 0.5,
        longest_pause_s: float = 30.0,
        gives_up_after: int = 8,
    ) -> None:
        self._stop_order = stop_order
        self._children: dict[str, _SupervisedChild] = {}
        # Never written to: children see it close when this process dies.
        self._pipe_reader, self._pipe_writer = os.pipe()
        self._shared = _Shared(
            on_line=on_line,
            on_report=on_report,
            parent_pipe=self._pipe_reader,
            first_pause_s=first_pause_s,
            longest_pause_s=longest_pause_s,
            gives_up_after=gives_up_after,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        os.close(self._pipe_reader)
        os.close(self._pipe_writer)

    def start(self, child: Child) -> None:
        """Start `child` and supervise it.

        Raises:
            ValueError: a child of that name exists.
            OSError: its program cannot be run.
        """
        if child.name in self._children:
            raise ValueError(f"there is a child {child.name!r} already")
        supervised = _SupervisedChild(child, self._shared)
        supervised.begin()
        self._children[child.name] = supervised

    def pids(self) -> dict[str, int]:
        """Ids of the running processes, by name."""
        return {name: one.pid for name, one in self._children.items() if one.is_running}

    def given_up(self) -> tuple[str, ...]:
        """Children that ended by themselves and are not restarted."""
        return tuple(name for name, one in self._children.items() if one.is_over)

    def stop(self) -> None:
        """Stop every child in order; returns when all have ended. May be called again."""
        for wave in self._waves():
            for one in wave:
                one.ask_to_stop()
            for one in wave:
                one.finish()

    def _waves(self) -> Iterator[list["_SupervisedChild"]]:
        named = {name for wave in self._stop_order for name in wave}
        for name in reversed(list(self._children)):
            if name not in named:
                yield [self._children[name]]
        for wave in self._stop_order:
            yield [self._children[name] for name in wave if name in self._children]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """State shared by the children: callbacks and restart policy."""

    on_line: Callable[[str, str], None]
    on_report: Callable[[ChildReport], None]
    parent_pipe: int
    first_pause_s: float
    longest_pause_s: float
    gives_up_after: int
    one_call: threading.Lock = field(default_factory=threading.Lock)

    def line(self, name: str, text: str) -> None:
        with self.one_call:
            self.on_line(name, text)

    def report(self, report: ChildReport) -> None:
        with self.one_call:
            self.on_report(report)

    def spawn(self, child: Child) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  commands of our own
            child.argv,
            env={**child.env, PARENT_PIPE: str(self.parent_pipe)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(self.parent_pipe,),
            # Ctrl-C reaches only the parent, which then stops its children in order.
            start_new_session=True,
        )

    def pause_s(self, deaths: int) -> float | None:
        """The pause after the `deaths`-th quick death in a row; None to give up."""
        if deaths >= self.gives_up_after:
            return None
        return min(self.first_pause_s * 2.0 ** (deaths - 1), self.longest_pause_s)


class _SupervisedChild:
    """One child over all its starts, with a thread that waits for its end."""

    def __init__(self, child: Child, shared: _Shared) -> None:
        self._child = child
        self._shared = shared
        self._stop_requested = threading.Event()
        self._signals = threading.Lock()
        self._thread = threading.Thread(target=self._supervise, name=f"child-{child.name}", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._quick_deaths = 0
        self._permanent_exits = 0
        self.is_over = False

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def begin(self) -> None:
        self._spawn()
        self._thread.start()

    def ask_to_stop(self) -> None:
        with self._signals:
            self._stop_requested.set()
            self._signal(signal.SIGTERM)

    def finish(self) -> None:
        self._thread.join(self._child.grace_s)
        if self._thread.is_alive():
            with self._signals:
                self._signal(signal.SIGKILL)
            self._thread.join()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                # The whole process group, with everything that the child started.
                os.killpg(self._process.pid, number)
            else:
                # Not `send_signal`, which would read the status of a dead child before `_wait_and_sweep` does.
                os.kill(self._process.pid, number)

    def _spawn(self) -> None:
        self._process = self._shared.spawn(self._child)
        self._started_at = time.monotonic()
        self._shared.report(ChildReport(happening=ChildEvent.STARTED, name=self._child.name, pid=self._process.pid))

    def _supervise(self) -> None:
        while True:
            pause_s = self._run_once()
            if pause_s is None or self._stop_requested.wait(pause_s):
                return
            with self._signals:
                # Under the lock, so that no child starts after a stop was requested.
                if self._stop_requested.is_set():
                    return
                try:
                    self._spawn()
                except OSError as error:
                    self._shared.line(self._child.name, f"cannot be restarted: {error}")
                    self.is_over = True
                    return

    def _run_once(self) -> float | None:
        """Wait for the process to end; returns the pause before the restart, None for no restart."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        reader = threading.Thread(target=self._forward, args=(process.stdout,), daemon=True)
        reader.start()
        status = self._wait_and_sweep(process)
        # A stray descendant may keep the pipe open; do not wait for its output.
        reader.join(5.0)
        return self._judge(process.pid, status)

    def _wait_and_sweep(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of `process` and kill what is left of its process group.

        Until its status is read, its id cannot be reused, so the group id is still its own. Where the system has no
        `waitid` (macOS before Python 3.13), the group is not killed.
        """
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with self._signals, suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
        return process.wait()

    def _judge(self, pid: int, status: int) -> float | None:
        name = self._child.name
        if self._stop_requested.is_set():
            self._shared.report(ChildReport(happening=ChildEvent.STOPPED, name=name, pid=pid, status=status))
            return None
        pause_s = self._pause_s(status)
        self.is_over = pause_s is None
        has_given_up = self.is_over and self._child.restarts
        happening = ChildEvent.GAVE_UP if has_given_up else ChildEvent.ENDED
        report = ChildReport(happening=happening, name=name, pid=pid, status=status, again_in_s=pause_s)
        self._shared.report(report)
        return pause_s

    def _pause_s(self, status: int) -> float | None:
        """The pause before the restart after an exit by itself; None for no restart."""
        is_final = status in PERMANENT_EXITS
        # A permanent exit counts as quick however long the child ran: loading torch alone may take longer than this.
        is_quick = is_final or time.monotonic() - self._started_at < STEADY_AFTER_S
        self._quick_deaths = self._quick_deaths + 1 if is_quick else 1
        self._permanent_exits = self._permanent_exits + 1 if is_final else 0
        if not self._child.restarts or self._permanent_exits >= MAX_PERMANENT_EXITS:
            return None
        return self._shared.pause_s(self._quick_deaths)

    def _forward(self, output: IO[bytes]) -> None:
        with output, _appending(self._child.log) as log:
            for line in iter(lambda: output.readline(LONGEST_LINE_BYTES), b""):
                if log is not None:
                    log.write(line)
                    log.flush()
                self._shared.line(self._child.name, line.decode("utf-8", "replace").rstrip("\r\n"))


@contextmanager
def _appending(path: Path | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    with path.open("ab") as file:
        yield file


def die_with_parent(*, grace_s: float = 10.0) -> None:
    """End this process when the `Supervisor` that started it is gone, even if that was killed.

    Sends itself SIGTERM, and SIGKILL after `grace_s`. Call it early in a child's main; it does nothing in a process
    that was started by hand. Uses a pipe and not PR_SET_PDEATHSIG, which fires when the *thread* that started the child
    ends and exists only on Linux.
    """
    descriptor = _parent_pipe()
    if descriptor is not None:
        threading.Thread(target=_watch_parent, args=(descriptor, grace_s), name="parent-watch", daemon=True).start()


def _parent_pipe() -> int | None:
    # Removed from the environment, because the parent of our own children is this process.
    number = os.environ.pop(PARENT_PIPE, "")
    if not number.isdigit():
        return None
    descriptor = int(number)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return None
    except OSError:
        return None
    os.set_inheritable(descriptor, False)
    return descriptor


def _watch_parent(descriptor: int, grace_s: float) -> None:
    os.read(descriptor, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    if os.getpgid(0) == os.getpid():
        # The leader of a process group that the `Supervisor` made: kill the whole group.
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
