"""Adapter for Midjourney by TTAPI: writes its calls and reads its replies, and does nothing else.

Both spellings of every key that TTAPI's pages and clients show are understood. The prompt's flags are
`providers.midjourney`'s business, what a failure's message means is `providers.ttapi_failures`'s.

Source: PROVIDERS.md 1, TTAPI's documentation of 2026-03 to 2026-05.
"""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
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
from domain.money import usd
from providers import json_values as read
from providers import midjourney
from providers.base import Accepted, AccountInfo, Ask, Call, ListedJob, ListedPage, Made, Progress, Reply, Running
from providers.retry_after import retry_after_s
from providers.seeds import seed_of
from providers.ttapi_failures import failure_of, is_known, refusal_of
from providers.wording import shown

#: 1 USD = 100 quota. Source: docs.ttapi.io/grids/en/faq/billing, 2026-05-13.
QUOTA_PER_USD: Final = Decimal(100)

MODES: Final = ("relax", "fast", "turbo")
DEFAULT_MODE: Final = "relax"
#: TTAPI's own limit on a job's time, in seconds: the least it allows, and what is sent when nobody says. Relax
#: jobs are said to take up to ten minutes, which is also the least allowed, so they get a margin.
LEAST_TIMEOUT_S: Final = {"relax": 600, "fast": 300, "turbo": 300}
USUAL_TIMEOUT_S: Final = {"relax": 900, "fast": 300, "turbo": 300}
MOST_TIMEOUT_S: Final = 1200
#: Jobs on one page of the list; the most that TTAPI gives.
LIST_PAGE: Final = 100
#: A little below the stated speeds (turbo under 30 to 60 s, fast under 60 to 90 s, relax 2 to 10 min).
FIRST_LOOK: Final = {"relax": timedelta(seconds=150), "fast": timedelta(seconds=45), "turbo": timedelta(seconds=25)}


class TTAPI:
    """Midjourney's imagine, by TTAPI's pay-per-use and hold hosts, which speak the same."""

    name = "ttapi"
    #: TTAPI answers a submission within a second or two; what takes this long will hardly be answered at all.
    submit_total_s = 30.0
    #: Without a status TTAPI lists finished jobs only. Source: ttapi.io/docs/apiReference/others.
    list_parts = ("PENDING_QUEUE", "ON_QUEUE", "SUCCESS", "FAILED")

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"TT-API-KEY": key}

    def prompt_text(self, ask: Ask) -> str:
        """The prompt with its flags, a seed of ours among them unless the person fixed one.

        TTAPI echoes nothing of ours but the prompt, and a seed is the one part of it that may differ without
        changing its meaning: it makes the job recognisable in the list when the reply to its submission is lost.
        """
        return midjourney.prompt_text(
            ask.prompt,
            settings=_with_version(ask.model, ask.settings),
            reference_urls=ask.reference_urls,
            seed_if_none=seed_of(ask.attempt_id),
        )

    def build_submit(self, ask: Ask) -> Call:
        mode = mode_of(ask.settings)
        body: dict[str, Any] = {
            "prompt": self.prompt_text(ask),
            "mode": mode,
            "timeout": job_timeout_s(ask.settings),
            # TTAPI's machine translation rewrites prompts unless it is switched off.
            "translation": False,
            "getUImages": True,
        }
        if ask.hook_url is not None:
            body["hookUrl"] = ask.hook_url
        return Call(method="POST", path="/midjourney/v1/imagine", json=body, total_s=self.submit_total_s)

    def read_submit(self, reply: Reply) -> Accepted:
        refusal = _refusal(reply)
        if refusal is not None:
            raise refusal
        body = _body_of(reply)
        if not 200 <= reply.status < 300 or body is None:
            raise MaybeSent(
                f"TTAPI answered the submission with {reply.status} and nothing that says whether the job exists"
            )
        status = read.text(body, "status")
        data = read.mapping(body, "data")
        job_id = read.text(data, "job_id", "jobId")
        if status == "SUCCESS" and job_id:
            return Accepted(job_id=job_id)
        if status == "FAILED" and not job_id and reply.status == 200:
            raise failure_of(read.text(body, "message"))
        raise MaybeSent(f"TTAPI answered the submission with status {status!r} and job id {job_id!r}, which is neither")

    def build_poll(self, job_id: str) -> Call:
        return Call(method="GET", path="/midjourney/v1/fetch", params={"jobId": job_id}, repeatable=True)

    def read_poll(self, reply: Reply) -> Progress:
        body = _answer_of(reply)
        status = read.text(body, "status")
        data = read.mapping(body, "data")
        if status == "SUCCESS":
            return _made(data)
        if status == "FAILED":
            message = read.text(body, "message") or read.text(data, "message")
            # A failed fetch has the same envelope as a failed job, but names no job. A paid job is given up
            # only on words that are about a job.
            if not data and not read.text(body, "jobId", "job_id") and not is_known(message):
                raise ReplyUnreadable(shown("reply_unreadable", code="FAILED", message=message))
            raise failure_of(message)
        if status is None:
            raise ReplyUnreadable("TTAPI answered the fetch without a status")
        # PENDING_QUEUE, ON_QUEUE, and any word TTAPI may add: still running, until our own deadline.
        return Running(percent=read.percent(data, "progress"))

    def first_look_after(self, settings: Mapping[str, Any]) -> timedelta:
        return FIRST_LOOK[mode_of(settings)]

    def build_fetch_list(self, *, part: str, page: str | None = None) -> Call:
        return Call(
            method="GET",
            path="/midjourney/v1/fetch-list",
            params={"status": part, "order": "desc", "limit": str(LIST_PAGE), "page": page or "1"},
            repeatable=True,
        )

    def read_fetch_list(self, reply: Reply, *, page: str | None = None) -> ListedPage:
        body = _answer_of(reply)
        rows = read.rows(body, "data")
        if read.text(body, "status") == "FAILED" or rows is None:
            raise ReplyUnreadable(
                shown("reply_unreadable", code="fetch-list", message=read.text(body, "message") or "no list")
            )
        # How many pages there are is not said: only an empty one is certainly behind the last.
        return ListedPage(jobs=[_listed(row) for row in rows], next_page=str(int(page or "1") + 1) if rows else None)

    def build_info(self) -> Call:
        return Call(method="GET", path="/midjourney/v1/info", repeatable=True)

    def read_info(self, reply: Reply) -> AccountInfo:
        body = _answer_of(reply)
        data = read.mapping(body, "data") or body
        return AccountInfo(
            balance_usd=_dollars(read.number(data, "balance")),
            held_usd=_dollars(read.number(data, "freeze_balance", "freezeBalance")),
            most_jobs=read.whole(data, "max_queue", "maxQueue"),
        )


def _with_version(model: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings, with the version that the model's name pins: `midjourney-v6.1`, `midjourney-niji-6`."""
    found = re.fullmatch(r"midjourney(?:-(?P<branch>v|niji-)(?P<version>\d+(?:\.\d+)?))?", model)
    if found is None:
        raise RequestRefused(
            f"TTAPI has no model {model!r}; it has 'midjourney', 'midjourney-v7', 'midjourney-niji-6', ..."
        )
    if found["branch"] is None:
        return settings
    name = "v" if found["branch"] == "v" else "niji"
    said = settings.get(name)
    if said not in (None, "") and str(said) != found["version"]:
        raise RequestRefused(f"the model is {model!r} and {name} is {said!r}; take one of them out")
    return {**settings, name: found["version"]}


def mode_of(settings: Mapping[str, Any]) -> str:
    """The speed that is always sent: TTAPI's own default differs between its pages."""
    mode = str(settings.get("mode") or DEFAULT_MODE).strip().lower()
    if mode not in MODES:
        raise RequestRefused(f"mode is {mode!r}; TTAPI takes one of {', '.join(MODES)}")
    return mode


def job_timeout_s(settings: Mapping[str, Any]) -> int:
    """After how many seconds TTAPI itself gives the job up.

    Raises:
        RequestRefused: outside what TTAPI allows for the mode; too short a time ends as `Job Timeout`.
    """
    mode = mode_of(settings)
    wished = settings.get("timeout")
    if wished is None or wished == "":
        return USUAL_TIMEOUT_S[mode]
    least = LEAST_TIMEOUT_S[mode]
    text = str(wished).strip()
    if isinstance(wished, bool) or not text.isdecimal() or not least <= int(text) <= MOST_TIMEOUT_S:
        raise RequestRefused(f"timeout is {wished!r}; in {mode} mode TTAPI takes {least} to {MOST_TIMEOUT_S} seconds")
    return int(text)


def _body_of(reply: Reply) -> dict[str, Any] | None:
    """The JSON object in the reply, if it is one."""
    try:
        body = json.loads(reply.content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _refusal(reply: Reply) -> ProviderError | None:
    """The error of a status that TTAPI documents as a refusal; None for every other status."""
    body = _body_of(reply) or {}
    message = read.text(body, "message") or read.text(read.mapping(body, "error"), "message") or ""
    wait_s = retry_after_s(reply)
    kinds: dict[int, type[ProviderError]] = {
        401: KeyRefused,
        402: OutOfMoney,
        403: KeyRefused,
        404: RequestRefused,
        429: RateLimited,
        499: QueueFull,
    }
    kind = refusal_of(message) if reply.status == 400 else kinds.get(reply.status)
    if kind is None:
        return None
    error = kind("")
    return kind(shown(error.code, code=str(reply.status), message=message), retry_after_s=wait_s)


def _answer_of(reply: Reply) -> dict[str, Any]:
    """The body of a call that may be repeated.

    A 404 or 400 says nothing about the job either: it is also what a wrong path, or a job that this node
    of the service does not know yet, would give, and a job that may be paid is not given up for that.
    """
    if reply.status in {401, 402, 403, 429, 499}:
        refusal = _refusal(reply)
        if refusal is not None:
            raise refusal
    if reply.status >= 500:
        raise ProviderDown(f"TTAPI answered {reply.status}", retry_after_s=retry_after_s(reply))
    body = _body_of(reply)
    if reply.status != 200 or body is None:
        raise ReplyUnreadable(f"TTAPI answered {reply.status} with a body that can't be used")
    return body


def _made(data: Mapping[str, Any]) -> Made:
    """A finished job; decided on `status` alone, since `progress` may stay null or below 100."""
    pictures = read.texts(data, "images")
    grid = read.text(data, "cdnImage", "cdn_image") or read.text(data, "discordImage", "discord_image")
    if not pictures and grid is None:
        raise ReplyUnreadable("TTAPI says SUCCESS and gives no picture's address")
    return Made(
        picture_urls=pictures,
        grid_url=grid,
        charged_usd=_dollars(read.number(data, "quota")),
        detail={name: value for name, value in data.items() if name in _DETAIL and value is not None},
    )


_DETAIL: Final = frozenset({"action", "actions", "components", "quota", "width", "height", "seed", "prompt", "mode"})


def _dollars(quota: Decimal | None) -> Decimal | None:
    return None if quota is None or quota < 0 else usd(quota / QUOTA_PER_USD)


def _listed(row: Mapping[str, Any]) -> ListedJob:
    job_id = read.text(row, "job_id", "jobId")
    if not job_id:
        raise ReplyUnreadable("TTAPI lists a job without an id")
    return ListedJob(
        job_id=job_id,
        prompt=read.text(row, "prompt") or "",
        created_at=read.unix_time(row, "created_at", "createdAt", "submitTime", "submit_time"),
        status=read.text(row, "status"),
    )
