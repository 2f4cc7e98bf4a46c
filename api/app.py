"""The application: where providers call back, and whether it is well.

A route reads a request, calls one step and answers; what a webhook proves and does is `pipeline.attempts.webhooks`'
business.
"""

import asyncio
import logging
from typing import Annotated, Final

from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.requests import ClientDisconnect

from domain.errors import ProviderError, ServiceMissing
from pipeline.attempts import webhooks
from pipeline.operator import heartbeat
from pipeline.resources import Resources

log = logging.getLogger(__name__)

#: A prediction with its references inside it; a callback of TTAPI is a few kilobytes.
LARGEST_BODY_BYTES: Final = 4 * 2**20
#: For the whole body: a sender that is slower tries again.
_BODY_S: Final = 10.0


async def _body(request: Request) -> bytes:
    """The body as it came, since a signature is made over its very bytes.

    Raises:
        HTTPException: 404, as for every webhook that is not taken.
    """
    parts: list[bytes] = []
    left = LARGEST_BODY_BYTES
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                left -= len(part)
                if left < 0:
                    log.warning("a webhook was refused: more than %d bytes", LARGEST_BODY_BYTES)
                    raise _not_found()
                parts.append(part)
    except (TimeoutError, ClientDisconnect):
        log.warning("a webhook was refused: its body did not come to an end")
        raise _not_found() from None
    return b"".join(parts)


def _not_found() -> HTTPException:
    """The one answer to whatever is wrong, and to an address that never was: it teaches a stranger nothing."""
    return HTTPException(status_code=404)


def _again_later(failure: Exception) -> HTTPException:
    log.warning("not now: %s", failure)
    return HTTPException(status_code=503, headers={"Retry-After": "5"})


def create_app(resources: Resources) -> FastAPI:
    """The application over the resources of one process; it keeps nothing of its own."""
    # No pages about itself: what is here is for programs that know it.
    # A redirect loses a webhook: its sender follows none.
    app = FastAPI(title="Likeness", redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)

    # Plain functions, which run in threads: every step is synchronous.
    @app.post("/hooks/{lane}/{token}")
    def webhook(request: Request, lane: str, token: str, content: Annotated[bytes, Depends(_body)]) -> dict[str, str]:
        """A provider calls back. 2xx: it need not come again; 404: not authentic; 503: it should come again."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            taken = webhooks.receive(resources, lane, token, headers=headers, content=content)
        except (ProviderError, ServiceMissing) as failure:
            raise _again_later(failure) from None
        if not taken:
            raise _not_found()
        return {"status": "taken"}

    @app.get("/health")
    def health() -> dict[str, str | float | None]:
        """Whether webhooks can be taken, and how long ago the queue's last tick was; 503 without a database."""
        try:
            return {"status": "ok", "tick_age_s": heartbeat.silence_s(resources)}
        except ServiceMissing as failure:
            raise _again_later(failure) from None

    return app
