"""A command on a real pseudo-terminal, whose screen a terminal emulator keeps."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import pyte

_PATIENCE_S = 120.0
_ROOT = Path(__file__).parents[2]


class TerminalSession:
    """`likeness` with these arguments, in a terminal of this size."""

    def __init__(self, *arguments: str, columns: int, lines: int, more: Mapping[str, str]) -> None:
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.settings_before = termios.tcgetattr(self._theirs)
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**kept, "TERM": "xterm-256color", "PYTHONPATH": str(_ROOT), **more},
            start_new_session=True,
        )

    @property
    def rows(self) -> list[str]:
        """What stands on the screen, without white space at the ends of lines."""
        return [row.rstrip() for row in self._screen.display]

    @property
    def cursor_is_visible(self) -> bool:
        return not self._screen.cursor.hidden

    @property
    def settings(self) -> list[object]:
        """Those of the terminal, such as its echo."""
        return list(termios.tcgetattr(self._theirs))

    def shows(self, words: str) -> None:
        """Wait until the screen shows the words; a sentence may go over the end of a line."""
        deadline = time.monotonic() + _PATIENCE_S
        while words not in " ".join("\n".join(self.rows).split()):
            assert time.monotonic() < deadline, "\n".join([f"waited in vain for {words!r}:", *self.rows])
            self._read(0.2)

    def presses(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def ends(self) -> int:
        """Read on until the command has ended: unread, a full terminal would hold it up for ever."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "\n".join(["it does not end:", *self.rows])
            self._read(0.1)
        while self._read(0):
            pass
        return self.process.returncode

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        said = os.read(self._ours, 65_536)
        self.raw += said
        self._stream.feed(said)
        return True
