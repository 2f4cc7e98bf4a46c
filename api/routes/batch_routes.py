"""`/api/batches`: many prompts under one budget, and a person's hand on them."""

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.background import BackgroundTask

from api import batch_wire, documents, orders, prompt_uploads, wire
from api.callers import Approver, Caller, Generator, Held, Reader
from api.orders import Wish
from api.problems import documented
from api.routes.generate import IdempotencyKey
from domain.access import Scope
from domain.errors import BadInput
from domain.ids import BatchId
from domain.money import read_limit, show
from domain.states import GenerationState
from pipeline.intake.findings import Findings
from pipeline.intake.prompt_rows import rows_of
from pipeline.operator import batch_control, events, keys
from pipeline.resources import Resources
from pipeline.views import acts, team
from pipeline.views.export import ExportOptions, export
from pipeline.views.report import report_of
from pipeline.views.status import BatchStatus
from pipeline.views.team import Page
from reports.contact_sheet import render

router = APIRouter(tags=["Batches"])

_READ: Final = documented(401, 403, 404, 422, 429, 503)
STEER: Final = documented(401, 403, 404, 408, 409, 413, 422, 429, 502, 503)
#: The report is a page of its own that may run its own script, and nothing of ours: not even its origin.
_REPORT_POLICY: Final = "sandbox allow-scripts allow-popups"
_BODIES: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/BatchOrder"}},
            **{kind: {"schema": {"type": "string"}} for kind in prompt_uploads.ENDINGS},
        },
    }
}
Id = Annotated[str, "of the batch"]


@router.post(
    "/api/batches",
    status_code=202,
    response_model=batch_wire.BatchTaken,
    responses={
        200: {"model": batch_wire.BatchTaken, "description": "A dry run: checked and priced, nothing written"},
        **documented(401, 403, 408, 409, 413, 415, 422, 429, 502, 503),
    },
    openapi_extra=_BODIES,
)
def create(
    request: Request,
    resources: Held,
    caller: Generator,
    dry_run: Annotated[bool, Query(alias="dryRun", description="check and price everything, write nothing")] = False,
    name: Annotated[wire.Text | None, Query(max_length=200, description="of a file's batch")] = None,
    user_id: Annotated[wire.Text | None, Query(alias="userId", max_length=200)] = None,
    provider: Annotated[wire.Text | None, Query(max_length=100)] = None,
    model: Annotated[wire.Text | None, Query(max_length=200)] = None,
    character: Annotated[wire.Text | None, Query(max_length=200)] = None,
    max_cost_usd: Annotated[wire.Text | None, Query(alias="maxCostUsd", max_length=20)] = None,
    sheet: Annotated[wire.Text | None, Query(max_length=200, description="of a workbook: its name or number")] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Enqueue many prompts: a JSON document, or a file of prompts with its wishes in the query.

    All rows are checked before any is written. Under a known name, rows that the batch has are passed over.
    """
    del idempotency_key  # read where the request is carried out
    said = {"name": name, "user_id": user_id, "character": character, "max_cost_usd": max_cost_usd}
    wish = _wish(request, caller, {**said, "provider": provider, "model": model, "sheet": sheet})
    if dry_run:
        return JSONResponse(priced(resources, caller, wish))
    answer, _ = orders.once(request, resources, caller, lambda: place(resources, caller, wish))
    return JSONResponse(answer, status_code=202, headers={"Location": str(answer["statusUrl"])})


def _wish(request: Request, caller: Caller, query: Mapping[str, str | None]) -> Wish:
    """What the body asks for, with the wishes of the query where the body is a file.

    Raises:
        HTTPException: 415.
        BadInput: the file cannot be read, or its batch has no name.
    """
    body: bytes = request.state.body
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind == "application/json":
        return wish_of(caller, batch_wire.BatchOrder.model_validate_json(body))
    if kind not in prompt_uploads.ENDINGS:
        raise HTTPException(status_code=415)
    name = query["name"]
    if not name:
        raise BadInput("a file of prompts needs the name of its batch: add ?name=... to the address")
    rows = prompt_uploads.rows_in(body, ending=prompt_uploads.ENDINGS[kind], sheet=query["sheet"])
    return Wish(
        name=name,
        user_id=query["user_id"] or caller.key.user_id,
        rows=rows,
        findings=rows.findings,
        settings={key: query[key] for key in ("provider", "model") if query[key]},
        character=query["character"],
        max_cost_usd=query["max_cost_usd"],
    )


def wish_of(caller: Caller, body: batch_wire.BatchOrder) -> Wish:
    findings = Findings()
    return Wish(
        name=body.name,
        user_id=body.user_id or caller.key.user_id,
        rows=rows_of(body.prompts, findings=findings),
        findings=findings,
        settings=body.settings.model_dump(exclude_none=True),
        character=body.character,
        max_cost_usd=body.max_cost_usd,
        max_image_cost_usd=body.max_image_cost_usd,
        priority=body.priority,
        max_tries=body.max_tries,
        escalate=body.escalate,
        webhook_url=body.webhook_url,
    )


def priced(resources: Resources, caller: Caller, wish: Wish) -> dict[str, Any]:
    prepared = orders.prepare(resources, caller, wish)
    return _taken(prepared, wish, batch_id=None, new=sum(one.count for one in prepared.plan.new))


def place(resources: Resources, caller: Caller, wish: Wish) -> dict[str, Any]:
    """Enqueue what is wished for, and the document that says so."""
    prepared = orders.prepare(resources, caller, wish)
    placed = orders.place(resources, caller, prepared, webhook_url=wish.webhook_url)
    return _taken(prepared, wish, batch_id=placed.batch_id, new=placed.enqueued.new) | {
        "known": placed.enqueued.known,
        "limitUsd": show(placed.limit_usd),
        "warnings": orders.warnings(prepared, placed),
        "webhookSecret": placed.webhook_secret,
    }


def _taken(prepared: orders.Prepared, wish: Wish, *, batch_id: BatchId | None, new: int) -> dict[str, Any]:
    plan = prepared.plan
    return batch_wire.BatchTaken(
        id=None if batch_id is None else str(batch_id),
        name=wish.name,
        status_url=None if batch_id is None else f"/api/batches/{batch_id}",
        total=plan.total,
        new=new,
        known=plan.known,
        expected_usd=show(plan.expected_usd) or "0.00",
        at_most_usd=show(plan.at_most_usd) or "0.00",
        limit_usd=show(plan.order.limit_usd),
        at_least_s=round(plan.at_least.total_seconds(), 1),
        at_most_s=round(plan.at_most.total_seconds(), 1),
        warnings=list(plan.warnings),
        translated=list(prepared.translated),
    ).model_dump(mode="json", by_alias=True)


@router.get("/api/batches", responses=documented(401, 403, 422, 429, 503))
def list_(
    resources: Held,
    caller: Reader,
    user_id: Annotated[wire.Text | None, Query(alias="userId", max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[wire.Text | None, Query(max_length=100)] = None,
) -> batch_wire.Batches:
    """The team's batches, the newest first."""
    before = documents.read_cursor(cursor)
    lines = team.batches_page(resources, caller.team, before=before, limit=limit + 1, user_id=user_id)
    return documents.batches(lines, limit=limit)


@router.get("/api/batches/{id}", responses=_READ)
def get(resources: Held, caller: Reader, id: Id) -> batch_wire.Batch:
    """Where a batch stands, and who did what to it."""
    status = team.batch(resources, caller.team, id)
    return documents.batch(status, list(acts.of_batch(resources, status.batch.id)))


@router.get("/api/batches/{id}/generations", responses=_READ)
def list_generations(
    resources: Held,
    caller: Reader,
    id: Id,
    status: Literal["pending", "processing", "completed", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[wire.Text | None, Query(max_length=100)] = None,
) -> wire.Generations:
    """The batch's generations, the last row of its file first."""
    found = team.batch(resources, caller.team, id)
    before = documents.read_cursor(cursor)
    page = Page(team=caller.team, batch_id=found.batch.id, status=status, before=before, limit=limit + 1)
    return documents.generations(team.generations_page(resources, page), limit=limit)


@router.get(
    "/api/batches/{id}/report",
    response_class=HTMLResponse,
    responses={200: {"content": {"text/html": {}}, "description": "The contact sheet"}, **_READ},
)
def report(resources: Held, caller: Reader, id: Id) -> Response:
    """The batch's contact sheet: one HTML file that can be passed on."""
    status = team.batch(resources, caller.team, id)
    page = render(report_of(resources, status.batch.id))
    return HTMLResponse(page, headers={"Content-Security-Policy": _REPORT_POLICY})


@router.get(
    "/api/batches/{id}/export",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "Pictures by theme, and a log"}, **_READ},
)
def export_(resources: Held, caller: Reader, id: Id, every: bool = False) -> Response:
    """A ZIP file of the accepted pictures by theme, with the generation log; of all of them with `every`."""
    status = team.batch(resources, caller.team, id)
    folder = tempfile.TemporaryDirectory()
    try:
        files = Path(folder.name) / "files"
        files.mkdir()
        export(resources, status.batch.id, files, ExportOptions(every_picture=every))
        archive = Path(folder.name) / "export.zip"
        # Pictures are compressed already.
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
            for path in sorted(files.rglob("*")):
                packed.write(path, path.relative_to(files))
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(
        archive,
        media_type="application/zip",
        filename=f"{status.batch.id}.zip",
        background=BackgroundTask(folder.cleanup),
    )


@router.post("/api/batches/{id}/pause", responses=STEER)
def pause(resources: Held, caller: Generator, id: Id, body: batch_wire.Pause | None = None) -> batch_wire.Batch:
    """Send nothing more of the batch; what is at a provider runs on."""
    found = team.batch(resources, caller.team, id)
    reason = (body or batch_wire.Pause()).reason
    after = batch_control.pause(resources, found.batch.id, reason=reason)
    events.note_act(resources, caller.key, "paused", batch_id=found.batch.id, detail={"reason": reason})
    return documents.batch(after)


@router.post("/api/batches/{id}/cancel", responses=STEER)
def cancel(resources: Held, caller: Generator, id: Id) -> batch_wire.Canceled:
    """Stop the batch for good; what is at a provider ends with its last word."""
    found = team.batch(resources, caller.team, id)
    done = batch_control.cancel(resources, found.batch.id)
    events.note_act(resources, caller.key, "canceled", batch_id=found.batch.id, detail={"asked": done.asked})
    return batch_wire.Canceled(
        asked=done.asked, running=done.running, finishing=done.finishing, batch=documents.batch(done.status)
    )


@router.post("/api/batches/{id}/resume", response_model=batch_wire.Batch, responses=STEER)
def resume(
    request: Request,
    resources: Held,
    caller: Generator,
    id: Id,
    body: batch_wire.Resume | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Go on with a paused or stopped batch; with another budget, it takes the scope `approve`."""
    del idempotency_key
    found = team.batch(resources, caller.team, id)
    said = (body or batch_wire.Resume()).max_cost_usd
    if said is not None:
        caller.require(Scope.APPROVE)
    limit = None if said is None else read_limit(said, what="maxCostUsd")
    return spending(request, resources, caller, found, limit, lambda: resumed(resources, caller, found, limit))


def resumed(resources: Resources, caller: Caller, found: BatchStatus, limit: Decimal | None) -> dict[str, Any]:
    after = batch_control.resume(resources, found.batch.id, limit_usd=limit)
    events.note_act(resources, caller.key, "resumed", batch_id=found.batch.id, detail={"limitUsd": show(limit)})
    return documents.batch(after).model_dump(mode="json", by_alias=True)


@router.post("/api/batches/{id}/budget", response_model=batch_wire.Batch, responses=STEER)
def budget(
    request: Request,
    resources: Held,
    caller: Approver,
    id: Id,
    body: batch_wire.Budget,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Raise or lower the budget; one below what is spent stops further attempts and takes nothing back."""
    del idempotency_key
    found = team.batch(resources, caller.team, id)
    limit = None if body.max_cost_usd is None else read_limit(body.max_cost_usd, what="maxCostUsd")
    return spending(request, resources, caller, found, limit, lambda: budgeted(resources, caller, found, limit))


def budgeted(resources: Resources, caller: Caller, found: BatchStatus, limit: Decimal | None) -> dict[str, Any]:
    """Give the batch another budget, or none where no key's limit holds for it.

    Raises:
        BadInput: the key that made it has a limit, for which the budget stands in, and no budget is named.
    """
    owner = keys.owner(resources, found.batch.key_id)
    if limit is None and owner is not None and owner.limit_usd is not None:
        raise BadInput(f"key {owner.name!r} has a limit of its own, so its batches keep a budget; name maxCostUsd")
    after = batch_control.set_budget(resources, found.batch.id, limit_usd=limit)
    events.note_act(resources, caller.key, "budget", batch_id=found.batch.id, detail={"limitUsd": show(limit)})
    return documents.batch(after).model_dump(mode="json", by_alias=True)


@router.post("/api/batches/{id}/retry", response_model=batch_wire.Retried, responses=STEER)
def retry(
    request: Request,
    resources: Held,
    caller: Approver,
    id: Id,
    body: batch_wire.Retry | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Put failed, rejected or canceled generations back into the queue; each may be charged again."""
    del idempotency_key
    found = team.batch(resources, caller.team, id)
    said = body or batch_wire.Retry()
    return spending(request, resources, caller, found, None, lambda: retried(resources, caller, found, said))


def retried(resources: Resources, caller: Caller, found: BatchStatus, said: batch_wire.Retry) -> dict[str, Any]:
    states = [GenerationState(state) for state in said.states]
    done = batch_control.retry(resources, found.batch.id, states=states, reason=said.reason, anew=said.anew)
    detail = {"states": said.states, "queued": done.queued, "reason": said.reason}
    events.note_act(resources, caller.key, "retried", batch_id=found.batch.id, detail=detail)
    answer = batch_wire.Retried(queued=done.queued, checked=done.checked, batch=documents.batch(done.status))
    return answer.model_dump(mode="json", by_alias=True)


def spending(
    request: Request,
    resources: Resources,
    caller: Caller,
    found: BatchStatus,
    limit: Decimal | None,
    work: Callable[[], dict[str, Any]],
) -> Response:
    """Carry out what may spend more, once, within what the key may spend."""

    def within() -> dict[str, Any]:
        return spend_within(resources, caller, found, limit, work)

    answer, _ = orders.once(request, resources, caller, within)
    return JSONResponse(answer)


def spend_within(
    resources: Resources, caller: Caller, found: BatchStatus, limit: Decimal | None, work: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Do `work` where the limit of the key that made the batch leaves room for its whole budget, whoever asks.

    Raises:
        LimitTooSmall: it does not.
        ScopeRequired: the batch is another key's, and this key has a limit.
    """
    owner = orders.require_own(resources, caller, found.batch.key_id)
    with keys.money_of(resources, owner, but=found.batch.id) as room:
        if owner is not None and room is not None:
            keys.check_batch(resources, found.batch.id, limit, key=owner, room=room)
        return work()
