"""How commands get at the installation: settings, servers, resources, and the workers of this machine."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.terminal import Terminal
from domain.access import Actor
from domain.errors import ServiceMissing
from pipeline.resources import Resources
from runtime.resources import open_producer, open_reader
from runtime.settings import Settings, read_settings
from runtime.site import Site, open_site

if TYPE_CHECKING:
    from runtime.crew import Crew
    from runtime.supervisor import Child, ChildReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An installation that a command works on."""

    site: Site
    resources: Resources

    @property
    def settings(self) -> Settings:
        return self.site.settings

    @property
    def actor(self) -> Actor:
        """Who works with it here, for what is written down of that."""
        return Actor(name=self.settings.user)


@contextlib.contextmanager
def opened(settings: Settings | None = None) -> Iterator[Opened]:
    """The installation of the environment, with embedded servers started if it names none."""
    with (
        open_site(settings or read_settings()) as site,
        open_producer(site.settings, application="likeness cli") as resources,
    ):
        yield Opened(site=site, resources=resources)


@contextlib.contextmanager
def looked_at() -> Iterator[Opened]:
    """The same for a command that only looks: it starts no worker, sends nothing, and asks no service."""
    with (
        open_site(read_settings()) as site,
        open_reader(site.settings, application="likeness cli") as resources,
    ):
        yield Opened(site=site, resources=resources)


@contextlib.contextmanager
def crew_of_command(
    opened: Opened, terminal: Terminal, *, checks: bool, brings: bool, beside: "Sequence[Child]" = ()
) -> Iterator[Callable[[], None]]:
    """Workers for as long as this command watches, where it is to bring some.

    Args:
        checks: whether pictures are to be checked, so that the command cannot end well without the gpu worker.
        brings: the installation has no workers of its own, or a person wants some of the command's.
        beside: what else runs as long as they do.

    Yields:
        To be called now and then: takes the workers over from another command that has ended.
    """
    if not brings:
        yield lambda: None
        return
    from runtime.crew import crew_of, workers

    with crew_of(opened.settings.home) as crew:
        tend = tending(opened, crew, terminal, members=lambda: [*beside, *workers(opened.settings)], checks=checks)
        tend()
        yield tend


def tending(
    opened: Opened, crew: "Crew", terminal: Terminal, *, members: Callable[[], "Sequence[Child]"], checks: bool
) -> Callable[[], None]:
    """What a watching command does every round for the servers and workers of this machine."""
    from runtime.supervisor import ChildEvent

    def on_report(report: "ChildReport") -> None:
        if report.happening is ChildEvent.ENDED and report.again_in_s is not None:
            terminal.note(f"worker {report.name} ended with status {report.status}; again in {report.again_in_s:.1f} s")

    def tend() -> None:
        opened.site.keep_alive()
        crew.try_start(members, on_line=lambda _name, _line: None, on_report=on_report)
        if missed := crew.missed(checks=checks):
            raise ServiceMissing(crew.failure_reason(missed[0]))

    return tend


def python_module(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our modules with this very Python."""
    return (sys.executable, "-m", module, *arguments)
