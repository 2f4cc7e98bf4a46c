"""Our own worker processes under one parent: started, listened to, started again, stopped in order.

For `likeness up`, `run` and `demo`. The servers have a keeper of their own (`embedded/`). A child of ours calls
`die_with_parent()` first thing in its main, so that nothing outlives a parent that was killed.
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
# A child that ran this long before it died starts again at once, as if for the first time.
STEADY_AFTER_S = 30.0
LONGEST_LINE_BYTES = 64 * 1024
# Exit statuses by which a process of ours says that the next start will end the same way: what it was given cannot be
# used, or what it needs is not there (`LikenessError.exit_code`). What may pass ends with another (`runtime.process`).
FINAL_WORDS = frozenset({2, 3})
FINAL_WORDS_BELIEVED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to run until told otherwise.

    Args:
        name: prefix of its lines; unique among its siblings.
        argv: the command.
        env: its whole environment.
        log: a file its lines are appended to as well.
        restarts: whether it is started again when it ends unasked.
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
    ENDED = "ended"  # by itself, whatever its status; `again_in_s` tells what follows
    GAVE_UP = "gave_up"  # ended too often in a row; it is not started again
    STOPPED = "stopped"  # because it was told to


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildReport:
    """Something that happened to a child.

    Args:
        status: exit status, negative for a signal; None while it runs.
        again_in_s: seconds until the next start; None when there will be none.
    """

    happening: ChildEvent
    name: str
    pid: int
    status: int | None = None
    again_in_s: float | None = None


class Supervisor:
    """A context in which children live; leaving it stops them.

    Args:
        on_line: called with a child's name and one line of its output, without the line's end.
        on_report: called with what happened. Both are called from several threads, one call at a time, and must not
            call back into this object.
        stop_order: names in waves: each wave is told to stop together, and the next waits for its end. Children that
            are not named stop first, the latest started first.
        first_pause_s: before the second of several starts in a row; doubles up to `longest_pause_s`.
        gives_up_after: quick deaths in a row after which a child stays dead. Where each of the last three said by its
            exit status that the next will be the same, that is enough, however long it took to find out.
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
        self._lives: dict[str, _Life] = {}
        # Never written to: it closes when this process dies, and that is the message.
        self._pipe_reader, self._pipe_writer = os.pipe()
        self._house = _House(
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
        """Start `child` and look after it.

        Raises:
            ValueError: a child of that name is there already.
            OSError: its program cannot be run.
        """
        if child.name in self._lives:
            raise ValueError(f"there is a child {child.name!r} already")
        life = _Life(child, self._house)
        life.begin()
        self._lives[child.name] = life

    def pids(self) -> dict[str, int]:
        """The processes that live now, by name."""
        return {name: life.pid for name, life in self._lives.items() if life.is_running}

    def given_up(self) -> tuple[str, ...]:
        """Children that ended for good without being told to."""
        return tuple(name for name, life in self._lives.items() if life.is_over)

    def stop(self) -> None:
        """Stop every child in order; returns when all have ended. Harmless when repeated."""
        for wave in self._waves():
            for life in wave:
                life.ask_to_stop()
            for life in wave:
                life.finish()

    def _waves(self) -> Iterator[list["_Life"]]:
        named = {name for wave in self._stop_order for name in wave}
        for name in reversed(list(self._lives)):
            if name not in named:
                yield [self._lives[name]]
        for wave in self._stop_order:
            yield [self._lives[name] for name in wave if name in self._lives]


@dataclass(frozen=True, slots=True, kw_only=True)
class _House:
    """What the children of one parent have in common."""

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
            # Ctrl-C in the terminal reaches the parent alone, which then stops its children in order.
            start_new_session=True,
        )

    def pause_s(self, deaths: int) -> float | None:
        """The pause after the `deaths`-th quick death in a row; None to give up."""
        if deaths >= self.gives_up_after:
            return None
        return min(self.first_pause_s * 2.0 ** (deaths - 1), self.longest_pause_s)


class _Life:
    """One child through all its starts, with a thread that waits for its end."""

    def __init__(self, child: Child, house: _House) -> None:
        self._child = child
        self._house = house
        self._told_to_stop = threading.Event()
        self._signals = threading.Lock()
        self._thread = threading.Thread(target=self._look_after, name=f"child-{child.name}", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._quick_deaths = 0
        self._final_words = 0
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
            self._told_to_stop.set()
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
                # The session: what the child started itself goes with it.
                os.killpg(self._process.pid, number)
            else:
                # Not `send_signal`, which would read the status of a dead child before `_wait_and_sweep` does.
                os.kill(self._process.pid, number)

    def _spawn(self) -> None:
        self._process = self._house.spawn(self._child)
        self._started_at = time.monotonic()
        self._house.report(ChildReport(happening=ChildEvent.STARTED, name=self._child.name, pid=self._process.pid))

    def _look_after(self) -> None:
        while True:
            pause_s = self._live_once()
            if pause_s is None or self._told_to_stop.wait(pause_s):
                return
            with self._signals:
                # Under the lock: a child must not be born between "stop" and the look at it.
                if self._told_to_stop.is_set():
                    return
                try:
                    self._spawn()
                except OSError as error:
                    self._house.line(self._child.name, f"cannot be started again: {error}")
                    self.is_over = True
                    return

    def _live_once(self) -> float | None:
        """Wait for the end of this start; returns the pause before the next, None for none."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        reader = threading.Thread(target=self._forward, args=(process.stdout,), daemon=True)
        reader.start()
        status = self._wait_and_sweep(process)
        # A stray descendant may hold the pipe open; its last words are not worth waiting for.
        reader.join(5.0)
        return self._judge(process.pid, status)

    def _wait_and_sweep(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of `process` and kill what is left of its session.

        Between its death and our reading of the status its number cannot be given to another process, so the group's
        number is still its own. Where the system cannot wait that way (macOS before Python 3.13), nothing is swept.
        """
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            with self._signals, suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
        return process.wait()

    def _judge(self, pid: int, status: int) -> float | None:
        name = self._child.name
        if self._told_to_stop.is_set():
            self._house.report(ChildReport(happening=ChildEvent.STOPPED, name=name, pid=pid, status=status))
            return None
        pause_s = self._pause_s(status)
        self.is_over = pause_s is None
        has_given_up = self.is_over and self._child.restarts
        happening = ChildEvent.GAVE_UP if has_given_up else ChildEvent.ENDED
        report = ChildReport(happening=happening, name=name, pid=pid, status=status, again_in_s=pause_s)
        self._house.report(report)
        return pause_s

    def _pause_s(self, status: int) -> float | None:
        """The pause after a death by itself; None for no further start."""
        is_final = status in FINAL_WORDS
        # Loading torch alone takes longer than this on a busy machine; such a life was not steady.
        is_quick = is_final or time.monotonic() - self._started_at < STEADY_AFTER_S
        self._quick_deaths = self._quick_deaths + 1 if is_quick else 1
        self._final_words = self._final_words + 1 if is_final else 0
        if not self._child.restarts or self._final_words >= FINAL_WORDS_BELIEVED:
            return None
        return self._house.pause_s(self._quick_deaths)

    def _forward(self, output: IO[bytes]) -> None:
        with output, _appending(self._child.log) as log:
            for line in iter(lambda: output.readline(LONGEST_LINE_BYTES), b""):
                if log is not None:
                    log.write(line)
                    log.flush()
                self._house.line(self._child.name, line.decode("utf-8", "replace").rstrip("\r\n"))


@contextmanager
def _appending(path: Path | None) -> Iterator[IO[bytes] | None]:
    if path is None:
        yield None
        return
    with path.open("ab") as file:
        yield file


def die_with_parent(*, grace_s: float = 10.0) -> None:
    """End this process when the one that started it through `Children` is gone, however it went.

    SIGTERM to itself first, so that it ends as it always does; SIGKILL after `grace_s`. To be called early in a
    child's main; does nothing in a process that was started by hand. A pipe and not PR_SET_PDEATHSIG, which fires
    when the *thread* that started the child ends, and which only Linux has.
    """
    descriptor = _parent_pipe()
    if descriptor is not None:
        threading.Thread(target=_watch_parent, args=(descriptor, grace_s), name="parent-watch", daemon=True).start()


def _parent_pipe() -> int | None:
    # Taken out of the environment: programs that this process starts have this one for a parent, not its own.
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
        # The leader of the group that `Children` made: what it started itself goes with it.
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
