"""Signs of life: each worker's main loop touches a file of its own, and a probe on the same host looks at its age.

A probe must be cheap and must not depend on what all workers share: one that asked through the broker would end every
worker of a cluster when the broker is away for a while. The loop that touches the file is the one that takes messages,
so a process that is wedged goes silent although it still exists.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EVERY_S: Final = 5.0
#: Longer than a loop is held up by a slow broker, and short beside the minutes that a probe is patient for.
STALE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOfLife:
    """The file of one process."""

    home: Path
    role: str

    @property
    def path(self) -> Path:
        return _folder(self.home) / f"{self.role}.{os.getpid()}"

    def give(self) -> None:
        """Touch the file. A disk that is full must not end a worker: the probe then misses its sign, and says so."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()

    def withdraw(self) -> None:
        self.path.unlink(missing_ok=True)


def ages_s(home: Path, role: str) -> Iterator[tuple[int, float]]:
    """Process and seconds since its last sign, for each process of the role; files of the dead are removed."""
    for path in _folder(home).glob(f"{role}.*"):
        pid = int(path.name.rpartition(".")[2])
        with suppress(FileNotFoundError):
            if _runs(pid):
                yield pid, max(time.time() - path.stat().st_mtime, 0.0)
            else:
                path.unlink()


def _folder(home: Path) -> Path:
    return home / "alive"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
