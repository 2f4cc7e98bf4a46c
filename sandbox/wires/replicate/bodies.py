"""The JSON bodies of Replicate's wire, built from a job at a moment. Pure.

Sources: Replicate's OpenAPI text (April 2026), its page on data retention, error bodies seen in production in 2026.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.jobs import Job
from sandbox.pictures import media_type_of, numbered_urls, result_url
from sandbox.wires.replicate.models import Model

STOPPED = frozenset({"canceled", "aborted"})
ENDINGS = {"jpg": "jpg", "jpeg": "jpg", "png": "png", "webp": "webp"}

TITLES = {
    401: "Unauthenticated",
    402: "Insufficient credit",
    404: "Not found",
    422: "Input validation failed",
    500: "Internal Server Error",
}
DETAILS = {
    401: "You did not pass a valid authentication token",
    402: (
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to"
        " purchase credit. Once you purchase credit, please wait a few minutes before trying again."
    ),
    404: "The requested resource could not be found.",
}
THROTTLED = {
    "plain": "Request was throttled. Your rate limit resets in ~{wait}s.",
    "old": "Request was throttled. Expected available in {wait} second.",
    "low_credit": (
        "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a"
        " burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~{wait}s."
    ),
    "no_payment": (
        "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a"
        " burst of 1 requests until you add a payment method. Your rate limit resets in ~{wait}s."
    ),
}


def problem(status: int, detail: str | None = None, **more: object) -> dict[str, object]:
    titled = {"title": TITLES[status]} if status in TITLES else {}
    return {**titled, "detail": detail or DETAILS.get(status, f"status {status}"), "status": status, **more}


def throttled(kind: str, wait_s: int) -> dict[str, object]:
    """A 429, which has no title; the older ones have no number either."""
    body: dict[str, object] = {"detail": THROTTLED[kind].format(wait=wait_s), "status": 429}
    return body if kind == "old" else body | {"retry_after": wait_s}


def invalid(fields: Sequence[tuple[str, str, str]]) -> dict[str, object]:
    """A 422 for these (type, field, description)."""
    return problem(
        422,
        "".join(f"- {field}: {description}\n" for _, field, description in fields),
        invalid_fields=[
            {"type": kind, "field": field, "description": description} for kind, field, description in fields
        ],
    )


def status_of(job: Job, now_s: float) -> str:
    if job.state == "succeeded":
        return "succeeded"
    if job.state == "failed":
        return job.message if job.message in STOPPED else "failed"
    return "starting" if now_s < job.starts_at_s else "processing"


def forgotten(job: Job, *, now_s: float, retention_s: float) -> bool:
    return job.finished_at_s is not None and now_s >= job.finished_at_s + retention_s


def prediction(job: Job, *, now_s: float, base_url: str, retention_s: float, many: bool) -> dict[str, object]:
    status = status_of(job, now_s)
    removed = forgotten(job, now_s=now_s, retention_s=retention_s)
    address = f"{base_url}/replicate/v1/predictions/{job.job_id}"
    body: dict[str, object] = {
        "id": job.job_id,
        "model": job.mode,
        "version": "hidden",
        "input": {} if removed else job.plan["input"],
        "logs": "" if removed else _logs(job, now_s),
        "output": None,
        "data_removed": removed,
        "error": job.message if status == "failed" else None,
        "status": status,
        "source": "api",
        "created_at": moment(job.accepted_at_s),
        "urls": {"get": address, "cancel": f"{address}/cancel", "web": f"https://replicate.com/p/{job.job_id}"},
    }
    if status not in {"starting", "aborted"}:
        body["started_at"] = moment(job.starts_at_s)
    if job.finished_at_s is not None:
        ran_s = max(0.0, job.finished_at_s - job.starts_at_s)
        metrics = {} if status == "aborted" else {"predict_time": ran_s}
        body["completed_at"] = moment(job.finished_at_s)
        body["metrics"] = {**metrics, "total_time": job.finished_at_s - job.accepted_at_s}
    if "ends_at_s" in job.plan:
        body["deadline"] = moment(job.plan["ends_at_s"])
    if status == "succeeded" and not removed:
        body["output"] = output(job, base_url, many=many)
    return body


def respelt(body: Mapping[str, Any]) -> dict[str, object]:
    """A prediction whose input is told in other words: defaults that nobody sent, addresses instead of files."""
    told = {key: _told(one) for key, one in body["input"].items()}
    return {**body, "input": {"disable_safety_checker": False, **told}}


def _told(value: object) -> object:
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, str) and value.startswith("data:"):
        return f"https://replicate.delivery/{hashlib.sha256(value.encode()).hexdigest()}"
    return value


def output(job: Job, base_url: str, *, many: bool) -> object:
    ending = ending_of(job)
    if job.plan.get("numbered"):
        return numbered_urls(base_url, job, ending)
    address = result_url(base_url, job, ending)
    return [address] if many else address


def ending_of(job: Job) -> str:
    """The file name's ending of the format that was asked for."""
    return ENDINGS.get(str(job.plan["format"]), "png")


def _logs(job: Job, now_s: float) -> str:
    """A progress bar, as the models print one; it is full at the end and not before."""
    if job.state != "accepted" or now_s < job.starts_at_s:
        return ""
    share = min(0.99, (now_s - job.starts_at_s) / max(job.due_at_s - job.starts_at_s, 1e-9))
    step = int(share * 20)
    return f"{step * 5:3d}%|{'#' * step:20s}| {step}/20"


def model_object(name: str, model: Model, *, base_url: str) -> dict[str, object]:
    owner, _, short = name.partition("/")
    return {
        "url": f"https://replicate.com/{name}",
        "owner": owner,
        "name": short,
        "description": "Played by the sandbox",
        "visibility": "public",
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 1_000_000,
        "cover_image_url": f"{base_url}/pictures/cover.png",
        "default_example": None,
        "is_official": True,
        "latest_version": {
            "id": hashlib.sha256(name.encode()).hexdigest(),
            "created_at": "2026-09-01T00:00:00.000000Z",
            "cog_version": "0.16.0",
            "openapi_schema": openapi(model),
        },
    }


def openapi(model: Model) -> dict[str, object]:
    properties = {
        name: {key: value for key, value in one.items() if key != "required"} | {"x-order": order}
        for order, (name, one) in enumerate(model.inputs.items())
    }
    picture: Mapping[str, Any] = {"type": "string", "format": "uri"}
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {},
        "components": {
            "schemas": {
                "Input": {
                    "type": "object",
                    "title": "Input",
                    "required": [name for name, one in model.inputs.items() if one.get("required")],
                    "properties": properties,
                },
                "Output": {"type": "array", "items": picture, "title": "Output"} if model.many else picture,
            }
        },
    }


def moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, tz=UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def file_object(path: Path, base_url: str) -> dict[str, object]:
    """An uploaded file as the Files API describes it."""
    return {
        "id": path.stem,
        "name": path.name,
        "content_type": media_type_of(path.name),
        "size": path.stat().st_size,
        "checksums": {"sha256": path.stem},
        "metadata": {},
        "created_at": moment(path.stat().st_mtime),
        "expires_at": moment(path.stat().st_mtime + 24 * 3600),
        "urls": {"get": f"{base_url}/replicate/v1/files/{path.name}"},
    }
