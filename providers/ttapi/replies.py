"""TTAPI's replies read: envelopes, refusals, finished jobs and rows of the list, in every spelling its pages show.

What a call asks for is in `providers.ttapi.adapter` and `providers.ttapi.side_jobs`; what a failure's message means, in
`providers.ttapi.failures`.
"""

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from domain.errors import (
    KeyRefused,
    MaybeSent,
    OutOfMoney,
    ProviderDown,
    ProviderError,
    QueueFull,
    RateLimited,
    ReplyUnreadable,
    RequestRefused,
)
from providers import midjourney_flags
from providers.charges import said_usd
from providers.contract import Accepted, Made, Reply, Running
from providers.listed import ListedJob
from providers.notices import Told
from providers.transport import json_values as read
from providers.transport.failure_text import shown
from providers.transport.retry_after import retry_after_s
from providers.ttapi.failures import failure_of, is_known, refusal_of

#: 1 USD = 100 quota. Source: docs.ttapi.io/grids/en/faq/billing, 2026-05-13.
QUOTA_PER_USD: Final = Decimal(100)

#: What a fresh job is called; everything else is a further job.
IMAGINE: Final = "imagine"
#: Actions whose result is one picture. All others give a grid of four.
_SINGLE: Final = ("upsample", "upscale", "redo_upscale")
#: Between an action and the text of the job it began with; no prompt of a person's begins like this.
_FROM: Final = " <- "
_FURTHER: Final = re.compile(rf"[a-z0-9_]+{_FROM}")
_CREATED: Final = ("created_at", "createdAt", "submitTime", "submit_time")
_DETAIL: Final = frozenset({"action", "actions", "components", "quota", "width", "height", "seed", "prompt", "mode"})


def body_of(reply: Reply) -> dict[str, Any] | None:
    """The JSON object in the reply, if it is one."""
    try:
        body = json.loads(reply.content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def accepted(reply: Reply) -> Accepted:
    """The id of the job that a submission made.

    Raises:
        ProviderError: a documented refusal, by its class.
        MaybeSent: anything that is neither an acceptance nor a documented refusal.
    """
    refused = refusal(reply)
    if refused is not None:
        raise refused
    body = body_of(reply)
    if not 200 <= reply.status < 300 or body is None:
        raise MaybeSent(
            f"TTAPI answered the submission with {reply.status} and nothing that says whether the job exists"
        )
    status, job_id = read.text(body, "status"), _job_id(body)
    if status == "SUCCESS" and job_id:
        return Accepted(job_id=job_id)
    if status == "FAILED" and not job_id and reply.status == 200:
        raise failure_of(read.text(body, "message"))
    raise MaybeSent(f"TTAPI answered the submission with status {status!r} and job id {job_id!r}, which is neither")


def refusal(reply: Reply) -> ProviderError | None:
    """The error of a status that TTAPI documents as a refusal; None for every other status.

    422 is in none of its tables, so that alone it proves nothing; with the body that TTAPI documents for a failed
    submission it is the service's own word.
    """
    body = body_of(reply) or {}
    message = read.text(body, "message") or read.text(read.mapping(body, "error"), "message") or ""
    kinds: dict[int, type[ProviderError]] = {
        401: KeyRefused,
        402: OutOfMoney,
        403: KeyRefused,
        404: RequestRefused,
        429: RateLimited,
        499: QueueFull,
    }
    said = reply.status == 422 and read.text(body, "status") == "FAILED" and not _job_id(body)
    kind = refusal_of(message) if reply.status == 400 or said else kinds.get(reply.status)
    if kind is None:
        return None
    return kind(shown(kind("").code, code=str(reply.status), message=message), retry_after_s=retry_after_s(reply))


def _job_id(body: Mapping[str, Any]) -> str | None:
    return read.text(read.mapping(body, "data"), "job_id", "jobId")


def answer_of(reply: Reply) -> dict[str, Any]:
    """The body of a call that may be repeated.

    A 404 or 400 says nothing about the job either: it is also what a wrong path, or a job that this node
    of the service does not know yet, would give, and a job that may be paid is not given up for that.
    """
    if reply.status in {401, 402, 403, 429, 499}:
        refused = refusal(reply)
        if refused is not None:
            raise refused
    if reply.status >= 500:
        raise ProviderDown(f"TTAPI answered {reply.status}", retry_after_s=retry_after_s(reply))
    body = body_of(reply)
    if reply.status != 200 or body is None:
        raise ReplyUnreadable(f"TTAPI answered {reply.status} with a body that can't be used")
    return body


def ended_or_running(reply: Reply) -> Running | dict[str, Any]:
    """What a fetch says: the job is at work, or the data of its success.

    Raises:
        ProviderError: the service's last word on a failed job, or that this call said nothing about it.
    """
    body = answer_of(reply)
    status = read.text(body, "status")
    data = read.mapping(body, "data")
    if status == "SUCCESS":
        return data
    if status == "FAILED":
        message = read.text(body, "message") or read.text(data, "message")
        # A failed fetch has the same envelope as a failed job, but names no job. A paid job is given up
        # only on words that are about a job.
        if not data and not read.text(body, "jobId", "job_id") and not is_known(message):
            raise ReplyUnreadable(shown("reply_unreadable", code="FAILED", message=message))
        raise failure_of(message, charged_usd=dollars(read.number(data, "quota")))
    if status is None:
        raise ReplyUnreadable("TTAPI answered the fetch without a status")
    # PENDING_QUEUE, ON_QUEUE, and any word TTAPI may add: still running, until our own deadline.
    return Running(percent=read.percent(data, "progress"))


def action_in(data: Mapping[str, Any]) -> str | None:
    return read.text(data, "action", "actions")


def made(data: Mapping[str, Any]) -> Made:
    """A finished job; decided on `status` alone, since `progress` may stay null or below 100."""
    pictures = read.texts(data, "images")
    whole = read.text(data, "cdnImage", "cdn_image") or read.text(data, "discordImage", "discord_image")
    if not pictures and whole is None:
        raise ReplyUnreadable("TTAPI says SUCCESS and gives no picture's address")
    single = (action_in(data) or "").startswith(_SINGLE)
    if single and whole is not None:
        pictures = pictures or [whole]
    detail = {name: value for name, value in data.items() if name in _DETAIL and value is not None}
    aspect = midjourney_flags.aspect_in(read.text(data, "prompt") or "")
    return Made(
        picture_urls=pictures,
        grid_url=None if single else whole,
        charged_usd=dollars(read.number(data, "quota")),
        detail=detail if aspect is None else {**detail, "aspect": list(aspect)},
    )


def named_job(content: bytes) -> str | None:
    """The job that a callback's body names."""
    body = body_of(Reply(status=200, headers={}, content=content)) or {}
    return read.text(body, "jobId", "job_id") or _job_id(body)


def told(reply: Reply) -> Told:
    """What a fetch tells of the request behind its job, whatever became of it."""
    data = read.mapping(answer_of(reply), "data")
    prompt = read.text(data, "prompt")
    further = None if action_in(data) in {None, IMAGINE} else action_in(data)
    return Told(
        prompt=prompt if prompt is None or further is None else further_text(further, prompt),
        hook_url=read.text(data, "hookUrl", "hook_url"),
    )


def dollars(quota: Decimal | None) -> Decimal | None:
    """What a number of quota is worth; None where it is not said, or can't be."""
    return None if quota is None else said_usd(quota / QUOTA_PER_USD, by="TTAPI")


def further_text(action: str, parent_text: str) -> str:
    """How a further job is written down and recognised: by its action, and the text of the fresh job it began with."""
    found = _FURTHER.match(parent_text)
    return f"{action}{_FROM}{parent_text[found.end() :] if found else parent_text}"


def listed(row: Mapping[str, Any]) -> ListedJob:
    job_id = read.text(row, "job_id", "jobId")
    if not job_id:
        raise ReplyUnreadable("TTAPI lists a job without an id")
    action, prompt = action_in(row), read.text(row, "prompt")
    further = None if action in {None, IMAGINE} else action
    return ListedJob(
        job_id=job_id,
        # A fresh job of which the list does not say the prompt may be anybody's.
        prompt=prompt if further is None else further_text(further, prompt or ""),
        created_at=read.unix_time(row, *_CREATED),
        created_before=read.latest_unix_time(row, *_CREATED),
        status=read.text(row, "status"),
        action=further,
        charged_usd=dollars(read.number(row, "quota")),
    )
