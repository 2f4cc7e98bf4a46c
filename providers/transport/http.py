"""Sends: one `Call` goes out, one `Reply` comes back or one error of ours is raised.

The only module that turns what httpx2 can raise into what Likeness knows, by one table. No redirects, no
retries, no cookies, no proxies from the environment. What a status means is the adapter's business.
"""

import logging
import math
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Self
from urllib.parse import urlsplit

import httpcore2
import httpx2

from domain.errors import MaybeSent, NotSent, ProviderDown, ReplyUnreadable, RequestRefused, ServiceMissing
from providers.contract import Call, Reply
from providers.transport.deadline import AddressRefused, CallTime, DeadlineBackend, within

#: A request that has not begun to leave after this many seconds never leaves. Below the 10 s that a
#: submission may wait between its intent and its first byte.
CONNECT_S: Final = 5.0
CONNECTIONS: Final = 64
USER_AGENT: Final = "likeness/0.1"

#: Shorter texts are words that an answer may hold by chance, and blanking them would spoil it.
_SECRET_FROM: Final = 8

_log = logging.getLogger(__name__)


class Sent(StrEnum):
    """What a transport failure proves about the request."""

    NO = "no"
    PERHAPS = "perhaps"


#: Every exception of httpx2, most specific first; a test fails when httpx2 grows one that is not here.
#: NO is claimed only for what happens before the first byte of a request, and `_translated` takes the claim
#: back if a byte was written after all. A failed write is PERHAPS: what was handed to the kernel may have
#: arrived, and a server may act on a request before it closes.
FAILURES: Final[tuple[tuple[type[Exception], Sent, str], ...]] = (
    (httpx2.PoolTimeout, Sent.NO, "all connections are busy"),
    (httpx2.ConnectTimeout, Sent.NO, "no connection in time"),
    (httpx2.WriteTimeout, Sent.PERHAPS, "the time was over before the request had been written"),
    (httpx2.ReadTimeout, Sent.PERHAPS, "no complete answer in time"),
    (httpx2.TimeoutException, Sent.PERHAPS, "the time was over"),
    (httpx2.ConnectError, Sent.NO, "no connection"),
    (httpx2.WriteError, Sent.PERHAPS, "the connection broke while the request was written"),
    (httpx2.ReadError, Sent.PERHAPS, "the connection broke before a complete answer"),
    (httpx2.CloseError, Sent.PERHAPS, "the connection could not be closed"),
    (httpx2.NetworkError, Sent.PERHAPS, "the network failed"),
    (httpx2.RemoteProtocolError, Sent.PERHAPS, "the connection ended, or spoke no HTTP, before a complete answer"),
    (httpx2.LocalProtocolError, Sent.PERHAPS, "the request is no valid HTTP"),
    (httpx2.ProtocolError, Sent.PERHAPS, "the protocol was violated"),
    (httpx2.ProxyError, Sent.NO, "the proxy made no connection"),
    (httpx2.UnsupportedProtocol, Sent.NO, "the address is neither http nor https"),
    (httpx2.SSEError, Sent.PERHAPS, "the stream of events is broken"),
    (httpx2.TransportError, Sent.PERHAPS, "the transport failed"),
    (httpx2.DecodingError, Sent.PERHAPS, "the answer's compression is broken"),
    (httpx2.TooManyRedirects, Sent.PERHAPS, "too many redirects"),
    (httpx2.RequestError, Sent.PERHAPS, "the request failed"),
    (httpx2.HTTPStatusError, Sent.PERHAPS, "the status is an error"),
    (httpx2.HTTPError, Sent.PERHAPS, "the call failed"),
    (httpx2.InvalidURL, Sent.NO, "the address is no valid URL"),
    (httpx2.CookieConflict, Sent.PERHAPS, "cookies contradict each other"),
    (httpx2.StreamConsumed, Sent.PERHAPS, "the answer was read twice"),
    (httpx2.StreamClosed, Sent.PERHAPS, "the answer was closed before it was read"),
    (httpx2.ResponseNotRead, Sent.PERHAPS, "the answer was not read"),
    (httpx2.RequestNotRead, Sent.PERHAPS, "the request was not read"),
    (httpx2.StreamError, Sent.PERHAPS, "the answer could not be read"),
    (AddressRefused, Sent.NO, "the address is not allowed"),
)
FOREIGN: Final = tuple(kind for kind, _, _ in FAILURES)


class ReplyTooLarge(Exception):
    """More bytes came than the call allows."""


class Sender:
    """The way to one service: its base URL, its credentials, its connections. Thread-safe; open it after a fork.

    Submissions travel on connections of their own that are never used twice: a kept connection that the
    service has just closed would swallow the request and leave a doubt, and a doubt costs more than a
    handshake. Everything that may be repeated shares kept connections.

    Args:
        base_url: without a trailing slash; paths of calls are appended.
        headers: sent with every call, credentials included; never logged, never in an error or a repr.
        secrets: texts that are blanked wherever an answer echoes them.
        tls: for a service whose certificate is signed by no public authority.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
        tls: ssl.SSLContext | None = None,
        connections: int = CONNECTIONS,
    ) -> None:
        self.base_url = checked_base_url(base_url)
        self._host = urlsplit(self.base_url).netloc
        self._secrets = tuple(secret.encode() for secret in secrets if len(secret) >= _SECRET_FROM)
        backend = DeadlineBackend()
        self._submissions = client(backend, headers=headers, tls=tls, connections=connections, kept=0)
        self._repeatables = client(backend, headers=headers, tls=tls, connections=connections, kept=connections)

    def send(self, call: Call, *, begin_by: float = math.inf) -> Reply:
        """Send `call` at most once and read the whole answer, whatever its status.

        Args:
            begin_by: on `providers.transport.clock`; a request that has not begun to leave by then never leaves.

        Raises:
            RequestRefused: the call cannot be written as HTTP; nothing was sent.
            NotSent: no byte of a submission left this machine.
            MaybeSent: a submission left, or may have, and no whole answer came back.
            ProviderDown: the same two, for a call that may be repeated.
            ReplyUnreadable: a call that may be repeated was answered with too much, or with broken compression.
        """
        call_time = CallTime.starting_now(total_s=call.total_s, connect_s=CONNECT_S, begin_by=begin_by)
        what = f"{call.method} {call.path} at {self._host}"
        chosen = self._repeatables if call.repeatable else self._submissions
        with our_errors(what, call_time, repeatable=call.repeatable), within(call_time):
            request = self._written(chosen, call, what)
            response = chosen.send(request, stream=True)
            try:
                content = read_whole(response, at_most=call.reply_max_bytes)
            finally:
                response.close()
        _log.debug("%s answered %d with %d bytes", what, response.status_code, len(content))
        return Reply(
            status=response.status_code,
            headers={name.lower(): self._blanked(value.encode()).decode() for name, value in response.headers.items()},
            content=self._blanked(content),
            path=call.path,
            model=call.model,
        )

    def _written(self, chosen: httpx2.Client, call: Call, what: str) -> httpx2.Request:
        try:
            return chosen.build_request(
                call.method,
                self.base_url + call.path,
                params=call.params or None,
                headers=dict(call.headers),
                json=call.json,
                content=call.content,
                timeout=httpx2.Timeout(call.total_s, pool=min(CONNECT_S, call.total_s)),
            )
        except (TypeError, ValueError) as failure:
            raise RequestRefused(f"{what} can't be written: {type(failure).__name__}; nothing was sent") from failure

    def _blanked(self, content: bytes) -> bytes:
        for secret in self._secrets:
            content = content.replace(secret, b"***")
        return content

    def close(self) -> None:
        self._submissions.close()
        self._repeatables.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Sender({self.base_url!r})"


def client(
    backend: DeadlineBackend,
    *,
    headers: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    connections: int,
    kept: int,
) -> httpx2.Client:
    """A client that neither follows, nor retries, nor remembers anything but `kept` open connections."""
    return httpx2.Client(
        transport=_Transport(backend, tls=tls, connections=connections, kept=kept),
        headers={"user-agent": USER_AGENT, **(headers or {})},
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        trust_env=False,
    )


@cache
def _public_tls() -> ssl.SSLContext:
    """One for all clients of the process: reading the authorities takes tens of milliseconds."""
    return httpx2.create_ssl_context()


class _Transport(httpx2.BaseTransport):
    """httpx2's own transport takes no network backend; this one does, and is otherwise the same."""

    def __init__(self, backend: DeadlineBackend, *, tls: ssl.SSLContext | None, connections: int, kept: int) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls or _public_tls(),
            max_connections=connections,
            max_keepalive_connections=kept,
            # Shorter than the idle time after which common servers and balancers close (5 to 60 s).
            keepalive_expiry=4.0,
            network_backend=backend,
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpcore2.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        with _httpx2_errors():
            response = self._pool.handle_request(
                httpcore2.Request(
                    method=request.method,
                    url=url,
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        with _httpx2_errors():
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


@contextmanager
def _httpx2_errors() -> Iterator[None]:
    """httpcore2's exceptions as httpx2's, which bear the same names."""
    try:
        yield
    except (
        httpcore2.TimeoutException,
        httpcore2.NetworkError,
        httpcore2.ProtocolError,
        httpcore2.ProxyError,
        httpcore2.UnsupportedProtocol,
    ) as failure:
        kind: type[httpx2.TransportError] = getattr(httpx2, type(failure).__name__)
        raise kind(str(failure)) from failure


def read_whole(response: httpx2.Response, *, at_most: int) -> bytes:
    """The decoded body.

    Raises:
        ReplyTooLarge: it has more than `at_most` bytes; the rest is not read.
    """
    parts: list[bytes] = []
    size = 0
    for part in response.iter_bytes():
        size += len(part)
        if size > at_most:
            raise ReplyTooLarge(f"more than {at_most} bytes")
        parts.append(part)
    return b"".join(parts)


@contextmanager
def our_errors(what: str, call_time: CallTime, *, repeatable: bool) -> Iterator[None]:
    """Translate what httpx2 raises inside the block; `what` names the call in the sentence."""
    try:
        yield
    except ReplyTooLarge as failure:
        if repeatable:
            raise ReplyUnreadable(f"{what}: the answer has {failure}") from None
        raise MaybeSent(f"{what}: the answer has {failure}; whether the job exists is unknown") from None
    except FOREIGN as failure:
        raise _translated(failure, what, wrote=call_time.wrote, repeatable=repeatable) from failure


def _translated(
    failure: Exception, what: str, *, wrote: bool, repeatable: bool
) -> NotSent | MaybeSent | ProviderDown | ReplyUnreadable:
    sent = next(sent for kind, sent, _ in FAILURES if isinstance(failure, kind))
    sentence = f"{what}: {why(failure)}"
    if repeatable and isinstance(failure, httpx2.DecodingError):
        return ReplyUnreadable(sentence)
    if repeatable:
        return ProviderDown(sentence)
    if sent is Sent.NO and not wrote:
        return NotSent(f"{sentence}; nothing was sent")
    return MaybeSent(f"{sentence}; whether the job exists is unknown")


def why(failure: Exception) -> str:
    """Our words for one of `FAILURES`; the library's own are left to the cause, since some of them quote headers."""
    return next(words for kind, _, words in FAILURES if isinstance(failure, kind))


def checked_base_url(text: str) -> str:
    """`text` without trailing slashes and without a trailing `/v1`.

    Raises:
        ServiceMissing: not an absolute http(s) address, or one with credentials, a query or a fragment.
    """
    trimmed = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(trimmed)
        fit = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fit = False
    if not fit or parts.username is not None or parts.query or parts.fragment:
        # Not quoted: an address with credentials in it would carry them into the message.
        raise ServiceMissing(
            "a base URL must look like https://host or https://host/path, without user, query or fragment"
        )
    return trimmed


def checked_key(key: str, *, name: str) -> str:
    """`key` without white space around it.

    Raises:
        ServiceMissing: it is empty, or holds something that no header can carry; the key is not quoted.
    """
    trimmed = key.strip()
    if not trimmed:
        raise ServiceMissing(f"{name} is not set; the service can't be asked without a key")
    if not all("!" <= character <= "~" for character in trimmed):
        raise ServiceMissing(f"{name} holds a space or a character outside ASCII; was it pasted whole?")
    return trimmed
