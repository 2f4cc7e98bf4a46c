"""File locks that the kernel releases when their holder dies, and the question who holds one.

`flock` and not `fcntl` ranges: it belongs to the open file, so a server inherits it with the descriptor, keeps it
for as long as any process of it lives, and needs to know nothing of it.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

POLL_S = 0.02


class FileLock:
    """One open lock file; nothing is locked until asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._fd

    def try_exclusive(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def unlock(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def is_current(self) -> bool:
        """Whether the path still names the file that is open here; False after somebody removed it."""
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def close(self) -> None:
        """Let go of this descriptor; the lock lives on where a child inherited it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self._fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def wait_until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = POLL_S) -> bool:
    """Ask `condition` until it holds; False when `timeout_s` went by first."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


@contextmanager
def exclusive(path: Path, *, timeout_s: float) -> Iterator[FileLock]:
    """Hold `path` alone.

    Raises:
        TimeoutError: another process kept it for `timeout_s`.
    """
    with FileLock(path) as lock:
        if not wait_until(lock.try_exclusive, timeout_s=timeout_s):
            raise TimeoutError(f"{path} is held by another process since {timeout_s:.0f} s")
        yield lock


def holders(path: Path) -> list[int]:
    """Processes other than this one that have `path` open; empty where /proc does not tell (macOS)."""
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return []
    return [pid for pid in _pids() if pid != os.getpid() and _has_open(pid, wanted)]


def _pids() -> Iterator[int]:
    with suppress(FileNotFoundError):
        yield from (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit())


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    # A process may end, or belong to somebody else, while we look: then it is none of ours.
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for descriptor in descriptors:
            with suppress(OSError):
                seen = descriptor.stat()
                if (seen.st_dev, seen.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
    return False
