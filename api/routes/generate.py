"""`/api/generate`: one prompt becomes one accepted picture; the routes, fields and words of the former service."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api import documents, orders, wire
from api.callers import Caller, Generator, Held, Reader
from api.problems import documented
from domain.access import Scope
from domain.feedback import IDENTITY
from domain.ids import BatchId, GenerationId
from domain.money import read_limit
from pipeline.intake.single import Single
from pipeline.operator import deletion, events, feedback
from pipeline.operator.deletion import Deleted
from pipeline.resources import Resources
from pipeline.views import team
from pipeline.views.team import GenerationDetails, Page

router = APIRouter(tags=["Generations"])

LONGEST_WAIT_S: Final = 60
#: Answers that are held at once; beyond them an answer is given at once, which `Prefer` allows.
_HELD_AT_ONCE: Final = 200
_PERIOD_S: Final = 0.5
_SECONDS: Final = "wait="

Prefer = Annotated[
    str | None, Header(description="`wait=20` holds the answer until the generation is final, 60 s at most")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="a request that is repeated with the same key within a day gets the same answer and spends nothing",
    ),
]
HELD: Final[dict[str, Any]] = {
    "Preference-Applied": {"description": "how long the answer was held at most", "schema": {"type": "string"}}
}
SPENDING: Final = documented(401, 403, 408, 409, 413, 422, 429, 502, 503)


@router.post(
    "/api/generate/from-prompt",
    status_code=202,
    response_model=wire.GenerationTaken,
    responses={
        200: {"model": wire.GenerationTaken, "description": "It was final while the answer was held", "headers": HELD},
        202: {"description": "It was enqueued; `statusUrl` says where to ask for it"},
        **SPENDING,
    },
)
async def from_prompt(
    request: Request,
    resources: Held,
    caller: Generator,
    body: wire.FromPrompt,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Generate from a text prompt."""
    del idempotency_key  # read where the request is carried out
    answer, replayed = await run_in_threadpool(
        orders.once, request, resources, caller, lambda: _enqueue(request, resources, caller, body)
    )
    headers = {"Location": answer["statusUrl"]} | ({"Idempotency-Key-Used": "true"} if replayed else {})
    return await held(request, caller, answer, prefer=prefer, headers=headers)


def _enqueue(request: Request, resources: Resources, caller: Caller, body: wire.FromPrompt) -> Mapping[str, Any]:
    user_id = body.user_id or caller.key.user_id
    name = orders.name_of(request, caller)
    single = Single(
        prompt=body.prompt,
        negative_prompt=body.negative_prompt,
        provider=body.settings.provider,
        model=body.settings.model,
        settings=body.settings.model_dump(exclude_none=True, exclude={"provider", "model"}),
        character=body.character,
        limit_usd=None if body.max_cost_usd is None else read_limit(body.max_cost_usd, what="maxCostUsd"),
        name=name,
    )
    made = team.batch_named(resources, name, user_id=user_id, team=caller.team)
    if made is None:
        prepared = orders.prepare_single(resources, caller, single, user_id=user_id, webhook_url=body.webhook_url)
        placed = orders.place(resources, caller, prepared, webhook_url=body.webhook_url)
        batch_id, warnings = placed.batch_id, orders.warnings(prepared, placed)
    else:
        # The same request was carried out before, by somebody who died before he could say so.
        batch_id, warnings = made[0], []
    (details,) = team.generations_page(resources, Page(team=caller.team, batch_id=batch_id, limit=1))
    return documents.generation_taken(details, warnings=warnings).model_dump(mode="json", by_alias=True)


async def held(
    request: Request, caller: Caller, answer: Mapping[str, Any], *, prefer: str | None, headers: dict[str, str]
) -> Response:
    """The answer, held until the generation is final where the request prefers so."""
    wait_s = read_wait(prefer)
    state = request.app.state
    if wait_s and state.held < _HELD_AT_ONCE:
        state.held += 1
        try:
            answer = await _once_final(request, caller, answer, wait_s=wait_s)
        finally:
            state.held -= 1
        headers["Preference-Applied"] = f"wait={wait_s}"
    final = answer["status"] in {"completed", "failed"}
    return JSONResponse(answer, status_code=200 if final else 202, headers=headers)


async def _once_final(request: Request, caller: Caller, answer: Mapping[str, Any], *, wait_s: int) -> Mapping[str, Any]:
    """The document as it is when the generation is final, or when the time is over. No thread is held meanwhile.

    What is said about the request alone, and stands in no row, is kept.
    """
    of_request = {name: answer[name] for name in ("warnings",) if name in answer}
    resources: Resources = request.app.state.resources
    deadline = asyncio.get_running_loop().time() + wait_s
    while answer["status"] in {"pending", "processing"}:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0 or await request.is_disconnected():
            break
        await asyncio.sleep(min(_PERIOD_S, left))
        details = await run_in_threadpool(team.generation, resources, caller.team, answer["id"])
        answer = documents.generation(details).model_dump(mode="json", by_alias=True) | of_request
    return answer


def read_wait(prefer: str | None) -> int:
    """Seconds that a `Prefer` header asks to wait; 0 where it asks for nothing that is known."""
    for wish in (prefer or "").split(","):
        name = wish.strip().lower()
        if name.startswith(_SECONDS) and name.removeprefix(_SECONDS).isdecimal():
            return min(int(name.removeprefix(_SECONDS)[:6]), LONGEST_WAIT_S)
    return 0


@router.get(
    "/api/generate/{id}",
    response_model=wire.Generation,
    responses={
        202: {"model": wire.Generation, "description": "Held in vain: it is not final yet"},
        **documented(401, 403, 404, 410, 422, 429, 503),
    },
)
async def get(
    request: Request,
    resources: Held,
    caller: Reader,
    id: str,
    prefer: Prefer = None,
) -> Response:
    """One generation, with its pictures, scores and feedback."""
    details = await run_in_threadpool(_story, resources, caller, id)
    answer = documents.generation(details).model_dump(mode="json", by_alias=True)
    if not read_wait(prefer):
        return JSONResponse(answer)
    return await held(request, caller, answer, prefer=prefer, headers={})


def _story(resources: Resources, caller: Caller, text: str) -> GenerationDetails:
    """The team's generation.

    Raises:
        UnknownThing: there is none.
        Deleted: it was deleted.
    """
    found = team.find_generation(resources, caller.team, text)
    if found.deleted_at is not None:
        raise Deleted(f"generation {text} was deleted on {found.deleted_at:%Y-%m-%d}", at=found.deleted_at)
    return found.details()


@router.get("/api/generate", response_model=wire.Generations, responses=documented(401, 403, 404, 422, 429, 503))
def list_(
    resources: Held,
    caller: Reader,
    user_id: Annotated[wire.Text | None, Query(alias="userId", max_length=200)] = None,
    batch_id: Annotated[wire.Text | None, Query(alias="batchId", max_length=100)] = None,
    status: Literal["pending", "processing", "completed", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[wire.Text | None, Query(max_length=100)] = None,
) -> wire.Generations:
    """The newest generations of the team, of one user where `userId` names one; deleted ones are left out."""
    of_batch = None if batch_id is None else team.batch(resources, caller.team, batch_id).batch.id
    page = Page(
        team=caller.team,
        user_id=user_id,
        batch_id=of_batch,
        status=status,
        before=documents.read_cursor(cursor),
        limit=limit + 1,
    )
    return documents.generations(team.generations_page(resources, page), limit=limit)


@router.post(
    "/api/generate/{id}/feedback",
    status_code=201,
    response_model=wire.FeedbackTaken,
    responses=documented(401, 403, 404, 408, 410, 413, 422, 429, 503),
)
def give_feedback(
    resources: Held,
    caller: Generator,
    id: str,
    body: wire.Feedback,
) -> wire.FeedbackTaken:
    """Say what you think of a picture; whether it shows its character takes the scope `approve`."""
    if body.feedback_type in IDENTITY:
        caller.require(Scope.APPROVE)
    details = _story(resources, caller, id)
    user_id = body.user_id or caller.key.user_id
    asset_id = feedback.record_feedback(
        resources,
        details,
        user_id=user_id,
        kind=body.feedback_type,
        picture=body.picture,
        rating=body.rating,
        comment=body.comment,
    )
    events.note_act(
        resources,
        caller.key,
        "feedback",
        batch_id=BatchId(details.generation["batch_id"]),
        generation_id=GenerationId(details.generation["id"]),
        user_id=user_id,
        detail={
            "row": details.generation["position"],
            "feedbackType": body.feedback_type,
            "rating": body.rating,
        },
    )
    return wire.FeedbackTaken(
        generation_id=id,
        asset_id=None if asset_id is None else str(asset_id),
        feedback_type=body.feedback_type,
        user_id=user_id,
    )


@router.delete(
    "/api/generate/{id}", response_model=wire.Tombstone, responses=documented(401, 403, 404, 409, 422, 429, 503)
)
def delete(
    resources: Held,
    caller: Generator,
    id: str,
) -> wire.Tombstone:
    """Delete a generation: what lives is canceled, its pictures are removed from folder and bucket.

    The ledger and a tombstone stay. Asking again answers the same and does what is left to be done.
    """
    details = team.generation(resources, caller.team, id)
    row = details.generation
    before = deletion.of(resources, GenerationId(row["id"]))
    done = deletion.delete(
        resources, GenerationId(row["id"]), batch_id=BatchId(row["batch_id"]), asked_by=caller.key.member
    )
    if before is None:
        events.note_act(
            resources,
            caller.key,
            "deleted",
            batch_id=BatchId(row["batch_id"]),
            generation_id=GenerationId(row["id"]),
            detail={"row": row["position"]},
        )
    return documents.tombstone(done)
