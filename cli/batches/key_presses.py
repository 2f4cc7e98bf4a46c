"""Read single key presses from a terminal, without Enter and without echo."""

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

#: What terminals send for the arrow keys, and what each is called here.
_NAMES: Final = {b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down", b"\t": "down"}
#: The rest of an escape sequence follows its first byte at once, over a slow line a little later.
_SEQUENCE_S: Final = 0.05

#: Waits up to so many seconds for a key; "" if none was pressed.
NextKey = Callable[[float], str]


@contextlib.contextmanager
def key_presses() -> Iterator[NextKey | None]:
    """The next key as a callable; None where standard input is not a terminal. Restores the terminal's settings."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield None
        return
    if not sys.stdin.isatty():
        yield None
        return
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    # By default SIGTERM would end the process at once, and leave the terminal without echo and cursor.
    terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        tty.setcbreak(handle, termios.TCSANOW)
        yield lambda seconds: _next(handle, seconds)
    finally:
        # Not TCSADRAIN: that waits for ever on a terminal that nobody reads any more.
        termios.tcsetattr(handle, termios.TCSANOW, before)
        signal.signal(signal.SIGTERM, terminated)


def _next(handle: int, seconds: float) -> str:
    """One key. What is typed ahead stays in the terminal, so that no key is lost."""
    if not _is_ready(handle, seconds):
        return ""
    pressed = os.read(handle, 1)
    if not pressed:
        time.sleep(seconds)  # The input has ended, and would be ready for ever.
        return ""
    while pressed[:1] == b"\x1b" and len(pressed) < 3 and _is_ready(handle, _SEQUENCE_S):
        pressed += os.read(handle, 1)
    return _NAMES.get(pressed) or pressed.decode("ascii", errors="ignore")


def _is_ready(handle: int, seconds: float) -> bool:
    return bool(select.select([handle], [], [], seconds)[0])
