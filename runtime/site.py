"""Where the servers of an installation are: at the addresses of the settings, or embedded, for as long as needed."""

import contextlib
from collections.abc import Iterator

from pydantic import SecretStr

from domain.errors import BadInput
from runtime.embedded.stack import shared
from runtime.settings import Settings


def is_embedded(settings: Settings) -> bool:
    """Whether this installation runs its own servers.

    Raises:
        BadInput: one of the two addresses is set and the other is not.
    """
    if (settings.database_url is None) != (settings.redis_url is None):
        missing = "DATABASE_URL" if settings.database_url is None else "REDIS_URL"
        raise BadInput(f"{missing} is not set while the other one is; set both, or neither for embedded servers")
    return settings.database_url is None


@contextlib.contextmanager
def open_site(settings: Settings) -> Iterator[Settings]:
    """The settings with the addresses of both servers, which run at least until the block is left.

    Raises:
        ServersUnavailable: embedded servers cannot be started here; the message says what to do.
    """
    if not is_embedded(settings):
        yield settings
        return
    with shared(settings.home) as servers:
        yield settings.model_copy(
            update={
                "database_url": SecretStr(servers.libpq_url),
                "redis_url": SecretStr(servers.redis_url),
            }
        )
