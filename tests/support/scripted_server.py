"""A TCP server that does what a test tells it, byte by byte; it listens on loopback and ends with its test."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Script = Callable[["Connection"], None]


@dataclass(slots=True)
class Connection:
    """One accepted connection, and what was read from it."""

    number: int
    sock: socket.socket
    server: "ScriptedServer"
    received: bytes = b""

    def read_head(self) -> bytes:
        """Everything up to the empty line; what came behind it stays in `received`."""
        while b"\r\n\r\n" not in self.received:
            part = self.sock.recv(65536)
            if not part:
                break
            self.received += part
        return self.received.partition(b"\r\n\r\n")[0]

    def read_request(self) -> bytes:
        """One whole request; `received` holds it, and nothing of the next."""
        self.received = b""
        head = self.read_head()
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(self.received.partition(b"\r\n\r\n")[2]) < length:
            part = self.sock.recv(65536)
            if not part:
                break
            self.received += part
        if self.received:
            self.server.requests.append(self.received)
        return self.received

    def send(self, content: bytes) -> None:
        self.sock.sendall(content)

    def answer(self, status: str = "200 OK", body: bytes = b"{}", *, headers: str = "") -> None:
        self.send(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body)

    def reset(self) -> None:
        """End the connection with RST, as a crashed process or a firewall does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_for_client_to_leave(self) -> None:
        while self.sock.recv(65536):
            pass

    def send_for_ever(self, piece: bytes) -> None:
        """Until the client leaves or the test ends; the pause keeps the machine free for it."""
        while not self.server.ended.wait(0.02):
            self.send(piece)


@dataclass(slots=True)
class ScriptedServer:
    script: Script
    tls: ssl.SSLContext | None = None
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    connections: list[Connection] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def serve(self) -> None:
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(number=len(self.connections), sock=accepted, server=self)
            self.connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: Connection) -> None:
        # The client leaves, or the handshake fails: both are what the tests are about.
        with suppress(OSError):
            if self.tls is not None:
                connection.sock = self.tls.wrap_socket(connection.sock, server_side=True)
            self.script(connection)
        with suppress(OSError):
            connection.sock.close()

    def end(self) -> None:
        self.ended.set()
        # shutdown wakes the thread in accept(); close alone would not.
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
            connection.sock.close()


@contextmanager
def serving(script: Script, *, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """A server that runs `script` on each connection, in a thread of its own, while the block runs."""
    server = ScriptedServer(script, tls)
    acceptor = threading.Thread(target=server.serve, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        server.end()
        acceptor.join(30)
