"""Client of a drawing process: sends orders and waits for the files. `sandbox.drawing.child` is the other end."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to draw.

    Attributes:
        references: files of reference pictures.
        weight: 0 (no likeness) to 1.
        tiles: (variation, file to write) for each picture.
        size: width and height in pixels.
        ancestry: (seed, variation) of the pictures that these are variations of, the first one first.
        finishes: nothing is drawn: what is done to the one reference instead, `upscale` or `background`.
    """

    prompt: str
    references: Sequence[str]
    weight: float
    seed: int
    tiles: Sequence[tuple[int, str]]
    size: tuple[int, int]
    ancestry: Sequence[tuple[int, int]] = ()
    finishes: str = ""


class NotDrawn(Exception):
    """An order that could not be drawn; the message is the drawing process's."""


class UnreadableReference(NotDrawn):
    """A reference file that is not a picture."""


class Artist:
    """Client of one drawing process, which is started at the first order and again if it dies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def draw(self, order: Order) -> None:
        """Returns when all files are written; raises `NotDrawn`."""
        with self._lock:
            answer = self._ask(json.dumps(asdict(order)))
        if "unreadable" in answer:
            raise UnreadableReference(answer["unreadable"])
        if "failed" in answer:
            raise NotDrawn(answer["failed"])

    def close(self) -> None:
        """End the process; an order in progress raises `NotDrawn`."""
        self._closed = True
        if self._process is not None:
            self._process.kill()  # the thread that waits for its answer reaps it
            self._process.wait()

    def _ask(self, line: str) -> dict[str, str]:
        for _ in range(2):  # a dead process is replaced once per order
            if self._closed:
                break
            if self._process is None or self._process.poll() is not None:
                self._process = _start()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
                reply = self._process.stdout.readline()
            except BrokenPipeError:
                reply = ""
            if reply:
                return dict(json.loads(reply))
            _reap(self._process)
        raise NotDrawn("the drawing process died over this order")


def _reap(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # flushes buffered input to the dead process
                pipe.close()


def _start() -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.drawing.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C is for the sandbox; this process ends with its input.
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )
