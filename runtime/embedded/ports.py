"""Loopback ports for the servers, chosen so that a restart can have the same one again."""

import errno
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from runtime.embedded.errors import ServersUnavailable

HOST = "127.0.0.1"
_TRIES = 200
_REACH_WITHIN_S = 10.0
_RANGE = (15_000, 32_768)
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def choose(preferred: int | None = None, *, avoid: frozenset[int] = frozenset()) -> int:
    """A port on loopback that is free now, `preferred` if it can be.

    Outside the range that the kernel hands to outgoing connections: a client that keeps knocking while its server
    restarts would otherwise be given the server's own port as its source, connect to itself, and keep the port.

    Raises:
        ServersUnavailable: this process may not listen on loopback, or nobody can reach it there.
    """
    candidates = _candidates()
    if preferred is not None:
        candidates = [preferred, *candidates]
    for port in candidates:
        if port not in avoid and is_free(port):
            return port
    raise ServersUnavailable(f"no free port on {HOST} between {_RANGE[0]} and {_RANGE[1]}")


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now and be reached there.

    Raises:
        ServersUnavailable: that is impossible on any port (forbidden, or no loopback interface).
    """
    try:
        # Sets SO_REUSEADDR, as the servers do: lingering connections of a dead predecessor are no hindrance.
        with socket.create_server((HOST, port)), socket.create_connection((HOST, port), timeout=_REACH_WITHIN_S):
            return True
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise ServersUnavailable(
            f"{HOST} cannot be used on this machine: {error.strerror or error}",
            advice="Allow loopback connections, or set DATABASE_URL and REDIS_URL to servers of your own.",
        ) from error


def _candidates() -> list[int]:
    low, high = _RANGE
    with suppress(OSError, ValueError):
        # macOS has no such file; its range begins at 49,152.
        high = min(high, int(_EPHEMERAL.read_text("ascii").split()[0]))
    if high - low < _TRIES:
        return list(_ephemeral(_TRIES))
    return random.SystemRandom().sample(range(low, high), _TRIES)


def _ephemeral(count: int) -> Iterator[int]:
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((HOST, 0))
            yield int(probe.getsockname()[1])
