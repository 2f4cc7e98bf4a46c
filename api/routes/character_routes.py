"""`/api/characters`: whom the pictures must show, with references, thresholds and what these were calibrated on.

A file that is sent is not kept: its pixels are, so that nothing else of it goes on to a service or another person.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import ConfigDict

from api import orders, wire
from api.callers import Approver, Caller, Held, Reader, installation_of
from api.problems import documented
from api.routes.generate import IdempotencyKey
from api.wire import Wire
from domain.errors import BadInput, UnknownThing
from domain.verdict import DEFAULT
from pipeline.calibration import calibrate
from pipeline.calibration.calibrate import ThresholdVersion
from pipeline.characters import definitions
from pipeline.characters.definitions import MOST_REFERENCES, CharacterRow, NewCharacter
from pipeline.operator import events
from pipeline.preparing import input_pictures
from pipeline.resources import Resources
from reports.wording import thresholds_origin

router = APIRouter(tags=["Characters"])

_READ: Final = documented(401, 403, 404, 422, 429, 503)
_LONGEST_WORDS: Final = 4000
_LULU: Final[dict[str, Any]] = {
    "id": "0199f3c1-5d1e-7c1a-9a53-0242ac120002",
    "name": "lulu",
    "url": "/api/characters/0199f3c1-5d1e-7c1a-9a53-0242ac120002",
    "description": "a pink pig in a yellow coat",
    "references": 3,
    "core": 0.81,
    "style": 0.52,
    "styleDecides": False,
    "aggregation": "max",
    "thresholdsVersion": 2,
    "thresholdsFrom": "calibrated (2026-11-29, n=42, core AUC 0.970); style is advisory and decides nothing",
    "calibrated": True,
}


class Character(Wire):
    """A character with its thresholds in force; `thresholdsFrom` says in words who set or calibrated them."""

    id: str
    name: str
    url: str
    description: str
    references: int
    core: float
    style: float
    style_decides: bool
    aggregation: str
    thresholds_version: int
    thresholds_from: str
    calibrated: bool


class Characters(Wire):
    model_config = ConfigDict(json_schema_extra={"examples": [{"characters": [_LULU]}]})

    characters: list[Character]


class ReferencePicture(Wire):
    position: int
    url: str
    sha256: str
    media_type: str
    width: int
    height: int


class CalibratedScore(Wire):
    """What a kind of score came to on the examples, at the recommended cut; errors from 0 to 1."""

    auc: float
    cut: float
    false_reject: float
    false_accept: float
    positives: int
    negatives: int


class CalibrationFigures(Wire):
    made_on: str
    model: str
    core: CalibratedScore
    style: CalibratedScore


class ThresholdsOfVersion(Wire):
    """One version of a character's thresholds; `calibration` where they were calibrated."""

    version: int
    core: float
    style: float
    style_decides: bool
    aggregation: str
    thresholds_from: str
    fitted_to: str | None
    created_at: datetime
    calibration: CalibrationFigures | None


class CharacterDetails(Character):
    reference_pictures: list[ReferencePicture]
    versions: list[ThresholdsOfVersion]


class CharacterTaken(CharacterDetails):
    """`created` is false where the name was known: its references were replaced."""

    created: bool


@router.get("/api/characters", responses=documented(401, 403, 422, 429, 503))
def list_(resources: Held, caller: Reader) -> Characters:
    """The team's characters, with their thresholds and where these come from."""
    found = definitions.list_characters(resources, team=caller.team)
    return Characters(characters=[Character(**_summary(one)) for one in found])


@router.get("/api/characters/{id}", responses=_READ)
def get(resources: Held, caller: Reader, id: str) -> CharacterDetails:
    """One character: its references, every version of its thresholds, and their calibration."""
    return _details(resources, definitions.with_id(resources, id, team=caller.team))


@router.get(
    "/api/characters/{id}/references/{position}",
    response_class=Response,
    responses={
        200: {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}, "description": "The file"},
        **_READ,
    },
)
def reference(resources: Held, caller: Reader, id: str, position: int) -> Response:
    """A reference picture, as it is kept."""
    for row in definitions.with_id(resources, id, team=caller.team).references:
        if row.position == position:
            try:
                content = resources.store.get(row.r2_key)
            except FileNotFoundError:
                break
            return Response(content, media_type=row.media_type, headers={"Cache-Control": "private, max-age=3600"})
    raise UnknownThing(f"there is no reference {position} of character {id!r}")


@router.post(
    "/api/characters",
    status_code=201,
    response_model=CharacterTaken,
    responses={
        200: {"model": CharacterTaken, "description": "The name was known: its references were replaced"},
        201: {"description": "The character was added"},
        **documented(401, 403, 408, 409, 413, 422, 429, 503),
    },
)
def add(
    request: Request,
    resources: Held,
    caller: Approver,
    name: Annotated[wire.Name, Form(examples=["lulu"])],
    references: Annotated[
        list[UploadFile], File(description=f"1 to {MOST_REFERENCES} pictures, the best first", max_length=1000)
    ],
    description: Annotated[wire.Text, Form(max_length=_LONGEST_WORDS, examples=["a pink pig in a yellow coat"])] = "",
    core: Annotated[float | None, Form(ge=-1, le=1, description="a cosine; the installation's default")] = None,
    style: Annotated[float | None, Form(ge=-1, le=1, description="a cosine; the installation's default")] = None,
    aggregation: Annotated[
        Literal["max", "mean"] | None, Form(description="over the references; initially `max`")
    ] = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Add a character, or give one that the team has other references; what names it already goes on with these.

    Each picture is decoded whole, within 20 MiB and 40 megapixels, and kept as JPEG of at most 2048 pixels a side,
    without anything but its pixels. Without `core` and `style` a character that is known keeps its thresholds; those
    that were calibrated only while its references stay the same.
    """
    del idempotency_key  # read where the request is carried out
    usual = installation_of(request)
    new = NewCharacter(
        name=name,
        description=description,
        references=_pictures(references),
        core=usual.core if core is None else core,
        style=usual.style if style is None else style,
        origin=DEFAULT if core is None and style is None else "set by a person",
        aggregation=aggregation,
        team=caller.team,
    )

    answer, _ = orders.once(request, resources, caller, partial(_taken, resources, caller, new))
    return JSONResponse(answer, status_code=201 if answer["created"] else 200, headers={"Location": str(answer["url"])})


def _taken(resources: Resources, caller: Caller, new: NewCharacter) -> Mapping[str, Any]:
    before = {one.name for one in definitions.list_characters(resources, team=caller.team)}
    made = definitions.add(resources, new, by=events.actor_of(caller.key))
    taken = CharacterTaken(**_details(resources, made).model_dump(), created=made.name not in before)
    return taken.model_dump(mode="json", by_alias=True)


def _pictures(files: list[UploadFile]) -> list[bytes]:
    """The pictures that were sent, encoded anew.

    Raises:
        BadInput: too many, or one that cannot be used; the sentence names it.
    """
    if len(files) > MOST_REFERENCES:
        raise BadInput(f"a character needs 1 to {MOST_REFERENCES} reference pictures, not {len(files)}")
    return [
        input_pictures.cleaned(one.file.read(), name=one.filename or f"number {number}").content
        for number, one in enumerate(files, start=1)
    ]


@router.delete("/api/characters/{id}", status_code=204, responses=documented(401, 403, 404, 422, 429, 503))
def remove(resources: Held, caller: Approver, id: str) -> Response:
    """Remove a character: no new prompt can name it. Generations that name it are still checked against it."""
    found = definitions.with_id(resources, id, team=caller.team)
    definitions.remove(resources, found.name, team=caller.team, by=events.actor_of(caller.key))
    return Response(status_code=204)


def _summary(one: CharacterRow) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "url": f"/api/characters/{one.id}",
        "description": one.description,
        "references": len(one.references),
        "core": one.thresholds.core,
        "style": one.thresholds.style,
        "style_decides": one.thresholds.style_decides,
        "aggregation": one.aggregation,
        "thresholds_version": one.thresholds.version,
        "thresholds_from": thresholds_origin(one.thresholds),
        "calibrated": one.fitted_to is not None,
    }


def _details(resources: Resources, one: CharacterRow) -> CharacterDetails:
    pictures = [
        ReferencePicture(
            position=row.position,
            url=f"/api/characters/{one.id}/references/{row.position}",
            sha256=row.sha256,
            media_type=row.media_type,
            width=row.width,
            height=row.height,
        )
        for row in one.references
    ]
    versions = [_version(told) for told in calibrate.versions(resources, one.id)]
    return CharacterDetails(**_summary(one), reference_pictures=pictures, versions=versions)


def _version(told: ThresholdVersion) -> ThresholdsOfVersion:
    return ThresholdsOfVersion(
        version=told.version,
        core=told.core,
        style=told.style,
        style_decides=told.style_decides,
        aggregation=told.aggregation,
        thresholds_from=thresholds_origin(told.thresholds),
        fitted_to=told.model,
        created_at=told.created_at,
        calibration=None if told.calibration is None else calibration_figures(told.calibration),
    )


def calibration_figures(kept: Mapping[str, Any]) -> CalibrationFigures:
    """The figures that people ask for, of those that `pipeline.calibration.calibrate.as_json` keeps."""
    return CalibrationFigures(
        made_on=kept["made_on"],
        model=kept["model"]["name"],
        core=_calibrated(kept["core"]),
        style=_calibrated(kept["style"]),
    )


def _calibrated(figures: Mapping[str, Any]) -> CalibratedScore:
    cut = figures["recommended"]
    return CalibratedScore(
        auc=figures["auc"],
        cut=cut["cut"],
        false_reject=cut["false_reject"],
        false_accept=cut["false_accept"],
        positives=figures["positive_groups"],
        negatives=figures["negative_groups"],
    )
