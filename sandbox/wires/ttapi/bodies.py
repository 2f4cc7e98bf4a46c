"""The JSON bodies of TTAPI's Midjourney wire, built from a job at a moment. Pure.

Every variant that its documentation shows is here, the older spelling too, because callers must read both.
Sources: docs.ttapi.io imagine and fetch pages (March 2026), docs.mjapiapp.com account page (history list).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sandbox.jobs import Job, Phase, usd
from sandbox.pictures import corner_urls, result_url

GRID_COMPONENTS = (
    *(f"upsample{number}" for number in (1, 2, 3, 4)),
    "reroll",
    *(f"variation{number}" for number in (1, 2, 3, 4)),
)
SINGLE_COMPONENTS = (
    "upscale_subtle",
    "upscale_creative",
    "low_variation",
    "high_variation",
    "zoom_out_2",
    "zoom_out_1_5",
    "pan_left",
    "pan_right",
    "pan_up",
    "pan_down",
)
PHASES: Mapping[str, Phase] = {
    "PENDING_QUEUE": "waiting",
    "ON_QUEUE": "running",
    "SUCCESS": "succeeded",
    "FAILED": "failed",
}
LIST_STATUS = {"PENDING_QUEUE": 0, "ON_QUEUE": 1, "SUCCESS": 2, "FAILED": 3}  # only 2 is documented


def envelope(data: object, message: str = "success") -> dict[str, object]:
    return {"status": "SUCCESS", "message": message, "data": data}


def failure(message: str) -> dict[str, object]:
    return {"status": "FAILED", "message": message, "data": None}


def status_of(job: Job, now_s: float) -> str:
    if job.state != "accepted":
        return "SUCCESS" if job.state == "succeeded" else "FAILED"
    return "PENDING_QUEUE" if now_s < job.starts_at_s else "ON_QUEUE"


def progress_of(job: Job, now_s: float) -> int:
    """Percent; 99 while a job whose time has come is still being drawn."""
    if job.state == "succeeded":
        return 100
    done = (now_s - job.starts_at_s) / max(job.due_at_s - job.starts_at_s, 1e-9)
    return round(99 * min(1.0, max(0.0, done)))


def quota(job: Job) -> Decimal:
    """What the job cost in quota, of which a dollar has a hundred."""
    amount = usd(job.charged_micros) * 100
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount.normalize()


def components_of(job: Job) -> tuple[str, ...]:
    """The actions that a job which is done offers; none where it made no picture."""
    if not job.plan.get("tiles"):
        return ()
    return GRID_COMPONENTS if len(job.plan.get("tiles", [])) == 4 else SINGLE_COMPONENTS


def fetch_body(job: Job, *, now_s: float, base_url: str) -> dict[str, object]:
    status = status_of(job, now_s)
    data: dict[str, object] = {
        "action": job.kind,
        "jobId": job.job_id,
        "progress": None if status == "FAILED" else str(progress_of(job, now_s)),
        "prompt": job.prompt,
        "quota": str(quota(job)),
        "discordImage": None,
        "cdnImage": None,
        "width": None,
        "height": None,
        "hookUrl": job.hook_url,
        "components": None,
        "seed": None,
        "images": None,
    }
    if status == "SUCCESS":
        data |= _result(job, base_url)
    return {"status": status, "message": job.message if status == "FAILED" else "", "jobId": job.job_id, "data": data}


def _result(job: Job, base_url: str) -> dict[str, object]:
    side = 2 if len(job.plan["tiles"]) == 4 else 1
    width, height = job.plan["size"]
    address = result_url(base_url, job)
    return {
        "cdnImage": address,
        "discordImage": address,
        "width": side * width,
        "height": side * height,
        "components": list(components_of(job)),
        "images": corner_urls(base_url, job) if side == 2 and job.plan["images"] else None,
    }


def in_old_shape(body: Mapping[str, Any]) -> dict[str, object]:
    """A fetch body as pages and clients before 2026 have it."""
    data = dict(body["data"])
    data["actions"] = data.pop("action")
    data["quota"] = float(data["quota"]) if "." in data["quota"] else int(data["quota"])
    data["progress"] = None if data["progress"] is None else f"{data['progress']}%"
    data.pop("images")
    return {**body, "data": data}


def without_images(body: Mapping[str, Any]) -> dict[str, object]:
    return {**body, "data": {**body["data"], "images": None}}


def list_row(job: Job, *, now_s: float, base_url: str, clock_s: float = 0.0) -> dict[str, object]:
    """A row of the history list: snake case, numbers for status and quota, `model` for the mode.

    Args:
        clock_s: how far the clock that writes its times is off.
    """
    status = status_of(job, now_s)
    address = result_url(base_url, job) if status == "SUCCESS" and job.plan.get("tiles") else None
    amount = quota(job)
    return {
        "job_id": job.job_id,
        "model": job.mode,
        "action": job.kind,
        "quota": int(amount) if amount == amount.to_integral_value() else float(amount),
        "status": LIST_STATUS[status],
        "progress": None if status == "FAILED" else str(progress_of(job, now_s)),
        "prompt": job.prompt,
        "discord_image": address,
        "cdn_image": address,
        "hook_url": job.hook_url,
        "components": list(components_of(job)) if status == "SUCCESS" else None,
        "seed": None,
        "message": job.message if status == "FAILED" else "",
        "created_at": clock(job.accepted_at_s + clock_s),
        "updated_at": clock((job.finished_at_s or job.accepted_at_s) + clock_s),
    }


def respelt(row: Mapping[str, object]) -> dict[str, object]:
    """A row whose prompt says the mode too, which was sent beside it."""
    return {**row, "prompt": f"{row['prompt']} --{row['model']}"}


def clock(at_s: float) -> str:
    """The wire's way to write a time: UTC, to the second, without a zone."""
    return datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
