"""The worker processes of one machine: who starts them, with what environment, and that there is one crew per home."""

import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import SecretStr

from runtime.embedded.locks import FileLock
from runtime.lanes import synchronous_lanes
from runtime.resources import server_urls
from runtime.settings import Settings
from runtime.supervisor import Child, ChildReport, Supervisor

#: Workers first, so that nothing new is begun; then beat; the stand-in for the providers last.
_STOP_ORDER = (("beat", "flower", "api"), ("io", "io-sync", "gpu"), ("sandbox",))
#: Without webhooks the poll finds out by itself, only later; Flower only looks.
_SPARED = frozenset({"api", "flower"})
#: A line as `runtime.process` has it written: level, logger, and the sentence.
_ERROR = re.compile(r"(?:ERROR|CRITICAL)(?: [\w.]+:)? *(?P<sentence>.*)")


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a child of this installation: ours, with every setting that was given here.

    So a child has the settings of its parent, also those that the parent was not given by its own environment: the
    addresses of embedded servers, a rehearsal's lanes. One that was given as none is written empty, because `.env`
    may name another. What nobody gave stays away, since it counts whether a person has said a limit.
    """
    server_urls(settings)
    given = {
        str(Settings.model_fields[name].validation_alias): _written(getattr(settings, name))
        for name in {"home", *settings.model_fields_set}
    }
    return {**os.environ, **given, "PYTHONUNBUFFERED": "1"}


def _written(value: object) -> str:
    """A setting as a variable holds it; a folder from its root, since a child may stand elsewhere."""
    match value:
        case None:
            return ""
        case Path():
            return str(value.resolve())
        case SecretStr():
            return value.get_secret_value()
        case _:
            return str(value)


def module_of(name: str) -> str:
    """The module that runs a role."""
    return {"io": "worker.main", "io-sync": "worker.sync", "api": "api.main"}.get(name, f"worker.{name}")


def role(name: str, settings: Settings, *, log: Path | None = None, grace_s: float = 65.0) -> Child:
    """A process of ours: `io`, `io-sync`, `gpu`, `beat`, `api` or `flower`."""
    # A submission is over after half a minute, a download after a minute; the one would be in doubt, the other a death.
    if name == "io-sync":
        # Its calls are paid and cannot be had again: the longest of them may come to its end.
        totals = [plan.submit_total_s or 0.0 for plan in synchronous_lanes(settings)]
        grace_s = max(totals, default=0.0) + 30.0
    return Child(
        name=name,
        argv=(sys.executable, "-m", module_of(name)),
        env=environment(settings),
        log=log,
        grace_s=grace_s,
    )


def roles(settings: Settings) -> list[str]:
    """Those that finish a batch on this machine, and the one that is called back, where an address is public."""
    long_calls = ["io-sync"] if synchronous_lanes(settings) else []
    called_back = ["api"] if settings.public_url is not None else []
    return ["io", *long_calls, "gpu", "beat", *called_back]


def workers(settings: Settings) -> list[Child]:
    """A process for each of the `roles`, with a file for what it says."""
    logs = logs_of(settings.home)
    logs.mkdir(parents=True, exist_ok=True)
    return [role(name, settings, log=logs / f"{name}.log") for name in roles(settings)]


def logs_of(home: Path) -> Path:
    """The folder where the members of a home's crew write what they say, a file each."""
    return home / "logs"


class Crew:
    """The right to run the workers of a home; at most one process has it, and the kernel frees it at its death."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(home / "crew.lock")
        self._logs = logs_of(home)
        self._stack = contextlib.ExitStack()
        self.children: Supervisor | None = None

    def try_start(
        self,
        members: Callable[[], Sequence[Child]],
        *,
        on_line: Callable[[str, str], None],
        on_report: Callable[[ChildReport], None],
    ) -> bool:
        """Start the members unless somebody runs a crew already, this process included.

        Returns:
            Whether this call started them. Call again now and then: whoever runs the crew may go.
        """
        if self.children is not None or not self._lock.try_exclusive():
            return False
        self.children = self._stack.enter_context(Supervisor(on_line, on_report, stop_order=_STOP_ORDER))
        for member in members():
            self.children.start(member)
        return True

    def given_up(self) -> tuple[str, ...]:
        """Members that ended too often in a row and stay down."""
        return self.children.given_up() if self.children is not None else ()

    def missed(self, *, checks: bool) -> list[str]:
        """Those given up without whom no batch ends well.

        Args:
            checks: whether pictures have to be checked, which is all that the gpu worker is for.
        """
        return [name for name in self.given_up() if name not in _SPARED and (checks or name != "gpu")]

    def obituary(self, name: str) -> str:
        """Why a member is not to be had, in one sentence, by the last error in its log."""
        log = self._logs / f"{name}.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        said = next(filter(None, map(_ERROR.match, reversed(lines))), None)
        reason = said["sentence"] if said else (lines[-1] if lines else "it said nothing")
        return f"the {name} worker keeps ending: {reason} (its log is {log})"

    def close(self) -> None:
        self._stack.close()
        self.children = None
        self._lock.close()


@contextlib.contextmanager
def crew_of(home: Path) -> Iterator[Crew]:
    """A crew that has not started yet; its members are stopped in order at the end of the block."""
    crew = Crew(home)
    try:
        yield crew
    finally:
        crew.close()
