"""`health`: whether the process of one role works on this host; for probes of containers, by its exit status."""

import http.client
import os
from ipaddress import ip_address
from typing import Annotated, Final

import typer

from cli.operations.roles import Role
from cli.options import AsJson
from cli.terminal import ENDED_OTHERWISE, OK, open_terminal
from runtime.settings import Settings, read_settings
from runtime.signs_of_life import STALE_S, ages_s

_ANSWERS_IN_S: Final = 5.0


def health_command(
    role: Annotated[Role, typer.Option(help="io, io-sync, gpu, beat, api or flower.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Say whether this host's process of a role works: 0 or 1. Asks neither Postgres nor Redis."""
    with open_terminal(as_json=as_json) as terminal:
        wrong = what_is_wrong(role, read_settings())
        terminal.document({"ok": wrong is None, "role": role, "found": wrong})
        if wrong is not None:
            terminal.note(wrong)
        raise typer.Exit(OK if wrong is None else ENDED_OTHERWISE)


def what_is_wrong(role: Role, settings: Settings) -> str | None:
    """One sentence; None where the role works."""
    match role:
        case Role.API:
            return _unanswered(settings.api_host, settings.api_port, "/health")
        case Role.FLOWER:
            port = int(os.environ.get("FLOWER_PORT", "5555"))
            return _unanswered(os.environ.get("FLOWER_ADDRESS", "127.0.0.1"), port, "/healthcheck")
        case _:
            return _silent(role, settings)


def _silent(role: Role, settings: Settings) -> str | None:
    ages = dict(ages_s(settings.home, role))
    if not ages:
        return f"no {role} worker of {str(settings.home)!r} takes messages on this host"
    stuck = {pid: age for pid, age in ages.items() if age > STALE_S}
    if not stuck:
        return None
    return "; ".join(f"{role} worker {pid} has given no sign for {age:.0f} s" for pid, age in stuck.items())


def _unanswered(host: str, port: int, path: str) -> str | None:
    asked = "127.0.0.1" if _is_everywhere(host) else host
    connection = http.client.HTTPConnection(asked, port, timeout=_ANSWERS_IN_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as failure:
        return f"nobody answers at {asked} port {port} ({failure})"
    finally:
        connection.close()
    return None if status == http.client.OK else f"{path} at {asked} port {port} answers {status}"


def _is_everywhere(host: str) -> bool:
    """Whether listening there means all addresses of this host, so that it is asked at loopback."""
    try:
        return not host or ip_address(host).is_unspecified
    except ValueError:
        return False
