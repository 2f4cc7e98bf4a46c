"""Where the servers of an installation are: at the addresses of the settings, or embedded, for as long as needed."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr

from domain.errors import BadInput
from runtime.embedded.layout import Layout, read_password
from runtime.embedded.stack import Servers, revive, shared
from runtime.settings import Settings


def is_embedded(settings: Settings) -> bool:
    """Whether this installation runs its own servers.

    Raises:
        BadInput: one of the two addresses is set and the other is not.
    """
    if (settings.database_url is None) != (settings.redis_url is None):
        names = ("DATABASE_URL", "REDIS_URL")
        missing, there = names if settings.database_url is None else reversed(names)
        raise BadInput(f"{missing} is not set while {there} is; set both, or neither for embedded servers")
    return settings.database_url is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """An installation whose servers run: its settings with both addresses."""

    settings: Settings
    servers: Servers | None

    def keep_alive(self) -> None:
        """Start embedded servers again if they died with their keeper; call it now and then, it costs a millisecond."""
        if self.servers is not None:
            revive(self.servers)


def next_step(settings: Settings) -> str:
    """What to do where Postgres does not answer; nobody has set the address of an embedded one.

    Workers and commands are told that address in the same way as any other, so it is known by the password of the home.
    """
    layout = Layout(home=settings.home.expanduser().resolve())
    address = settings.database_url.get_secret_value() if settings.database_url is not None else ""
    with contextlib.suppress(OSError, ValueError):
        password = read_password(layout)
        if password is not None and urlsplit(address).password == password:
            return (
                "it is the server of this installation, which was lost or is still starting and comes back by itself:"
                f" try again in some seconds; if it stays away, {layout.log('postgres')} says why"
            )
    return "check DATABASE_URL"


@contextlib.contextmanager
def open_site(settings: Settings) -> Iterator[Site]:
    """An installation whose servers run at least until the block is left.

    Raises:
        ServersUnavailable: embedded servers cannot be started here; the message says what to do.
    """
    if not is_embedded(settings):
        yield Site(settings=settings, servers=None)
        return
    with shared(settings.home) as servers:
        addressed = settings.model_copy(
            update={
                "database_url": SecretStr(servers.libpq_url),
                "redis_url": SecretStr(servers.redis_url),
            }
        )
        yield Site(settings=addressed, servers=servers)
