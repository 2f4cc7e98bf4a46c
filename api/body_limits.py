"""What stands before every route: a body is read whole, within limits of size and time, and answers carry headers.

A route that runs in a thread must not wait for a slow client; so the body is here before a thread is taken.
"""

import asyncio
import hashlib
from contextlib import AsyncExitStack
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

#: One generation, a word of feedback, a command.
SMALL_BYTES: Final = 1 * 2**20
#: A file of prompts (100,000 rows of 300 characters), or the references of a character.
LARGE_BYTES: Final = 32 * 2**20
_LARGE: Final = frozenset({"/api/batches", "/api/characters", "/batches"})
_PICTURES: Final = "/api/generate/from-image"
_FORM: Final = b"multipart/form-data"
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
        large = _may_be_large(scope) and _announced(scope) > SMALL_BYTES
        if large and self._large.locked():
            await _refuse(
                scope, receive, sending, 503, "several large bodies are being read; send it again in a moment"
            )
            return
        async with AsyncExitStack() as place:
            if large:
                await place.enter_async_context(self._large)
            await self._read(scope, receive, sending, large=large, place=place)

    async def _read(self, scope: Scope, receive: Receive, send: Send, *, large: bool, place: AsyncExitStack) -> None:
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
        state = scope.setdefault("state", {})

        async def let_go() -> None:
            """For a route that has read its body and goes on without it."""
            state["body"] = b""
            await place.aclose()

        state |= {"body": body, "request": _digest(scope, body), "let_go": let_go}
        replayed = _replayed([body], receive)
        del body
        await self._app(scope, replayed, send)


def _may_be_large(scope: Scope) -> bool:
    """A picture, or a file of prompts; a document beside the picture is small."""
    form = _header(scope, b"content-type").lower().startswith(_FORM)
    return scope["path"] in _LARGE or (scope["path"] == _PICTURES and form)


def _digest(scope: Scope, body: bytes) -> bytes:
    """Equal for requests that ask for the same: a form has another boundary each time that it is sent."""
    target = scope["path"].encode() + b"?" + scope["query_string"]
    kind, _, boundary = _header(scope, b"content-type").partition(b"boundary=")
    if kind.lower().startswith(_FORM) and (boundary := boundary.partition(b";")[0].strip(b' "')):
        body = body.replace(boundary, b"")
    return hashlib.sha256(scope["method"].encode() + target + b"\n" + body).digest()


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == wanted), b"")


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


def _replayed(bodies: list[bytes], receive: Receive) -> Receive:
    """Gives the one body once, and keeps nothing of it."""

    async def again() -> Message:
        if not bodies:
            return await receive()
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

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
