"""What requests and answers look like on the wire: camelCase, money as decimals in strings, times with their zone."""

import json
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from domain.errors import BadInput
from domain.feedback import FeedbackType
from pipeline.intake.prompt_rows import LONGEST_PROMPT
from pipeline.intake.stage_wishes import MOST_CANDIDATES

Value = str | int | float | bool
#: No NUL, which no database stores.
_NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(pattern=_NO_NUL)]
Name = Annotated[Text, Field(min_length=1, max_length=200)]
Prompt = Annotated[Text, Field(min_length=1, max_length=LONGEST_PROMPT)]
Money = Annotated[str, Field(pattern=r"^\d{1,8}(\.\d{1,6})?$", examples=["12.50"])]
Url = Annotated[Text, Field(max_length=2000, pattern=r"^https?://[!-~]+$")]


class Wire(BaseModel):
    """Camel case outside, snake case inside; a field that is not known is a mistake and not passed over."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")


class GenerationSettings(BaseModel):
    """How a picture is made: the owner's words, or the columns of a prompt file.

    `provider` may be a service that is no more (`google-imagen`, `dall-e`): its living successor makes the picture, and
    the answer says so under `translated`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Value]

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        """No NUL in a name or a text, and no number that is none: neither goes into a database's JSON."""
        for name, value in (self.__pydantic_extra__ or {}).items():
            if "\x00" in name or (isinstance(value, str) and "\x00" in value):
                raise ValueError(f"{name!r} holds a NUL, which cannot be stored")
            if isinstance(value, float) and not isfinite(value):
                raise ValueError(f"{name!r} is no number")
        return self

    provider: Text | None = Field(None, max_length=100, examples=["google-imagen"])
    model: Text | None = Field(None, max_length=200)
    quality: Text | None = Field(None, max_length=100, examples=["hd"])
    size: Text | None = Field(None, max_length=100, examples=["square", "16:9"])


class FromPrompt(Wire):
    """One prompt that should become one accepted picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userId": "user-123",
                    "prompt": "elegant burgundy evening gown with silk satin fabric",
                    "negativePrompt": "blurry, low quality, distorted",
                    "settings": {"provider": "google-imagen", "quality": "hd", "size": "square"},
                }
            ]
        }
    )

    prompt: Prompt
    user_id: Name | None = Field(None, description="on whose behalf; the key's own user where nobody is named")
    negative_prompt: Text | None = Field(None, max_length=4000)
    settings: GenerationSettings = Field(default_factory=GenerationSettings)
    character: Name | None = Field(None, description="whom the picture must show; several with semicolons between")
    max_cost_usd: Money | None = Field(None, description="the most that this may cost, further tries included")
    webhook_url: Url | None = Field(None, description="told of every step, signed")


class FromImage(Wire):
    """A specification of garments, or beside it a picture, that should become one accepted picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userId": "user-123",
                    "vltSpec": {
                        "records": [
                            {
                                "garmentType": "evening gown",
                                "fabric": {"type": "silk satin"},
                                "colors": {"primary": "burgundy"},
                                "style": {"aesthetic": "elegant"},
                            }
                        ]
                    },
                    "settings": {"provider": "google-imagen", "quality": "hd", "size": "square"},
                }
            ]
        }
    )

    vlt_spec: dict[str, Any] | None = Field(
        None, description="see docs/vlt.schema.json; a picture that comes with it is not analysed"
    )
    prompt: Prompt | None = Field(None, description="words that stand first, before those of the stages")
    user_id: Name | None = Field(None, description="on whose behalf; the key's own user where nobody is named")
    negative_prompt: Text | None = Field(None, max_length=4000)
    settings: GenerationSettings = Field(default_factory=GenerationSettings)
    character: Name | None = Field(None, description="whom the picture must show; several with semicolons between")
    analysis: Literal["local", "llm", "off"] = Field("local", description="who looks at the picture")
    enhance: Literal["local", "llm", "off"] | None = Field(None, description="who writes the prompt")
    persona: Name | None = Field(None, description="whose taste adds words: a name, or `auto`")
    optimise: bool = Field(True, description="rank candidate prompts by what people have preferred")
    block: Text | None = Field(None, max_length=1000, description="kept word for word in the prompt: a brand")
    candidates: int = Field(4, ge=1, le=MOST_CANDIDATES, description="so many prompts to choose from")
    max_cost_usd: Money | None = Field(None, description="the most that this may cost, further tries included")
    webhook_url: Url | None = Field(None, description="told of every step, signed")


def read_json(text: str, *, name: str) -> Any:
    """The JSON that a field of a form holds.

    Raises:
        BadInput: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{name!r} is no JSON: {error}") from None


class Feedback(Wire):
    """A person's word on a picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "userId": "user-123",
                    "feedbackType": "outlier",
                    "rating": 5,
                    "comment": "Perfect representation of the design!",
                }
            ]
        }
    )

    feedback_type: FeedbackType
    user_id: Name | None = None
    rating: int | None = Field(None, ge=1, le=5)
    comment: Text | None = Field(None, max_length=4000)
    picture: Text | None = Field(
        None, max_length=20, description="an asset's `label`; the best one where none is named"
    )


class FeedbackTaken(Wire):
    generation_id: str
    asset_id: str | None
    feedback_type: FeedbackType
    user_id: str


class Asset(Wire):
    """One picture.

    `url` is served here, for keys of the team; `cdnUrl` is public, where the installation has a public bucket.
    """

    id: str
    label: str
    position: int
    url: str | None
    cdn_url: str | None
    r2_key: str | None
    asset_type: str
    media_type: str | None
    file_size: int | None
    width: int | None
    height: int | None
    provider_id: str
    best: bool
    core: float | None
    core_threshold: float | None
    style: float | None
    style_threshold: float | None
    style_decides: bool | None
    passed: bool | None
    missing_reason: str | None


class GivenFeedback(Wire):
    feedback_type: str
    rating: int | None
    comment: str | None
    user_id: str
    asset_id: str | None
    created_at: datetime


class ActDone(Wire):
    """What somebody did: `actor` is the member whose key it was, `key` its name; null on the command line."""

    at: datetime
    actor: str
    key: str | None
    act: str
    generation_id: str | None
    detail: dict[str, Any]


class ActsDone(Wire):
    """What members did that is about no batch: to characters, keys and limits; the newest first."""

    acts: list[ActDone]


class StageDone(Wire):
    """A stage of a generation, before its picture or of it; see docs/from-image.md."""

    name: str
    outcome: str = Field(examples=["done", "off", "fell_back", "running"])
    started_at: datetime
    took_ms: float | None
    cost_usd: str
    inputs: dict[str, Any]
    added: dict[str, Any]
    detail: dict[str, Any]


class Generation(Wire):
    """A prompt on its way to an accepted picture."""

    id: str
    status: Literal["pending", "processing", "completed", "failed"]
    state: str = Field(description="the same, more finely; see docs/state-machine.md")
    status_url: str
    batch_id: str
    user_id: str
    prompt: str
    provider: str
    model: str
    cost: str = Field(description="charged so far, in US dollars")
    settings: dict[str, Any]
    pipeline_data: dict[str, Any]
    translated: list[str] = Field(description="which of the request's words were taken for others")
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    stages: list[StageDone] = Field(description="in the order in which they ran")
    assets: list[Asset]
    feedback: list[GivenFeedback]
    acts: list[ActDone]


class GenerationTaken(Generation):
    """A generation that was just enqueued, with what is odd about the request."""

    warnings: list[str] = Field(description="what of the request was left out, guessed or half understood")


class Generations(Wire):
    generations: list[Generation]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null on the last one")


class Tombstone(Wire):
    """What is left of a deleted generation, beside the ledger."""

    id: str
    deleted_at: datetime
    deleted_by: str
    pictures_removed: int
    finished: bool = Field(description="false while a job still runs at a provider; its pictures are removed then")
