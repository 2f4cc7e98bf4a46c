"""The page's forms: signing in and out, starting a batch, steering one, saying what one thinks of a picture."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from api import batch_wire, prompt_uploads, wire
from api.callers import COOKIE, Held
from api.orders import Wish
from api.page.rendering import page
from api.page.visitors import Form, Signed
from api.routes import batch_routes
from domain.access import Scope
from domain.errors import BadInput
from domain.feedback import IDENTITY, FeedbackType, read_kind
from domain.ids import BatchId, GenerationId
from domain.money import read_limit
from pipeline.operator import batch_control, events, feedback, keys
from pipeline.views import team

router = APIRouter(include_in_schema=False)

_SESSION_S: Final = 14 * 24 * 3600


@router.post("/sign-in")
def sign_in(request: Request, resources: Held, form: Form) -> Response:
    """Open a session for whoever has a key."""
    key = keys.find(resources, form["key"]) if form["key"] else None
    if key is None:
        return page("sign_in.html.j2", None, code=401, said="This key is not known, or was revoked.")
    cookie, _ = keys.open_session(resources, key)
    answer = RedirectResponse("/", status_code=303)
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=_SESSION_S,
        httponly=True,
        samesite="strict",
        # Behind a proxy that speaks TLS the browser must not send it in the clear; on loopback there is no TLS.
        secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
    )
    return answer


@router.post("/sign-out")
def sign_out(request: Request, resources: Held, caller: Signed) -> Response:
    del caller
    keys.close_session(resources, request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


@router.post("/batches")
def start(
    request: Request,
    resources: Held,
    caller: Signed,
    name: Annotated[wire.Text, Query(min_length=1, max_length=200)],
    kind: Annotated[wire.Text, Query(max_length=10)],
    provider: Annotated[wire.Text | None, Query(max_length=100)] = None,
    character: Annotated[wire.Text | None, Query(max_length=200)] = None,
    max_cost_usd: Annotated[wire.Text | None, Query(alias="maxCostUsd", max_length=20)] = None,
    dry_run: Annotated[bool, Query(alias="dryRun")] = False,
) -> Response:
    """Price a file that was dropped, or start its batch."""
    if kind not in prompt_uploads.ON_THE_PAGE:
        raise BadInput(f"a file that ends in {kind!r} is not read; give .csv, .tsv, .json, .jsonl, .txt, .xlsx or .ods")
    rows = prompt_uploads.rows_in(request.state.body, ending=prompt_uploads.ON_THE_PAGE[kind])
    wish = Wish(
        name=name,
        user_id=caller.key.user_id,
        rows=rows,
        findings=rows.findings,
        settings={} if provider is None else {"provider": provider},
        character=character,
        max_cost_usd=max_cost_usd,
    )
    if dry_run:
        return JSONResponse(batch_routes.priced(resources, caller, wish))
    return JSONResponse(batch_routes.place(resources, caller, wish))


@router.post("/batches/{id}/{act}")
def steer(resources: Held, caller: Signed, form: Form, id: str, act: str) -> Response:
    """Pause, resume, cancel, retry, or give another budget."""
    found = team.batch(resources, caller.team, id)
    match act:
        case "pause":
            reason = "paused on the page"
            batch_control.pause(resources, found.batch.id, reason=reason)
            events.note_act(resources, caller.key, "paused", batch_id=found.batch.id)
        case "cancel":
            done = batch_control.cancel(resources, found.batch.id)
            events.note_act(resources, caller.key, "canceled", batch_id=found.batch.id, detail={"asked": done.asked})
        case "resume":
            batch_routes.spend_within(
                resources, caller, found, None, lambda: batch_routes.resumed(resources, caller, found, None)
            )
        case "budget":
            caller.require(Scope.APPROVE)
            limit = read_limit(form["max_cost_usd"], what="the budget") if form["max_cost_usd"] else None
            batch_routes.spend_within(
                resources, caller, found, limit, lambda: batch_routes.budgeted(resources, caller, found, limit)
            )
        case "retry":
            caller.require(Scope.APPROVE)
            said = batch_wire.Retry.model_validate({"states": [form["state"]]})
            batch_routes.spend_within(
                resources, caller, found, None, lambda: batch_routes.retried(resources, caller, found, said)
            )
        case _:
            raise BadInput(f"nothing is done by {act!r}")
    return RedirectResponse(f"/batches/{found.batch.id}", status_code=303)


@router.post("/generations/{id}/feedback")
def say(resources: Held, caller: Signed, form: Form, id: str) -> Response:
    """Keep what the visitor thinks of a picture."""
    rating = form["rating"]
    kind = FeedbackType.RATING if rating and not form["feedback_type"] else read_kind(form["feedback_type"])
    if rating and not (rating.isdecimal() and 1 <= int(rating) <= 5):
        raise BadInput("a rating is a number from 1 to 5")
    if kind in IDENTITY:
        caller.require(Scope.APPROVE)
    details = team.generation(resources, caller.team, id)
    feedback.record_feedback(
        resources,
        details,
        user_id=caller.key.user_id,
        kind=kind,
        picture=form["picture"] or None,
        rating=int(rating) if rating else None,
    )
    batch_id = BatchId(details.generation["batch_id"])
    detail = {"row": details.generation["position"], "feedbackType": kind, "rating": rating or None}
    events.note_act(
        resources,
        caller.key,
        "feedback",
        batch_id=batch_id,
        generation_id=GenerationId(details.generation["id"]),
        detail=detail,
    )
    return RedirectResponse(f"/batches/{batch_id}", status_code=303)
