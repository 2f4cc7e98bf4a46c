"""`up`, `worker`, `sandbox`: run the long-running processes; `migrate` runs before them."""

import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.demo.commands import demo_settings
from cli.installation import Opened, opened, python_module
from cli.operations.roles import Role
from cli.sandbox_child import sandbox_child
from cli.terminal import Terminal, open_terminal
from domain.errors import BadInput, ServiceMissing
from pipeline.operator import keys
from runtime.crew import Crew, crew_of, logs_of, module_of, role, workers
from runtime.settings import Settings, read_settings
from runtime.supervisor import Child, ChildEvent, ChildReport, die_with_parent
from sandbox.__main__ import LAST_PORT, dollars
from sandbox.__main__ import main as sandbox_main

#: Where nobody but this machine can knock, so that a first key needs no ceremony.
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def worker_command(
    role_name: Annotated[Role, typer.Argument(metavar="ROLE", help="io, io-sync, gpu, beat, api or flower.")],
) -> None:
    """Run one worker in the foreground; needs DATABASE_URL and REDIS_URL."""
    # Replace this process, so that signals reach the worker directly.
    command = python_module(module_of(role_name))
    os.execv(command[0], command)  # noqa: S606 -- our own module, by this very Python


def migrate_command() -> None:
    """Bring the database to the schema of this version, then end; workers do the same when they start."""
    with open_terminal() as terminal, opened() as site:
        terminal.note(f"the schema is up to date at {_shown(site.settings)}")


def _checked_price(text: str) -> str:
    try:
        dollars(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return text


def sandbox_command(
    port: Annotated[int, typer.Option(min=0, max=LAST_PORT, help="0 lets the system choose.")] = 8700,
    data: Annotated[Path, typer.Option(help="Folder for its bill, pictures and files.")] = Path(".likeness/sandbox"),
    latency: Annotated[float, typer.Option(min=0, help="Usual seconds of a fast job.")] = 0.4,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Side of one picture in pixels.")] = 512,
    concurrency: Annotated[int, typer.Option(min=1, help="Unfinished jobs per key.")] = 10,
    price: Annotated[str, typer.Option(metavar="USD", callback=_checked_price, help="Price of one job.")] = "0.02",
) -> None:
    """Run a stand-in for the image services on loopback, with its own bill."""
    die_with_parent()
    sandbox_main(
        [
            f"--port={port}",
            f"--data={data}",
            f"--latency={latency}",
            f"--size={size}",
            f"--concurrency={concurrency}",
            f"--price={price}",
        ]
    )


def up_command(
    with_sandbox: Annotated[bool, typer.Option("--sandbox", help="Run the stand-in for the providers too.")] = False,
    with_flower: Annotated[bool, typer.Option("--flower/--no-flower", help="Flower on 127.0.0.1:5555.")] = True,
) -> None:
    """Run the whole stack in the foreground: workers, beat, API and page, Flower, embedded servers where needed."""
    with open_terminal() as terminal:
        settings = demo_settings() if with_sandbox else read_settings()
        up(terminal, settings, with_sandbox=with_sandbox, with_flower=with_flower)


def up(terminal: Terminal, settings: Settings, *, with_sandbox: bool, with_flower: bool) -> None:
    """Start everything, print its output, and stop it in order on SIGINT or SIGTERM.

    Raises:
        BadInput: another process runs the workers of this home.
    """
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: enough.set())
    with opened(settings) as site, crew_of(site.settings.home) as crew:

        def members() -> Sequence[Child]:
            some: list[Child] = []
            if with_sandbox:
                some.append(sandbox_child(site.settings, latency_s=0.4, size_px=512))
            some.extend(workers(site.settings))
            if all(one.name != "api" for one in some):
                some.append(role("api", site.settings, log=logs_of(site.settings.home) / "api.log"))
            if with_flower:
                some.append(role("flower", site.settings, log=logs_of(site.settings.home) / "flower.log"))
            return some

        def on_line(name: str, line: str) -> None:
            terminal.out.print(f"{name:>8} | {line}", markup=False, highlight=False)

        if not crew.try_start(members, on_line=on_line, on_report=lambda report: _say(terminal, report)):
            raise BadInput(f"another process runs the workers of {str(site.settings.home)!r}; stop it first")
        _say_address(terminal, site)
        terminal.out.print(f"    up   | Postgres {_shown(site.settings)}", markup=False, highlight=False)
        reported: set[str] = set()
        while not enough.wait(1.0):
            site.site.keep_alive()
            _report_given_up(terminal, crew, reported)
        terminal.out.print("    up   | stopping: what runs is finished or given back", markup=False)


def _say_address(terminal: Terminal, site: Opened) -> None:
    """Where the page is; an installation without keys gets one, which is shown this once and not logged."""
    settings = site.settings
    address = f"http://{settings.api_host}:{settings.api_port}"
    token = keys.first_key(site.resources, user_id=settings.user) if settings.api_host in _LOOPBACK else None
    if token is not None:
        terminal.out.print(f"    up   | the first key, shown this once: {token}", markup=False, highlight=False)
        address += f"/#key={token}"
    terminal.out.print(f"    up   | the page: {address}", markup=False, highlight=False)


def _report_given_up(terminal: Terminal, crew: Crew, reported: set[str]) -> None:
    """Report once each worker that was given up, and what waits for it.

    Raises:
        ServiceMissing: no batch can finish without it.
    """
    if missed := crew.missed(checks=False):
        raise ServiceMissing(crew.failure_reason(missed[0]))
    for name in set(crew.given_up()) - reported:
        reported.add(name)
        waits = "; pictures of characters wait for it, all else goes on" if name == "gpu" else "; all else goes on"
        terminal.note(crew.failure_reason(name) + waits)


def _shown(settings: Settings) -> str:
    """Host and port of Postgres without user and password."""
    assert settings.database_url is not None
    return settings.database_url.get_secret_value().rpartition("@")[2]


def _say(terminal: Terminal, report: ChildReport) -> None:
    text = {
        ChildEvent.STARTED: f"started, process {report.pid}",
        ChildEvent.ENDED: f"ended with status {report.status}"
        + (f", again in {report.again_in_s:.1f} s" if report.again_in_s is not None else ""),
        ChildEvent.GAVE_UP: "ended too often in a row and stays down",
        ChildEvent.STOPPED: "stopped",
    }[report.happening]
    terminal.out.print(f"{report.name:>8} | {text}", markup=False, highlight=False)
