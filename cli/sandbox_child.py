"""The sandbox as a child of a command: of `demo`, `up`, and of a `run` that brings its own workers."""

import socket
from collections.abc import Collection
from pathlib import Path

from cli.installation import python_module
from runtime.crew import environment
from runtime.settings import Settings
from runtime.supervisor import Child

PROVIDER = "sandbox"


def is_missing(settings: Settings, providers: Collection[str]) -> bool:
    """Whether rows are for the stand-in and no address of one is set."""
    return PROVIDER in providers and settings.sandbox_base_url is None


def with_stand_in(settings: Settings) -> Settings:
    """The settings with the address of this home's own stand-in; what they say of real services stays."""
    return settings.model_copy(update={"sandbox_base_url": address(settings.home)})


def address(home: Path) -> str:
    """Where the sandbox of a home is: the same each time, so that addresses of pictures stay good over a restart."""
    return f"http://127.0.0.1:{port_of(_data_of(home))}"


def _data_of(home: Path) -> Path:
    """Not the folder of a `likeness sandbox` started by hand, which may run at the same time and locks its own."""
    return home / "stand-in"


def port_of(folder: Path) -> int:
    """A port that nobody used when this was first asked for the folder, and the same ever after."""
    kept = folder / "port"
    if kept.exists():
        return int(kept.read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(str(port))
    return port


def sandbox_child(settings: Settings, *, latency_s: float, size_px: int) -> Child:
    """`likeness sandbox` as a child of this command, keeping its jobs and its bill below the home."""
    return Child(
        name="sandbox",
        argv=python_module(
            "cli.main",
            "sandbox",
            f"--port={port_of(_data_of(settings.home))}",
            f"--data={_data_of(settings.home).resolve()}",
            f"--latency={latency_s}",
            f"--size={size_px}",
        ),
        env=environment(settings),
        log=settings.home / "logs" / "sandbox.log",
    )
