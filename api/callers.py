"""Who asks: the key of a request, or the session of a person who signed in, and what it may do."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from domain.access import Scope
from domain.errors import RequestError
from pipeline.operator import keys
from pipeline.operator.keys import KeyRow
from pipeline.resources import Resources

COOKIE: Final = "likeness_session"
#: A key that was recognised is not looked up again for so long; a revoked one works on for as long.
_REMEMBERED_S: Final = 1.0
_MOST_REMEMBERED: Final = 1000
_READING: Final = frozenset({"GET", "HEAD"})

_BEARER = HTTPBearer(auto_error=False, description="A key of `likeness keys create`")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key, in a header of its own")


class KeyRequired(RequestError):
    """No key, or none that is known."""


class ScopeRequired(RequestError):
    """The key is known and may not do this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Args:
        form_token: of the session; None for a key in a header.
    """

    key: KeyRow
    form_token: str | None = None

    @property
    def team(self) -> str:
        return self.key.team

    def may(self, scope: Scope) -> bool:
        return self.key.scope.includes(scope)

    def require(self, scope: Scope) -> None:
        """Refuse what the key may not do.

        Raises:
            ScopeRequired: its scope does not include `scope`.
        """
        if not self.may(scope):
            raise ScopeRequired(
                f"this takes a key with the scope {scope.value!r}; {self.key.name!r} has {self.key.scope.value!r}"
            )


class Recognised:
    """Keys that were looked up a moment ago, so that a client that asks often costs one look a second."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, KeyRow]] = {}
        self._looks: dict[bytes, asyncio.Task[KeyRow | None]] = {}

    async def find(self, resources: Resources, token: str) -> KeyRow | None:
        digest = hashlib.sha256(token.encode()).digest()
        found = self._known.get(digest)
        if found is not None and time.monotonic() - found[0] < _REMEMBERED_S:
            return found[1]
        # All who ask in this moment wait for one look; it goes on when the one who began it has gone.
        look = self._looks.get(digest)
        if look is None:
            look = self._looks[digest] = asyncio.create_task(self._look_up(resources, token, digest))
            look.add_done_callback(lambda _: self._looks.pop(digest))
        return await asyncio.shield(look)

    async def _look_up(self, resources: Resources, token: str, digest: bytes) -> KeyRow | None:
        now = time.monotonic()
        key = await run_in_threadpool(keys.find, resources, token)
        if key is not None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[digest] = (now, key)
        return key


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What the settings of the installation say to routes and pages.

    Args:
        core, style: thresholds of characters for which nobody names any.
        flower_url: where people open Flower; None: the page has no link.
    """

    core: float = 0.75
    style: float = 0.60
    flower_url: str | None = None


#: Of an installation whose settings say nothing.
USUAL: Final = Installation()


def installation_of(request: Request) -> Installation:
    found: Installation = request.app.state.installation
    return found


def bearer_of(authorization: str | None) -> str | None:
    """The token of an `Authorization` header, as the routes take it."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def resources_of(request: Request) -> Resources:
    found: Resources = request.app.state.resources
    return found


# Coroutines, though nothing is waited for: FastAPI runs a plain function in a thread, which costs a request more than
# what is done there.
async def _held(request: Request) -> Resources:
    return resources_of(request)


async def caller_of(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    header: Annotated[str | None, Depends(_HEADER)],
) -> Caller:
    """Whoever sent the request.

    A cookie counts for reading alone: a form on a foreign page could send it along, and forms of ours are checked
    where they are taken.

    Raises:
        KeyRequired: nobody that is known.
        TooManyRequests: the key asks faster than it may.
    """
    resources = resources_of(request)
    token = bearer.credentials if bearer is not None else header
    if token is not None:
        recognised: Recognised = request.app.state.recognised
        key = await recognised.find(resources, token)
        if key is None:
            raise KeyRequired("the key is not known, or was revoked; `likeness keys create` makes one")
        if key.rate_limit is not None:
            await run_in_threadpool(keys.take_turn, resources, key)
        return Caller(key=key)
    cookie = request.cookies.get(COOKIE)
    found = None
    if cookie and request.method in _READING:
        found = await run_in_threadpool(keys.session, resources, cookie)
    if found is None:
        raise KeyRequired("send a key as `Authorization: Bearer lk_...`; `likeness keys create` makes one")
    return Caller(key=found[0], form_token=found[1])


def needs(scope: Scope) -> Callable[..., Any]:
    """A dependency: the caller, who may do what `scope` names."""

    async def caller(found: Annotated[Caller, Depends(caller_of)]) -> Caller:
        found.require(scope)
        return found

    return caller


Held = Annotated[Resources, Depends(_held)]
Reader = Annotated[Caller, Depends(needs(Scope.READ))]
Generator = Annotated[Caller, Depends(needs(Scope.GENERATE))]
Approver = Annotated[Caller, Depends(needs(Scope.APPROVE))]
