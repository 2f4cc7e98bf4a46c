"""`/hooks`: where providers call back. What a webhook proves and does is `pipeline.attempts.webhooks`' business."""

import asyncio
import logging
from typing import Annotated, Final

from fastapi import APIRouter, Depends, HTTPException, Request
from starlette.requests import ClientDisconnect

from api.callers import Held
from domain.errors import ProviderError, ServiceMissing
from pipeline.attempts import webhooks

log = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

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


# A plain function, which runs in a thread: every step is synchronous.
@router.post("/hooks/{lane}/{token}")
def webhook(
    request: Request, resources: Held, lane: str, token: str, content: Annotated[bytes, Depends(_body)]
) -> dict[str, str]:
    """A provider calls back. 2xx: it need not come again; 404: not authentic; 503: it should come again."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        taken = webhooks.receive(resources, lane, token, headers=headers, content=content)
    except (ProviderError, ServiceMissing) as failure:
        log.warning("not now: %s", failure)
        raise HTTPException(status_code=503, headers={"Retry-After": "5"}) from None
    if not taken:
        raise _not_found()
    return {"status": "taken"}
