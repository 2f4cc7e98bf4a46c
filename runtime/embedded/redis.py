"""Redis: its configuration and when it is ready. Running it is `server.py`'s."""

import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from runtime.embedded.binaries import Binaries
from runtime.embedded.ports import HOST
from runtime.embedded.server import Launch

_SETTINGS = {
    "bind": HOST,
    "daemonize": "no",
    "appendonly": "yes",
    # A machine that lost its power may leave half a command at the end; the rest is good.
    "aof-load-truncated": "yes",
    "save": '""',
    # A queue that forgets messages when memory is short would be worse than one that refuses them.
    "maxmemory-policy": "noeviction",
    "tcp-backlog": "128",
    "tcp-keepalive": "60",
}


class Redis:
    """One server in `data`, with the append-only file on and a password.

    Args:
        binaries: programs that the server's account can run.
        data: a folder of the server's account.
        password: for every client.
        durable: False never waits for the disk.
    """

    name = "redis"
    stop_signal = signal.SIGTERM
    death_signal = signal.SIGTERM

    def __init__(self, *, binaries: Binaries, data: Path, password: str, durable: bool) -> None:
        self._binaries = binaries
        self._data = data
        self._password = password
        self._durable = durable

    def prepare(self, *, launch: Launch) -> None:
        """Nothing: Redis makes and mends its own files."""

    def command(self, port: int) -> Sequence[str]:  # noqa: ARG002  the port is in the configuration
        """Reads its configuration from standard input, so that the password is neither in a file nor an argument."""
        return (str(self._binaries.redis), "-")

    def feed(self, port: int) -> bytes:
        directory = str(self._data).replace("\\", "\\\\").replace('"', '\\"')
        settings = {
            **_SETTINGS,
            "port": str(port),
            "requirepass": self._password,
            "appendfsync": "everysec" if self._durable else "no",
            "dir": f'"{directory}"',
        }
        return "".join(f"{key} {value}\n" for key, value in settings.items()).encode()

    def answers(self, *, port: int, pid: int) -> bool:  # noqa: ARG002  the password tells whose server it is
        """Whether it takes our password and has loaded its data (until then PING is answered with LOADING)."""
        try:
            with socket.create_connection((HOST, port), timeout=1.0) as link:
                link.sendall(f"AUTH {self._password}\r\nPING\r\n".encode("ascii"))
                reply = b""
                while reply.count(b"\r\n") < 2:
                    chunk = link.recv(256)
                    if not chunk:
                        return False
                    reply += chunk
        except OSError:
            return False
        return reply.startswith(b"+OK\r\n+PONG")
