"""The HTTP server of all wires, with requests and replies; independent of providers.

Replies can be spoilt on request: dropped, cut short, delayed or sent in drips. `sandbox.faults.armed` decides which.
"""

import json
import socket
import socketserver
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_BODY_BYTES = 64 * 1024 * 1024  # five 10 MB pictures in base64, the largest request of any wire
DRIP_PIECES = 10


class BadRequest(ValueError):
    """The request is malformed; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str
    received_at_s: float

    def header(self, name: str) -> str:
        """The value of a header named in lower case, "" where it is missing."""
        return self.headers.get(name, "")

    def fields(self) -> dict[str, Any]:
        """The JSON object in the body; raises `BadRequest` for anything else."""
        try:
            parsed = json.loads(self.body)
        except ValueError as error:
            raise BadRequest("the body must be a JSON object") from error
        if not isinstance(parsed, dict):
            raise BadRequest(f"the body must be a JSON object, not {type(parsed).__name__}")
        return parsed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply, and how to spoil it.

    Attributes:
        delay_s: wait this long before the first byte.
        drip_s: send the body in pieces over this time.
        cut: send half of the promised body, then end the connection.
        dropped: end the connection without a byte.
        clock_s: offset of the clock in its Date header.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    drip_s: float = 0.0
    cut: bool = False
    dropped: bool = False
    clock_s: float = 0.0


def json_reply(document: object, status: int = 200) -> Reply:
    return Reply(status=status, body=json.dumps(document, ensure_ascii=False).encode())


def _head(reply: Reply) -> bytes:
    fields = [
        # Some statuses of the wires have no registered phrase (499).
        f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Refused')}",
        f"Date: {formatdate(time.time() + reply.clock_s, usegmt=True)}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(reply.body)}",
        *(f"{name}: {value}" for name, value in reply.headers),
    ]
    return ("\r\n".join(fields) + "\r\n\r\n").encode("latin-1")


class App(Protocol):
    base_url: str

    def drops_unread(self, method: str, path: str) -> bool:
        """Whether to end the connection before the request body is read."""

    def answer(self, request: Request) -> Reply: ...


class Server(ThreadingHTTPServer):
    """One thread per connection, with keep-alive; threads end with the process."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, host: str, port: int) -> None:
        super().__init__((host, port), Handler)
        self.app: App | None = None

    def server_bind(self) -> None:
        # Skips HTTPServer's DNS lookup of this machine's name, which can take seconds without DNS.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120.0  # after this an idle keep-alive connection frees its thread
    disable_nagle_algorithm = True  # otherwise a reply in two writes waits 40 ms for the client's delayed ACK
    server: Server

    def _serve(self) -> None:
        app = self.server.app
        assert app is not None, "requests are served once the app is in place"
        target = urlsplit(self.path)
        path = unquote(target.path)
        received_at_s = time.time()
        if app.drops_unread(self.command, path):
            self._drop()
            return
        body = self._read_body()
        if body is None:
            return
        request = Request(
            method=self.command,
            path=path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            base_url=app.base_url,
            received_at_s=received_at_s,
        )
        self._send(app.answer(request))

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve  # noqa: N815 - the names are the base class's

    def _read_body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self._send(json_reply({"error": "send a Content-Length"}, 411))
            self.close_connection = True
            return None
        text = self.headers.get("Content-Length") or "0"
        length = int(text) if text.isdecimal() and len(text) <= 18 else MAX_BODY_BYTES + 1
        if length > MAX_BODY_BYTES:
            self._send(json_reply({"error": f"send a Content-Length of at most {MAX_BODY_BYTES}"}, 413))
            self.close_connection = True
            return None
        body = self.rfile.read(length) if length else b""
        if len(body) < length:
            self.close_connection = True
            return None
        return body

    def _send(self, reply: Reply) -> None:
        if reply.delay_s:
            time.sleep(reply.delay_s)
        if reply.dropped:
            self._drop()
            return
        head = _head(reply)
        body = b"" if self.command == "HEAD" else reply.body
        if reply.cut:
            self.wfile.write(head + body[: len(body) // 2])
            self._drop()
        elif reply.drip_s:
            self.wfile.write(head)
            self._drip(body, reply.drip_s)
        else:
            self.wfile.write(head + body)

    def _drip(self, body: bytes, over_s: float) -> None:
        step = max(1, -(-len(body) // DRIP_PIECES))
        for start in range(0, len(body), step):
            time.sleep(over_s / DRIP_PIECES)
            self.wfile.write(body[start : start + step])

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):  # the client may be gone already
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Silent; the bill and the log of submissions record everything."""
