"""What requests about batches and their answers look like on the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from api.wire import ActDone, GenerationSettings, Money, Name, Prompt, Text, Url, Wire
from domain.escalation import MOST_TRIES

Prompts = Annotated[list[Prompt | dict[str, Any]], Field(min_length=1, max_length=100_000)]


class BatchOrder(Wire):
    """Prompts that are enqueued together, under one budget."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "autumn",
                    "prompts": ["Lulu Pig in the rain", {"prompt": "Lulu Pig at the market", "theme": "Market"}],
                    "settings": {"provider": "replicate"},
                    "maxCostUsd": "20",
                }
            ]
        }
    )

    name: Name
    prompts: Prompts = Field(description="texts, or objects with the columns of a prompt file")
    user_id: Name | None = None
    settings: GenerationSettings = Field(default_factory=GenerationSettings)
    character: Name | None = None
    max_cost_usd: Money | None = Field(None, description="the budget, a hard limit")
    max_image_cost_usd: Money | None = Field(None, description="the most one call may cost")
    priority: int | None = Field(None, ge=1, le=100)
    max_tries: int | None = Field(None, ge=1, le=MOST_TRIES)
    escalate: Text | None = Field(None, max_length=100, examples=["weight,references"])
    webhook_url: Url | None = None


class BatchTaken(Wire):
    """A batch that was enqueued, or would be."""

    id: str | None = Field(description="null for a dry run")
    name: str
    status_url: str | None
    total: int
    new: int
    known: int
    expected_usd: str
    at_most_usd: str
    limit_usd: str | None
    at_least_s: float
    at_most_s: float
    warnings: list[str]
    translated: list[str]
    webhook_secret: str | None = Field(None, description="signs what is sent to `webhookUrl`; shown once")


class Batch(Wire):
    """Where a batch stands."""

    id: str
    name: str
    user_id: str
    status_url: str
    total: int
    counts: dict[str, int]
    accepted: int
    finished: bool
    charged_usd: str
    held_usd: str
    in_doubt_usd: str
    limit_usd: str | None
    remaining_usd: str | None
    avg_cost_per_image_usd: str | None = Field(description="charged per accepted picture; null before the first")
    usd_per_call: str | None = Field(description="charged per charged call; null before the first")
    wall_s: float
    paused: str | None
    stopped: str | None
    created_at: datetime
    acts: list[ActDone] = Field(default_factory=list, description="who did what, the newest first")


class BatchSummary(Wire):
    id: str
    name: str
    user_id: str
    status_url: str
    total: int
    accepted: int
    rejected: int
    failed: int
    canceled: int
    unfinished: int
    charged_usd: str
    limit_usd: str | None
    paused: str | None
    stopped: str | None
    created_at: datetime


class Batches(Wire):
    batches: list[BatchSummary]
    next_cursor: str | None


class Pause(Wire):
    reason: Text = Field("paused by the API", min_length=1, max_length=200)


class Budget(Wire):
    max_cost_usd: Money | None = Field(description="null lifts the budget")


class Resume(Wire):
    max_cost_usd: Money | None = Field(None, description="another budget, which takes the scope `approve`")


class Retry(Wire):
    states: list[Literal["failed", "rejected", "canceled"]] = Field(default=["failed"], min_length=1, max_length=3)
    reason: Text | None = Field(None, max_length=100, description="only what failed with this `errorCode`")
    anew: bool = False


class Canceled(Wire):
    asked: int
    running: int
    finishing: int = Field(description="calls at a provider that finish pictures, and end with its last word")
    batch: Batch


class Retried(Wire):
    queued: int
    checked: int
    batch: Batch
