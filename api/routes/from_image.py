"""`/api/generate/from-image`: a picture, or a specification of garments, becomes a prompt and then a picture.

The picture is verified and encoded anew before anything is written, by what the command line uses; the stages that
write the prompt run in workers, behind the answer.
"""

import threading
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from api import documents, orders, wire
from api.callers import Caller, Generator, Held
from api.problems import documented
from api.routes.generate import HELD, SPENDING, IdempotencyKey, Prefer, held
from domain.errors import BadInput
from domain.money import read_limit
from pipeline.intake.single import Single, Upload
from pipeline.intake.stage_wishes import stage_wishes
from pipeline.resources import Resources
from pipeline.views import team
from pipeline.views.team import Page

router = APIRouter(tags=["Generations"])

_FORM: Final = "multipart/form-data"
#: Fields of a form that hold JSON.
_JSON_FIELDS: Final = ("settings", "vltSpec")
_MOST_FIELDS: Final = 32
#: A small file may be 40 megapixels, and takes some 200 MB while it is decoded.
_DECODED_AT_ONCE: Final = threading.BoundedSemaphore(2)


def _form_schema() -> dict[str, Any]:
    """The fields of the JSON document as fields of a form, and the picture beside them."""
    fields = wire.FromImage.model_json_schema(by_alias=True)["properties"]
    written = {"type": "string", "contentMediaType": "application/json"}
    fields |= {name: {**written, "description": f"`{name}` of the JSON document, as JSON"} for name in _JSON_FIELDS}
    picture = {
        "type": "string",
        "format": "binary",
        "description": "PNG, JPEG, WebP, AVIF, GIF, BMP or TIFF; at most 20 MB and 40 megapixels",
    }
    return {"type": "object", "properties": {"image": picture, **fields}, "required": ["image"]}


_BODIES: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {"schema": _form_schema()},
            "application/json": {"schema": {"$ref": "#/components/schemas/FromImage"}},
        },
    }
}


@router.post(
    "/api/generate/from-image",
    status_code=202,
    response_model=wire.GenerationTaken,
    responses={
        200: {"model": wire.GenerationTaken, "description": "It was final while the answer was held", "headers": HELD},
        202: {"description": "It was enqueued; `statusUrl` says where to ask for it"},
        **SPENDING,
        **documented(415),
    },
    openapi_extra=_BODIES,
)
async def from_image(
    request: Request,
    resources: Held,
    caller: Generator,
    prefer: Prefer = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Generate from a picture that is uploaded, or from a specification of garments (`vltSpec`)."""
    del idempotency_key  # read where the request is carried out
    answer, replayed = await _carried_out(request, resources, caller)
    # Twenty megabytes need not stay in memory while an answer is held.
    await request.state.let_go()
    headers = {"Location": answer["statusUrl"]} | ({"Idempotency-Key-Used": "true"} if replayed else {})
    return await held(request, caller, answer, prefer=prefer, headers=headers)


async def _carried_out(request: Request, resources: Resources, caller: Caller) -> tuple[Mapping[str, Any], bool]:
    """As `orders.once`; the picture is forgotten with the return."""
    body, upload = await _read(request)
    return await run_in_threadpool(
        orders.once, request, resources, caller, lambda: _enqueue(request, resources, caller, body, upload)
    )


async def _read(request: Request) -> tuple[wire.FromImage, Upload | None]:
    """What the body asks for, and the picture that came with it.

    Raises:
        HTTPException: 415.
        ValidationError, BadInput: it has another shape.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind == "application/json":
        return wire.FromImage.model_validate_json(request.state.body), None
    if kind != _FORM:
        raise HTTPException(status_code=415)
    upload: Upload | None = None
    fields: dict[str, Any] = {}
    try:
        async with request.form(max_files=1, max_fields=_MOST_FIELDS) as form:
            for name, value in form.multi_items():
                if not isinstance(value, UploadFile):
                    fields[name] = value
                elif name == "image":
                    upload = Upload(content=await value.read(), name=_name_of(value.filename or ""))
                else:
                    raise BadInput(f"the form has a file as {name!r}; send the picture as 'image'")
    except HTTPException as failure:
        raise BadInput(f"body: {failure.detail}") from None
    for name in _JSON_FIELDS:
        if name in fields:
            fields[name] = wire.read_json(fields[name], name=name)
    return wire.FromImage.model_validate(fields), upload


def _name_of(filename: str) -> str:
    """The last part of what a browser calls the file; it is shown and opens nothing."""
    return filename.replace("\\", "/").rpartition("/")[2] or "image"


def _enqueue(
    request: Request, resources: Resources, caller: Caller, body: wire.FromImage, upload: Upload | None
) -> Mapping[str, Any]:
    user_id, name = body.user_id or caller.key.user_id, orders.name_of(request, caller)
    single = Single(
        prompt=body.prompt,
        image=upload,
        vlt=body.vlt_spec,
        negative_prompt=body.negative_prompt,
        provider=body.settings.provider,
        model=body.settings.model,
        settings=body.settings.model_dump(exclude_none=True, exclude={"provider", "model"}),
        character=body.character,
        limit_usd=None if body.max_cost_usd is None else read_limit(body.max_cost_usd, what="maxCostUsd"),
        analysis=body.analysis,
        enhance=body.enhance,
        block=body.block,
        candidates=body.candidates,
        name=name,
        more=stage_wishes(persona=body.persona, optimise=body.optimise),
    )
    made = team.batch_named(resources, name, user_id=user_id, team=caller.team)
    if made is None:
        with _DECODED_AT_ONCE:
            prepared = orders.prepare_single(resources, caller, single, user_id=user_id, webhook_url=body.webhook_url)
        placed = orders.place(resources, caller, prepared, webhook_url=body.webhook_url)
        batch_id, warnings = placed.batch_id, orders.warnings(prepared, placed)
    else:
        # The same request was carried out before, by somebody who died before he could say so.
        batch_id, warnings = made[0], []
    (details,) = team.generations_page(resources, Page(team=caller.team, batch_id=batch_id, limit=1))
    return documents.generation_taken(details, warnings=warnings).model_dump(mode="json", by_alias=True)
