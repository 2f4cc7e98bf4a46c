"""Each adapter of the registry, with a request, replies and refusals as its own service writes them."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from domain.errors import (
    ContentRefused,
    JobFailed,
    JobTimedOut,
    KeyRefused,
    OutOfMoney,
    ProviderError,
    RateLimited,
    RequestRefused,
)
from providers.adapter import Adapter
from providers.contract import Call, Reply
from providers.openai.adapter import OpenAI
from providers.replicate.adapter import Replicate
from providers.ttapi.adapter import TTAPI

JOB = "6d7765ac-f2dd-440b-8464-660e2f83f3a5"


KEY = "sk-0123456789"


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status=status, headers=headers, content=json.dumps(body).encode())


def prompt_in(call: Call) -> str:
    assert call.json is not None
    return str(call.json["prompt"])


@dataclass(frozen=True, kw_only=True)
class Wire:
    """What a service says, in one of its spellings.

    Args:
        text_in: the text of a submission that stands in the attempt's row.
        accepted: the answer to a submission that the service took.
        refusals: answers to a submission that the service documents as refusals, and what each is.
    """

    adapter: Adapter
    model: str
    accepted: Reply
    refusals: Mapping[str, tuple[Reply, type[ProviderError]]]
    settings: Mapping[str, object] = field(default_factory=dict)
    text_in: Callable[[Call], str] = prompt_in


@dataclass(frozen=True, kw_only=True)
class JobWire(Wire):
    """What a service says that makes jobs of submissions.

    Args:
        last_words: answers to a poll that end a job without pictures, and what each is.
    """

    running: Reply
    finished: Reply
    last_words: Mapping[str, tuple[Reply, type[ProviderError]]]


def _ttapi_refusals(job_failure: object) -> dict[str, tuple[Reply, type[ProviderError]]]:
    return {
        "validation": (reply({"message": "prompt cannot be empty"}, 400), RequestRefused),
        "moderation": (reply({"message": "banned prompt words: blood"}, 400), ContentRefused),
        "key": (reply({"message": "no key"}, 401), KeyRefused),
        "wallet": (reply({"message": "balance"}, 402), OutOfMoney),
        "speed": (reply({"message": "slow"}, 429, **{"retry-after": "7"}), RateLimited),
        "inside 200": (
            reply({"status": "FAILED", "message": "[Banned prompt detected]", "data": job_failure}),
            ContentRefused,
        ),
    }


def _ttapi_last_words(data: dict[str, object]) -> dict[str, tuple[Reply, type[ProviderError]]]:
    return {
        message: (reply({"status": "FAILED", "message": message, "data": data}), kind)
        for message, kind in (("[Image denied]", ContentRefused), ("[Bad response] Internal Error.", JobFailed))
    }


def _prediction(status: str, **more: object) -> Reply:
    """A prediction as Replicate's OpenAPI text has it, its required keys all there."""
    address = f"https://api.replicate.com/v1/predictions/{JOB}"
    known: dict[str, object] = {
        "id": JOB,
        "model": "google/nano-banana-pro",
        "version": "hidden",
        "input": {"prompt": "a pink pig"},
        "output": None,
        "data_removed": False,
        "error": None,
        "status": status,
        "created_at": "2026-11-21T10:00:00.123Z",
        "urls": {"web": f"https://replicate.com/p/{JOB}", "get": address, "cancel": f"{address}/cancel"},
    }
    return reply(known | more)


def _input_in(call: Call) -> str:
    assert call.json is not None
    model = call.path.removeprefix("/v1/models/").removesuffix("/predictions")
    sent = {"model": model, "input": call.json["input"]}
    return json.dumps(sent, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _problem(status: int, detail: str, **more: object) -> Reply:
    return reply({"detail": detail, "status": status} | more, status)


_THROTTLED = "Request was throttled. Your rate limit resets in ~30s."


_REPLICATE_REFUSALS: dict[str, tuple[Reply, type[ProviderError]]] = {
    "validation": (
        _problem(
            422,
            "- input: prompt is required\n",
            title="Input validation failed",
            invalid_fields=[{"type": "required", "field": "input", "description": "prompt is required"}],
        ),
        RequestRefused,
    ),
    "gone": (_problem(404, "Not found"), RequestRefused),
    "key": (_problem(401, "You did not pass a valid authentication token", title="Unauthenticated"), KeyRefused),
    "not yours": (_problem(403, "You do not have permission to run this model", title="Forbidden"), RequestRefused),
    "not this token": (_problem(403, "This token may not create predictions", title="Forbidden"), KeyRefused),
    "account": (_problem(403, "Your account has been suspended"), KeyRefused),
    "wallet": (
        _problem(402, "You have insufficient credit to run this model.", title="Insufficient credit"),
        OutOfMoney,
    ),
    "speed": (_problem(429, _THROTTLED, retry_after=5), RateLimited),
}


_REPLICATE_LAST_WORDS: dict[str, tuple[Reply, type[ProviderError]]] = {
    "sensitive": (
        _prediction("failed", error="The input or output was flagged as sensitive. Please try again. (E005) (x1)"),
        ContentRefused,
    ),
    "fault": (_prediction("failed", error="An error occurred while processing your request (E001)"), JobFailed),
    "upstream": (_prediction("failed", error="404 models/imagen-4.0 is not found"), RequestRefused),
    "never began": (_prediction("aborted"), JobTimedOut),
}


PIXEL = b"\x89PNG\r\n\x1a\n..."


def _openai_error(status: int, code: str | None, message: str, **more: object) -> Reply:
    return reply(
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code} | more}, status
    )


_BLOCKED = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com"
    " and include the request ID req_1. safety_violations=[violence]."
)


_OPENAI_REFUSALS: dict[str, tuple[Reply, type[ProviderError]]] = {
    "moderation": (
        _openai_error(400, "moderation_blocked", _BLOCKED, type="image_generation_user_error"),
        ContentRefused,
    ),
    "moderation of the dall-e era": (_openai_error(400, "content_policy_violation", "rejected"), ContentRefused),
    "field": (
        _openai_error(400, "invalid_input_fidelity_model", "no input_fidelity", param="input_fidelity"),
        RequestRefused,
    ),
    "spend cap": (_openai_error(400, "billing_hard_limit_reached", "Billing hard limit has been reached"), OutOfMoney),
    "key": (_openai_error(401, "invalid_api_key", "Incorrect API key provided: sk-***"), KeyRefused),
    "organisation": (_openai_error(403, None, "Your organization must be verified to use the model"), RequestRefused),
    "project": (_openai_error(403, "model_not_found", "Project `p` does not have access to model"), RequestRefused),
    "region": (
        _openai_error(
            403,
            "unsupported_country_region_territory",
            "Country, region, or territory not supported",
            type="request_forbidden",
        ),
        KeyRefused,
    ),
    "scope": (_openai_error(403, None, "Missing scopes: api.model.images.request."), KeyRefused),
    "retired": (_openai_error(404, "model_not_found", "The model 'dall-e-3' does not exist"), RequestRefused),
    "speed": (
        _openai_error(429, "rate_limit_exceeded", "Rate limit reached", type="images"),
        RateLimited,
    ),
    "wallet": (
        _openai_error(429, "insufficient_quota", "You exceeded your current quota", type="insufficient_quota"),
        OutOfMoney,
    ),
    "wallet, in plain text": (
        Reply(status=429, headers={}, content=b"You have no credits remaining. Add credits to continue."),
        OutOfMoney,
    ),
}


WIRES: dict[str, Wire] = {
    "openai": Wire(
        adapter=OpenAI(),
        model="gpt-image-2.5-flare",
        accepted=reply({"created": 1795000000, "data": [{"b64_json": base64.b64encode(PIXEL).decode()}]}),
        refusals=_OPENAI_REFUSALS,
        settings={"quality": "low", "ar": "3:2"},
    ),
    "replicate, one address": JobWire(
        adapter=Replicate(),
        model="google/nano-banana-pro",
        accepted=reply({"id": JOB, "status": "starting", "output": None}, 201),
        running=_prediction("processing", logs="0%|          | 0/13\n31%|###       | 4/13"),
        finished=_prediction("succeeded", output="https://replicate.delivery/x/out.png"),
        refusals=_REPLICATE_REFUSALS,
        last_words=_REPLICATE_LAST_WORDS,
        text_in=_input_in,
    ),
    "replicate, several addresses": JobWire(
        adapter=Replicate(),
        model="openai/gpt-image-2",
        accepted=reply({"id": JOB, "status": "processing"}, 202),
        running=_prediction("starting", logs="31%|###       | 4/13"),
        finished=_prediction("succeeded", output=["https://replicate.delivery/x/0.webp", "data:image/png;base64,AA=="]),
        refusals=_REPLICATE_REFUSALS,
        last_words=_REPLICATE_LAST_WORDS,
        settings={"quality": "low", "n": 2},
        text_in=_input_in,
    ),
    "ttapi as of 2026": JobWire(
        adapter=TTAPI(),
        model="midjourney",
        accepted=reply({"status": "SUCCESS", "message": "success", "data": {"job_id": JOB}}),
        running=reply({"status": "ON_QUEUE", "jobId": JOB, "data": {"jobId": JOB, "progress": "31"}}),
        finished=reply(
            {
                "status": "SUCCESS",
                "jobId": JOB,
                "data": {
                    "cdnImage": "https://c/g.png",
                    "images": ["https://c/tl.png"],
                    "quota": "2",
                    "progress": "100",
                },
            }
        ),
        refusals=_ttapi_refusals(None),
        last_words=_ttapi_last_words({"jobId": JOB, "progress": None, "images": None}),
    ),
    "ttapi as of 2024": JobWire(
        adapter=TTAPI(),
        model="midjourney",
        accepted=reply({"status": "SUCCESS", "message": "success", "data": {"jobId": JOB}}),
        running=reply({"status": "ON_QUEUE", "data": {"actions": "imagine", "jobId": JOB, "progress": "31%"}}),
        finished=reply(
            {
                "status": "SUCCESS",
                "message": "success",
                "data": {
                    "actions": "imagine",
                    "jobId": JOB,
                    "discordImage": "https://c/g.png",
                    "quota": 3,
                    "progress": 100,
                },
            }
        ),
        refusals=_ttapi_refusals({}),
        last_words=_ttapi_last_words({"actions": "imagine", "jobId": JOB, "quota": 0}),
    ),
}
