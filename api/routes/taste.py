"""What a team likes: choices between two pictures, and personas, which lend words to prompts."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import ConfigDict, Field, model_validator

from api.callers import Caller, Generator, Held, Reader
from api.problems import documented
from api.wire import Name, Text, Wire
from domain.errors import BadInput
from domain.ids import BatchId
from learning.persona import Persona, as_document
from pipeline.learning import personas
from pipeline.operator import events, feedback
from pipeline.resources import Resources
from pipeline.views import team
from pipeline.views.generations import GenerationDetails

router = APIRouter(tags=["Taste"])

_WRITE = documented(401, 403, 404, 408, 413, 422, 429, 503)


class Picture(Wire):
    """A picture of a generation; the best one where no `picture` is named."""

    generation_id: Name
    picture: Text | None = Field(None, max_length=20, description="an asset's `label`")


class Choice(Wire):
    """One picture is liked more than another."""

    preferred: Picture
    other: Picture
    user_id: Name | None = None


class ChoiceTaken(Wire):
    preferred_asset_id: str
    other_asset_id: str
    user_id: str


class NewPersona(Wire):
    """A persona, made from one of a description, liked pictures, feedback, or the document of another installation."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "ann", "description": "muted earth tones, natural linen"}]}
    )

    name: Name
    description: Text | None = Field(None, min_length=1, max_length=4000)
    liked: list[Picture] | None = Field(None, min_length=1, max_length=100)
    from_feedback_of: Name | None = Field(None, description="from all that this user has said")
    document: dict[str, Any] | None = Field(None, description="as `GET /api/personas/{name}` gives it")

    @model_validator(mode="after")
    def _from_one(self) -> "NewPersona":
        given = (self.description, self.liked, self.from_feedback_of, self.document)
        if sum(one is not None for one in given) != 1:
            raise ValueError("give one of description, liked, fromFeedbackOf and document")
        return self


class PersonaMade(Wire):
    name: str
    description: str
    source: str
    words: dict[str, float] = Field(description="each with its weight from -1 to 1")
    made_of: int
    document: dict[str, Any] = Field(description="all of it, for another installation")


class Personas(Wire):
    personas: list[PersonaMade]


@router.post("/api/feedback/compare", status_code=201, responses=_WRITE)
def compare(resources: Held, caller: Generator, body: Choice) -> ChoiceTaken:
    """Say which of two pictures is liked more; the preference head of the team learns from it."""
    preferred, other = (_of_team(resources, caller, one) for one in (body.preferred, body.other))
    user_id = body.user_id or caller.key.user_id
    better, worse = feedback.record_choice(
        resources, (preferred, body.preferred.picture), (other, body.other.picture), user_id=user_id
    )
    events.note_act(
        resources,
        caller.key,
        "compared",
        batch_id=BatchId(preferred.generation["batch_id"]),
        user_id=user_id,
        detail={"preferred": body.preferred.generation_id, "other": body.other.generation_id},
    )
    return ChoiceTaken(preferred_asset_id=str(better), other_asset_id=str(worse), user_id=user_id)


@router.get("/api/personas", responses=documented(401, 403, 422, 429, 503))
def list_(resources: Held, caller: Reader) -> Personas:
    """The team's personas, by name."""
    return Personas(personas=[_shown(one) for one in personas.list_all(resources, team=caller.team)])


@router.get("/api/personas/{name}", responses=documented(401, 403, 404, 422, 429, 503))
def get(resources: Held, caller: Reader, name: Annotated[Text, Path(max_length=200)]) -> PersonaMade:
    """One persona, with the document that another installation takes."""
    return _shown(personas.find(resources, name, team=caller.team))


@router.post("/api/personas", status_code=201, responses=_WRITE)
def create(resources: Held, caller: Generator, body: NewPersona) -> PersonaMade:
    """Make a persona, or make the one of that name anew."""
    if body.description is not None:
        made = personas.from_description(resources, body.name, body.description, team=caller.team)
    elif body.liked is not None:
        pictures = [_digest(_of_team(resources, caller, one), one) for one in body.liked]
        made = personas.from_pictures(resources, body.name, pictures, team=caller.team)
    elif body.from_feedback_of is not None:
        made = personas.from_feedback(resources, body.name, user_id=body.from_feedback_of, team=caller.team)
    else:
        made = personas.keep_document(resources, body.document, name=body.name, team=caller.team)
    return _shown(made)


def _of_team(resources: Resources, caller: Caller, picture: Picture) -> GenerationDetails:
    return team.generation(resources, caller.team, picture.generation_id)


def _digest(details: GenerationDetails, picture: Picture) -> tuple[str, str]:
    found = feedback.picture_of(details, picture.picture)
    if found is None:
        raise BadInput(f"generation {picture.generation_id} has no stored picture yet")
    return str(found["sha256"]), str(details.generation["prompt"])


def _shown(persona: Persona) -> PersonaMade:
    return PersonaMade(
        name=persona.name,
        description=persona.description,
        source=persona.source.value,
        words=dict(persona.words),
        made_of=persona.made_of,
        document=as_document(persona),
    )
