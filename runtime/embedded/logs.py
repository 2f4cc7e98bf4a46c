"""Log files that the servers write by themselves: their tail for an error, their size for the disk."""

import os
from pathlib import Path

LIMIT_BYTES = 4 * 1024 * 1024


def tail(path: Path, *, lines: int = 12, max_bytes: int = 4096) -> str:
    """The last lines of `path`; empty when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - max_bytes))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def bound(path: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
    """Keep `path` and its predecessor `path.1` under `limit_bytes` each.

    The writer keeps its descriptor (opened for appending), so the file is emptied in place; lines written between
    the copy and the truncation are lost, which is the price of a server that need not be told.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return
    if size <= limit_bytes:
        return
    with path.open("rb") as file:
        file.seek(size - limit_bytes)
        kept = file.read()
    path.with_name(f"{path.name}.1").write_bytes(kept)
    os.truncate(path, 0)


def open_for_appending(path: Path) -> int:
    """A descriptor for a child's output; the caller closes it."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
