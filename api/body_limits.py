"""What stands before every route: a body is read whole, within limits of size and time, and answers carry headers.

A route that runs in a thread must not wait for a slow client; so the body is here before a thread is taken.
"""

import asyncio
import hashlib
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

#: One generation, a word of feedback, a command.
SMALL_BYTES: Final = 1 * 2**20
#: A file of prompts (100,000 rows of 300 characters), or the references of a character.
LARGE_BYTES: Final = 32 * 2**20
_LARGE: Final = frozenset({"/api/batches", "/api/characters", "/batches"})
#: Bodies beyond the small ones that are in memory at once.
_LARGE_AT_ONCE: Final = 4
_SMALL_S: Final = 15.0
_LARGE_S: Final = 120.0
#: Read by its own route, since a signature is made over the very bytes and a refusal must not teach a stranger.
_OWN: Final = "/hooks/"
_PLAIN_HEADERS: Final = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
_NOTHING: Final = b"default-src 'none'; frame-ancestors 'none'"


class _TooLarge(Exception):
    pass


class Bodies:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = _with_headers(send)
        if scope["method"] in {"GET", "HEAD", "OPTIONS"} or scope["path"].startswith(_OWN):
            await self._app(scope, receive, sending)
            return
        large = scope["path"] in _LARGE and _announced(scope) > SMALL_BYTES
        if large and self._large.locked():
            await _refuse(
                scope, receive, sending, 503, "several large bodies are being read; send it again in a moment"
            )
            return
        async with self._large if large else _Free():
            await self._read(scope, receive, sending, large=large)

    async def _read(self, scope: Scope, receive: Receive, send: Send, *, large: bool) -> None:
        most = LARGE_BYTES if large else SMALL_BYTES
        try:
            async with asyncio.timeout(_LARGE_S if large else _SMALL_S):
                body = await _whole(scope, receive, most=most)
        except _TooLarge:
            await _refuse(scope, receive, send, 413, f"the body has more than {most // 2**20} MiB")
            return
        except TimeoutError:
            await _refuse(scope, receive, send, 408, "the body did not come to its end in time")
            return
        if body is None:
            return
        target = scope["path"].encode() + b"?" + scope["query_string"]
        scope.setdefault("state", {})
        scope["state"]["body"] = body
        scope["state"]["request"] = hashlib.sha256(
            scope["method"].encode() + target + b"\n" + _without_boundary(scope, body)
        ).digest()
        await self._app(scope, _replayed(body, receive), send)


class _Free:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def _without_boundary(scope: Scope, body: bytes) -> bytes:
    """The body, without what a client draws anew each time that it sends the same form."""
    kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    if not kind.lower().startswith(b"multipart/form-data"):
        return body
    boundary = kind.partition(b"boundary=")[2].partition(b";")[0].strip(b' "')
    return body.replace(boundary, b"") if boundary else body


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    # Sent in pieces: nobody says how much there will be.
    return LARGE_BYTES


async def _whole(scope: Scope, receive: Receive, *, most: int) -> bytes | None:
    """The body; None where the client went away."""
    if any(name == b"content-length" for name, _ in scope["headers"]) and _announced(scope) > most:
        raise _TooLarge
    parts: list[bytes] = []
    left = most
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part: bytes = message.get("body", b"")
        left -= len(part)
        if left < 0:
            raise _TooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
    code = {408: "too_slow", 413: "too_large", 503: "busy"}[status]
    headers = {"Connection": "close"} | ({"Retry-After": "5"} if status == 503 else {})
    await problem(status, detail, code=code, headers=headers)(scope, receive, send)


def _with_headers(send: Send) -> Send:
    """Headers that every answer carries; a page names a policy of its own."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: list[Any] = list(message.get("headers", []))
            there = {name.lower() for name, _ in headers}
            headers += [(name, value) for name, value in _PLAIN_HEADERS.items() if name not in there]
            if b"content-security-policy" not in there:
                headers.append((b"content-security-policy", _NOTHING))
            if b"cache-control" not in there:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return sending
