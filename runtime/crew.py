"""Start and stop the worker processes of one machine, at most once per home folder."""

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

#: Whatever brings new work first, then the workers, then the sandbox that they call.
_STOP_ORDER = (("beat", "flower", "api"), ("io", "io-sync", "gpu"), ("sandbox",))
#: A batch finishes without these: polling replaces webhooks, and Flower only watches.
_SPARED = frozenset({"api", "flower"})
#: A log line as `runtime.process` formats it: level, logger, message.
_ERROR = re.compile(r"(?:ERROR|CRITICAL)(?: [\w.]+:)? *(?P<sentence>.*)")


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a child process: ours, plus every setting that was set explicitly.

    Includes settings that are not in our own environment, such as the addresses of embedded servers. A setting of None
    is written as an empty variable, because `.env` may set another value. Defaults are left out, because it matters
    whether a user set a limit.
    """
    server_urls(settings)
    given = {
        str(Settings.model_fields[name].validation_alias): _written(getattr(settings, name))
        for name in {"home", *settings.model_fields_set}
    }
    return {**os.environ, **given, "PYTHONUNBUFFERED": "1"}


def _written(value: object) -> str:
    """The text of a setting; paths are absolute, because a child may have another working directory."""
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
    # Longer than a submission (30 s) or a download (60 s): killing the one would leave a doubt, the other a lost lease.
    if name == "io-sync":
        # Its calls are paid and cannot be repeated, so the longest of them may finish.
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
    """The roles that finish a batch on this machine; `api` only where a public address takes webhooks."""
    long_calls = ["io-sync"] if synchronous_lanes(settings) else []
    called_back = ["api"] if settings.public_url is not None else []
    return ["io", *long_calls, "gpu", "beat", *called_back]


def workers(settings: Settings) -> list[Child]:
    """A process per role, each with a log file."""
    logs = logs_of(settings.home)
    logs.mkdir(parents=True, exist_ok=True)
    return [role(name, settings, log=logs / f"{name}.log") for name in roles(settings)]


def logs_of(home: Path) -> Path:
    """The folder of the workers' log files."""
    return home / "logs"


class Crew:
    """The workers of a home folder; a file lock makes sure that one process at most runs them."""

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
        """Start the members unless a process, this one included, runs them already.

        Returns:
            Whether this call started them. Call it again from time to time: the process that runs them may end.
        """
        if self.children is not None or not self._lock.try_exclusive():
            return False
        self.children = self._stack.enter_context(Supervisor(on_line, on_report, stop_order=_STOP_ORDER))
        for member in members():
            self.children.start(member)
        return True

    def given_up(self) -> tuple[str, ...]:
        """Members that failed too often in a row and are not restarted."""
        return self.children.given_up() if self.children is not None else ()

    def missed(self, *, checks: bool) -> list[str]:
        """The members given up that a batch cannot finish without.

        Args:
            checks: whether pictures have to be scored, the only work of the gpu worker.
        """
        return [name for name in self.given_up() if name not in _SPARED and (checks or name != "gpu")]

    def failure_reason(self, name: str) -> str:
        """One sentence with the last error in a member's log."""
        log = self._logs / f"{name}.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        error = next(filter(None, map(_ERROR.match, reversed(lines))), None)
        reason = error["sentence"] if error else (lines[-1] if lines else "it logged nothing")
        return f"the {name} worker keeps ending: {reason} (its log is {log})"

    def close(self) -> None:
        self._stack.close()
        self.children = None
        self._lock.close()


@contextlib.contextmanager
def crew_of(home: Path) -> Iterator[Crew]:
    """A crew that is not started yet; its members are stopped in order at the end of the block."""
    crew = Crew(home)
    try:
        yield crew
    finally:
        crew.close()
