"""Servers that end a connection at each point of its life, and calls to them."""

import traceback

import pytest

from domain.errors import LikenessError
from providers.contract import Call
from providers.transport.http import Sender
from tests.support.scripted_server import Connection, Script

KEY = "sk-very-secret-0123456789"
#: Long enough for a busy machine to reach the failure, short enough to wait for where the failure is a wait.
SHORT_S = 2.0
#: Enough where a slow machine would fail in the same way: before the first byte.
INSTANT_S = 0.3
LONG_S = 60.0


def submission(*, total_s: float = LONG_S, size: int = 20) -> Call:
    return Call(method="POST", path="/imagine", json={"prompt": "p" * size}, total_s=total_s)


def repeatable(*, total_s: float = LONG_S) -> Call:
    return Call(method="GET", path="/fetch", params={"jobId": "1"}, total_s=total_s, repeatable=True)


def sender(url: str, **options: object) -> Sender:
    return Sender(url, headers={"TT-API-KEY": KEY}, secrets=(KEY,), **options)  # type: ignore[arg-type] # options of Sender


def failure_of(call: Call, url: str, **options: object) -> LikenessError:
    with sender(url, **options) as sending, pytest.raises(LikenessError) as caught:
        sending.send(call)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(sending)
    assert KEY not in told
    return caught.value


def closes_before_reading(connection: Connection) -> None:
    connection.sock.close()


def resets_after_a_byte(connection: Connection) -> None:
    # Without the byte, the reset could overtake the client's first write, and then nothing would have been sent.
    connection.sock.recv(1)
    connection.reset()


def closes_after_the_head(connection: Connection) -> None:
    connection.read_head()


def resets_after_the_head(connection: Connection) -> None:
    connection.read_head()
    connection.reset()


def closes_after_the_request(connection: Connection) -> None:
    connection.read_request()


def resets_after_the_request(connection: Connection) -> None:
    connection.read_request()
    connection.reset()


def closes_in_the_status_line(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 20")


def closes_in_the_headers(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-le")


def closes_in_the_body(connection: Connection) -> None:
    connection.read_request()
    connection.send(b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"status"')


def closes_in_a_chunk(connection: Connection) -> None:
    connection.read_request()
    connection.send(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{"status"')


def answers_garbage(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"\x00\x01\x02 I am no web server\r\n\r\n")


def switches_protocols_unasked(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n")


def promises_an_answer_and_closes(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")


#: Each end after the first byte: the job may exist.
ENDS: list[Script] = [
    closes_before_reading,
    resets_after_a_byte,
    closes_after_the_head,
    resets_after_the_head,
    closes_after_the_request,
    resets_after_the_request,
    closes_in_the_status_line,
    closes_in_the_headers,
    closes_in_the_body,
    closes_in_a_chunk,
    answers_garbage,
    switches_protocols_unasked,
    promises_an_answer_and_closes,
]
