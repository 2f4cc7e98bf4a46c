"""The end of the servers after the end of their keeper, where the kernel does not see to it (not Linux).

A small process of its own reads from the keeper which servers live; when the keeper dies, however it dies, the pipe
closes, and the guard stops what is left.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from runtime.embedded.locks import wait_until

PATIENCE_S = 20.0
BOOT = "import sys; sys.path.append(sys.argv.pop(1)); from runtime.embedded.{0} import main; main()"
ROOT = Path(__file__).resolve().parents[2]


class Guard:
    """The keeper's side. On Linux every server has asked the kernel for the same, and this does nothing."""

    def __init__(self, *, needed: bool = sys.platform != "linux") -> None:
        self._process = self._spawn() if needed else None

    def watch(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        self._tell(f"{name} {pid} {int(stop_signal)}\n")

    def forget(self, name: str) -> None:
        self._tell(f"{name} 0 0\n")

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.write(line.encode("ascii"))
                self._process.stdin.flush()

    @staticmethod
    def _spawn() -> subprocess.Popen[bytes]:
        command = (sys.executable, "-I", "-S", "-c", BOOT.format("guard"), str(ROOT))
        return subprocess.Popen(  # noqa: S603  this very program
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )


def main() -> None:
    """Read what lives until the keeper's end, then stop it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    living: dict[str, tuple[int, int]] = {}
    for line in sys.stdin:
        name, pid, stop_signal = line.split()
        living[name] = (int(pid), int(stop_signal))
    targets = {pid: stop_signal for pid, stop_signal in living.values() if pid}
    for pid, stop_signal in targets.items():
        with suppress(ProcessLookupError):
            os.kill(pid, stop_signal)
    wait_until(lambda: not any(_lives(pid) for pid in targets), timeout_s=PATIENCE_S)
    for pid in filter(_lives, targets):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
