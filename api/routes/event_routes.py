"""`/api/events`: what happens in a team's batches, as it happens, resumable from any number on."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.responses import StreamingResponse

from api.callers import Held, Reader
from api.event_stream import Hub
from api.problems import documented
from domain.errors import BadInput
from pipeline.views import team

router = APIRouter(tags=["Events"])


def _of_batch(
    resources: Held, caller: Reader, batch_id: Annotated[str | None, Query(alias="batchId")] = None
) -> UUID | None:
    return None if batch_id is None else team.batch(resources, caller.team, batch_id).batch.id


@router.get(
    "/api/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events"},
        **documented(401, 403, 404, 422, 429, 503),
    },
)
async def listen(
    request: Request,
    caller: Reader,
    batch_id: Annotated[UUID | None, Depends(_of_batch)],
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
    after: Annotated[int | None, Query(ge=0, description="as Last-Event-ID, for who cannot send headers")] = None,
) -> StreamingResponse:
    """Every event of the team from now on, or after the number in `Last-Event-ID`; numbers have no gaps."""
    hub: Hub = request.app.state.hub
    if hub.is_full:
        raise HTTPException(status_code=503, headers={"Retry-After": "30"})
    if last_event_id is not None and not last_event_id.isdecimal():
        raise BadInput("Last-Event-ID is the number of an event")
    last = after if last_event_id is None else int(last_event_id)
    return StreamingResponse(
        hub.listen(caller.key, last=last, batch_id=batch_id),
        media_type="text/event-stream",
        # Whoever sits between must not gather what is sent as it happens.
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
