"""What a call proves when it fails, against a server that fails at each point of a connection's life."""

import datetime as dt
import ipaddress
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from domain.errors import LikenessError, MaybeSent, NotSent, ProviderDown, ReplyUnreadable, RequestRefused
from providers.contract import Call
from providers.transport.clock import running_s
from providers.transport.http import Sender
from tests.support.broken_connections import (
    ENDS,
    INSTANT_S,
    KEY,
    LONG_S,
    SHORT_S,
    closes_after_the_head,
    closes_after_the_request,
    closes_before_reading,
    closes_in_the_body,
    failure_of,
    repeatable,
    resets_after_a_byte,
    resets_after_the_request,
    sender,
    submission,
)
from tests.support.scripted_server import Connection, Script, serving


@pytest.mark.parametrize("script", ENDS)
def test_a_submission_that_ends_without_a_whole_answer_may_have_been_sent(script: Script) -> None:
    with serving(script) as server:
        failure = failure_of(submission(), server.url)
        assert type(failure) is MaybeSent
        assert "whether the job exists is unknown" in str(failure)


@pytest.mark.parametrize("script", ENDS)
def test_a_lost_reply_is_never_sent_again(script: Script) -> None:
    with serving(script) as server:
        failure_of(submission(), server.url)
        assert len(server.connections) == 1


@pytest.mark.parametrize("script", [closes_before_reading, resets_after_a_byte, closes_after_the_head])
def test_a_body_too_large_for_the_line_may_have_been_sent(script: Script) -> None:
    with serving(script) as server:
        assert type(failure_of(submission(size=30_000_000), server.url)) is MaybeSent


@pytest.mark.parametrize("script", ENDS)
def test_a_call_that_may_be_repeated_found_nobody(script: Script) -> None:
    with serving(script) as server:
        assert type(failure_of(repeatable(), server.url)) is ProviderDown


# --- Waits: the whole call has one deadline ------------------------------------------------------------------------


def never_answers(connection: Connection) -> None:
    connection.read_request()
    connection.wait_for_client_to_leave()


def drips_its_headers(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\n")
    connection.send_for_ever(b"x: y\r\n")


def drips_its_body(connection: Connection) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    connection.send_for_ever(b"{")


def says_wait_for_ever(connection: Connection) -> None:
    connection.read_request()
    connection.send_for_ever(b"HTTP/1.1 102 Processing\r\n\r\n")


WAITS: list[Script] = [never_answers, drips_its_headers, drips_its_body, says_wait_for_ever]


@pytest.mark.parametrize("script", WAITS)
def test_no_answer_lives_longer_than_the_call(script: Script) -> None:
    with serving(script) as server:
        assert type(failure_of(submission(total_s=SHORT_S), server.url)) is MaybeSent


def test_a_poll_that_is_never_answered_found_nobody() -> None:
    with serving(never_answers) as server:
        assert type(failure_of(repeatable(total_s=SHORT_S), server.url)) is ProviderDown


def test_a_server_that_never_reads_cannot_hold_a_call() -> None:
    release = threading.Event()
    with serving(lambda _: release.wait(LONG_S) and None) as server:
        assert type(failure_of(submission(total_s=SHORT_S, size=30_000_000), server.url)) is MaybeSent
        release.set()


# --- Before the first byte: certainly not sent ---------------------------------------------------------------------


def test_nobody_listens_so_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    failure = failure_of(submission(), f"http://127.0.0.1:{port}")
    assert type(failure) is NotSent
    assert "nothing was sent" in str(failure)
    assert type(failure_of(repeatable(), f"http://127.0.0.1:{port}")) is ProviderDown


def test_an_unknown_name_means_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert type(failure_of(submission(), "http://ttapi.invalid")) is NotSent


def test_a_resolver_that_hangs_cannot_hold_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hanging(*_: object, **__: object) -> None:
        release.wait(LONG_S)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    try:
        assert type(failure_of(submission(total_s=INSTANT_S), "http://ttapi.invalid")) is NotSent
    finally:
        release.set()


def test_a_connection_that_is_never_accepted_means_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as stack:
        # The kernel drops further connections once the queue for accept() is full.
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        failure = failure_of(submission(total_s=INSTANT_S), f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert type(failure) is NotSent


def test_all_connections_busy_means_nothing_was_sent() -> None:
    arrived = threading.Event()

    def holds(connection: Connection) -> None:
        connection.read_request()
        arrived.set()
        connection.wait_for_client_to_leave()

    with serving(holds) as server, sender(server.url, connections=1) as sending:
        ended: list[LikenessError] = []

        def first() -> None:
            try:
                sending.send(submission(total_s=LONG_S))
            except LikenessError as failure:
                ended.append(failure)

        holder = threading.Thread(target=first)
        holder.start()
        assert arrived.wait(LONG_S)
        with pytest.raises(NotSent, match="all connections are busy"):
            sending.send(submission(total_s=INSTANT_S))
        assert len(server.requests) == 1
        server.end()
        holder.join(LONG_S)
        assert [type(failure) for failure in ended] == [MaybeSent]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 that nobody trusts unless told to, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "likeness tests")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_an_untrusted_certificate_means_nothing_was_sent(certificate: Path) -> None:
    with serving(lambda connection: connection.answer(), tls=server_side(certificate)) as server:
        assert type(failure_of(submission(), server.url)) is NotSent
        assert server.requests == []


def speaks_no_tls(connection: Connection) -> None:
    connection.sock.recv(1)
    connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("script", [closes_before_reading, resets_after_a_byte, speaks_no_tls])
def test_a_failed_handshake_means_nothing_was_sent(script: Script) -> None:
    with serving(script) as server:
        assert type(failure_of(submission(), server.url.replace("http:", "https:"))) is NotSent


def test_a_handshake_that_hangs_means_nothing_was_sent() -> None:
    with serving(lambda connection: connection.wait_for_client_to_leave()) as server:
        failure = failure_of(submission(total_s=INSTANT_S), server.url.replace("http:", "https:"))
        assert type(failure) is NotSent


def test_a_trusted_certificate_lets_the_call_through(certificate: Path) -> None:
    def answers(connection: Connection) -> None:
        connection.read_request()
        connection.answer(body=b'{"ok": 1}')

    trusting = ssl.create_default_context(cafile=str(certificate))
    with serving(answers, tls=server_side(certificate)) as server, sender(server.url, tls=trusting) as sending:
        assert sending.send(submission()).content == b'{"ok": 1}'


@pytest.mark.parametrize("script", [closes_after_the_request, resets_after_the_request, closes_in_the_body])
def test_an_answer_lost_inside_tls_leaves_a_doubt(script: Script, certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    with serving(script, tls=server_side(certificate)) as server:
        assert type(failure_of(submission(), server.url, tls=trusting)) is MaybeSent


def test_a_request_that_may_no_longer_begin_never_leaves() -> None:
    heard: list[bytes] = []
    with (
        serving(lambda connection: heard.append(connection.read_head())) as server,
        sender(server.url) as sending,
        pytest.raises(NotSent),
    ):
        sending.send(submission(), begin_by=running_s())
    assert b"".join(heard) == b""


def test_a_connection_that_comes_too_late_carries_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.transport.http.CONNECT_S", 0.0)
    with serving(closes_after_the_request) as server:
        assert type(failure_of(submission(), server.url)) is NotSent
        assert server.requests == []


# --- Whole answers -------------------------------------------------------------------------------------------------


def always(status: str, body: bytes = b"{}", *, headers: str = "") -> Script:
    def script(connection: Connection) -> None:
        while connection.read_request():
            connection.answer(status, body, headers=headers)

    return script


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "307 Temporary Redirect", "404 No", "499 Full", "503 No"])
@pytest.mark.parametrize("make", [submission, repeatable])
def test_every_status_is_a_reply_and_no_redirect_is_followed(status: str, make: Callable[[], Call]) -> None:
    with serving(always(status, headers="location: /elsewhere\r\n")) as server, sender(server.url) as sending:
        reply = sending.send(make())
        assert reply.status == int(status[:3])
        assert reply.headers["location"] == "/elsewhere"
        assert len(server.requests) == 1


def test_a_call_says_everything_it_holds() -> None:
    with serving(always("200 OK")) as server, sender(server.url + "/v1") as sending:
        sending.send(submission())
        sending.send(repeatable())
        sending.send(
            Call(
                method="PUT", path="/files", content=b"\x89PNG", headers={"content-type": "image/png"}, repeatable=True
            )
        )
        post, get, put = (request.decode("latin-1") for request in server.requests)
    assert post.startswith("POST /imagine HTTP/1.1\r\n")
    assert f"TT-API-KEY: {KEY}\r\n".lower() in post.lower()
    assert '{"prompt":"pppppppppppppppppppp"}' in post
    assert get.startswith("GET /fetch?jobId=1 HTTP/1.1\r\n")
    assert put.endswith("\r\n\r\n\x89PNG")
    assert "content-type: image/png\r\n" in put.lower()


def test_a_submission_never_travels_on_a_used_connection() -> None:
    with serving(always("200 OK")) as server, sender(server.url) as sending:
        for _ in range(3):
            sending.send(submission())
        assert len(server.connections) == 3
        for _ in range(3):
            sending.send(repeatable())
        assert len(server.connections) == 4


def test_an_answer_with_too_much_in_it_is_not_read_to_its_end() -> None:
    with serving(always("200 OK", b"x" * 5_000_000)) as server:
        assert type(failure_of(submission(), server.url)) is MaybeSent
        assert type(failure_of(repeatable(), server.url)) is ReplyUnreadable


def test_broken_compression_says_nothing() -> None:
    with serving(always("200 OK", b"no gzip at all", headers="content-encoding: gzip\r\n")) as server:
        assert type(failure_of(submission(), server.url)) is MaybeSent
        assert type(failure_of(repeatable(), server.url)) is ReplyUnreadable


def test_no_cookie_is_kept() -> None:
    with (
        serving(always("200 OK", headers="set-cookie: session=1; path=/\r\n")) as server,
        sender(server.url) as sending,
    ):
        sending.send(repeatable())
        sending.send(repeatable())
        assert b"cookie" not in server.requests[1].lower()


def test_a_key_that_a_service_echoes_is_blanked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f'{{"message": "bad key {KEY}"}}'.encode()
    with serving(always("401 No", echo, headers=f"x-key: {KEY}\r\n")) as server, sender(server.url) as sending:
        reply = sending.send(submission())
    assert reply.content == b'{"message": "bad key ***"}'
    assert reply.headers["x-key"] == "***"


def test_a_short_word_is_never_taken_for_a_key() -> None:
    with serving(always("200 OK", b'{"k": "ok"}')) as server, Sender(server.url, secrets=("k",)) as sending:
        assert sending.send(submission()).content == b'{"k": "ok"}'


@pytest.mark.parametrize("body", [{"prompt": "\ud800"}, {"prompt": object()}, {"prompt": float("nan")}])
def test_what_cannot_be_written_is_refused_before_anything_is_sent(body: dict[str, object]) -> None:
    with serving(always("200 OK")) as server:
        failure = failure_of(Call(method="POST", path="/imagine", json=body), server.url)
        assert type(failure) is RequestRefused
        assert server.connections == []


def test_no_log_line_holds_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(always("200 OK")) as server, sender(server.url) as sending:
        sending.send(submission())
        sending.send(repeatable())
    assert "POST /imagine" in caplog.text
    assert KEY not in caplog.text


def test_one_sender_serves_many_threads() -> None:
    with serving(always("200 OK", b'{"ok": 1}')) as server, sender(server.url) as sending:
        answers: list[bytes] = []

        def work() -> None:
            for _ in range(5):
                answers.append(sending.send(submission()).content)
                answers.append(sending.send(repeatable()).content)

        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(LONG_S)
        assert answers == [b'{"ok": 1}'] * 80
        assert len(server.requests) == 80
