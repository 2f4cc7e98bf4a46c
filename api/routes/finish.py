"""`/api/batches/{id}/finish`: accepted pictures made larger or cut out, within the batch's budget."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import ConfigDict, Field

from api import batch_wire, documents, wire
from api.callers import Caller, Generator, Held
from api.routes.batch_routes import STEER, Id, spending
from api.routes.generate import IdempotencyKey
from domain.errors import BadInput, UnknownThing
from domain.finishing import read_finish
from domain.ids import GenerationId
from domain.money import show
from pipeline.operator import events, finish_pictures
from pipeline.resources import Resources
from pipeline.views import team
from pipeline.views.status import BatchStatus

router = APIRouter(tags=["Batches"])


class Finish(wire.Wire):
    """What is done to accepted pictures; each call is paid."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"steps": ["upscale", "background"]}]})

    steps: list[Literal["upscale", "background"]] = Field(min_length=1, max_length=2)
    generation_id: wire.Text | None = Field(None, max_length=36, description="this one's picture alone")
    model: wire.Name | None = Field(None, description="who does it, for one step; see `likeness models`")
    again: bool = Field(False, description="also where the same was done, and paid, before")


class FinishTaken(wire.Wire):
    """The pictures that will be finished."""

    asked: int
    at_most_usd: str
    short_usd: str = Field(description="what of that does not fit into the budget; such calls are not made")
    batch: batch_wire.Batch


@router.post("/api/batches/{id}/finish", response_model=FinishTaken, responses=STEER)
def finish(
    request: Request,
    resources: Held,
    caller: Generator,
    id: Id,
    body: Finish,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Have accepted pictures made larger or cut out, within the batch's budget; the originals stay."""
    del idempotency_key
    found = team.batch(resources, caller.team, id)
    return spending(request, resources, caller, found, None, lambda: finished(resources, caller, found, body))


def finished(resources: Resources, caller: Caller, found: BatchStatus, said: Finish) -> dict[str, Any]:
    steps = read_finish(" ".join(said.steps))
    one = None if said.generation_id is None else _accepted_of(resources, caller, found, said.generation_id)
    try:
        done = finish_pictures.ask_of(
            resources, found.batch.id, steps=steps, generation_id=one, model=said.model, again=said.again
        )
    except UnknownThing as failure:
        # A model in the body, and not what the address names.
        raise BadInput(str(failure)) from failure
    detail = {"steps": list(steps), "asked": done.new, "model": said.model}
    events.note_act(resources, caller.key, "finished", batch_id=found.batch.id, detail=detail)
    money = {"at_most_usd": show(done.at_most_usd) or "0.00", "short_usd": show(done.short_usd) or "0.00"}
    answer = FinishTaken(asked=done.new, **money, batch=documents.batch(done.status))
    return answer.model_dump(mode="json", by_alias=True)


def _accepted_of(resources: Resources, caller: Caller, found: BatchStatus, text: str) -> GenerationId:
    """The batch's generation of that id.

    Raises:
        BadInput: the team has none of that id in this batch.
    """
    try:
        row = team.generation(resources, caller.team, text).generation
    except UnknownThing as failure:
        raise BadInput(str(failure)) from failure
    if row["batch_id"] != found.batch.id:
        raise BadInput(f"generation {text!r} belongs to another batch")
    return GenerationId(row["id"])
