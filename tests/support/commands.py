"""Run the command line as a person does, in processes of its own, and find every process that a run has left."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: For CLIP_MODEL: without it a gpu worker asks the hub for the weights of the default, gives up, and starts again.
SMALL_MODEL = str(ROOT / "sandbox" / "clip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one document of `--json`."""
        content: dict[str, Any] = json.loads(self.out)
        return content


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIKENESS_", "PYTEST_"))}
    return {**kept, "LIKENESS_HOME": str(home), "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **more}


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments]


def run(*arguments: str, home: Path, cwd: Path, timeout_s: float = 170, **more: str) -> Ended:
    """`likeness ARGUMENTS...`, to its end."""
    done = subprocess.run(
        argv(*arguments),
        cwd=cwd,
        env=environment(home, **more),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Ended(code=done.returncode, out=done.stdout, err=done.stderr)


def start(*arguments: str, home: Path, cwd: Path, **more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv(*arguments),
        cwd=cwd,
        env=environment(home, **more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def processes_of(home: Path) -> list[int]:
    """Every process that was started for this home, by its environment or its command; ours is not among them."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            seen = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            ended = (entry / "stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
        except OSError:
            continue
        if str(home).encode() in seen and not ended:
            found.append(int(entry.name))
    return found


def kill_all(home: Path) -> int:
    """SIGKILL for every process of the home, until none is left; returns how many there were."""
    killed: set[int] = set()
    deadline = time.monotonic() + 20
    while (pids := processes_of(home)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            killed.add(pid)
        time.sleep(0.05)
    return len(killed)


def wait_for(
    condition: Callable[[], bool], *, what: str, timeout_s: float = 60, found: Callable[[], object] | None = None
) -> None:
    """Wait until it is true; when time is up, say what is `found` instead."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            instead = "" if found is None else f"; found {found()}"
            raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}{instead}")
        time.sleep(0.1)


def bill(base_url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{base_url}/_sandbox/bill", timeout=60) as reply:
        content: dict[str, Any] = json.load(reply)
        return content


def write_prompts(path: Path, prompts: Sequence[str]) -> Path:
    path.write_text("prompt\n" + "".join(f'"{prompt}"\n' for prompt in prompts), encoding="utf-8")
    return path
