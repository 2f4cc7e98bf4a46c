"""Run a sandbox as a child process, for tests, the demo and other commands.

The child ends with its parent, even if that is killed, because it watches its standard input.
"""

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STARTING_TIMEOUT_S = 60.0  # a busy machine takes seconds to start an interpreter
ENDING_TIMEOUT_S = 20.0
LINE = "listening "


class NotStarted(Exception):
    """The sandbox ended before it listened; the message has its error output."""


class SandboxProcess:
    """One child on one data folder; can be started again after `kill` or `stop`.

    Args:
        data: the folder; the child's standard error goes to `stderr.log` in it.
        port: 0 lets the system choose one at each start.
        options: further command line options; `concurrency=3` is `--concurrency 3`.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int = 0,
        latency_s: float = 0.05,
        size_px: int = 256,
        **options: object,
    ) -> None:
        self._data, self._port = data, port
        self._arguments = [f"--latency={latency_s}", f"--size={size_px}"]
        self._arguments += [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._process is not None, "the sandbox was not started"
        return self._process.pid

    def start(self) -> str:
        """Start the child; returns its base URL once it listens. Raises `NotStarted`."""
        assert self._process is None, "the sandbox runs already"
        self._data.mkdir(parents=True, exist_ok=True)
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-m", "sandbox", f"--data={self._data}", f"--port={self._port}", "--exit-with-stdin"]
        with (self._data / "stderr.log").open("a") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - this very package
                command + self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=os.environ | {"PYTHONPATH": path},
                # Ctrl-C is for the parent, which then ends this child in order.
                start_new_session=True,
            )
        line = self._first_line(self._process)
        if not line.startswith(LINE):
            self.kill()
            raise NotStarted(f"the sandbox did not start: {(self._data / 'stderr.log').read_text()[-2000:]}")
        self.url = line.removeprefix(LINE).strip()
        return self.url

    def stop(self) -> None:
        """End the child in order; does nothing if it is not running."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(ENDING_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._forget()

    def kill(self) -> None:
        """Kill the child, as a crash would; does nothing if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def _forget(self) -> None:
        assert self._process is not None
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def _first_line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        deadline = time.monotonic() + STARTING_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return ""
        return process.stdout.readline()


@contextmanager
def running(
    data: Path, *, port: int = 0, latency_s: float = 0.05, size_px: int = 256, **options: object
) -> Iterator[str]:
    """Run a sandbox during the block; yields its base URL."""
    process = SandboxProcess(data, port=port, latency_s=latency_s, size_px=size_px, **options)
    try:
        yield process.start()
    finally:
        process.stop()
