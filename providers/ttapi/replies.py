"""Reads TTAPI's replies: envelopes, refusals, finished jobs and rows of the list, in every spelling its pages show.

What a call asks for is in `providers.ttapi.adapter`; what a failure's message means, in
`providers.ttapi.failures`.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from domain.errors import KeyRefused, MaybeSent, ProviderError, QueueFull, ReplyUnreadable
from providers.charges import believable_usd
from providers.contract import Accepted, AccountInfo, Made, Reply, Running
from providers.listed import ListedJob
from providers.midjourney import prompt as midjourney
from providers.transport.failure_text import failure_text
from providers.transport.reply_models import (
    Moment,
    Number,
    Percent,
    ReplyModel,
    Rows,
    Text,
    Texts,
    Whole,
    latest_unix_time,
    named,
    unix_time,
)
from providers.transport.retry_after import retry_after_s
from providers.transport.statuses import REFUSALS, no_answer
from providers.ttapi.failures import failure_of, is_known, refusal_of
from providers.webhooks import Told

#: 1 USD = 100 quota. Source: docs.ttapi.io/grids/en/faq/billing, 2026-05-13.
QUOTA_PER_USD: Final = Decimal(100)

#: What a fresh job is called; everything else is a further job.
IMAGINE: Final = "imagine"
#: Actions whose result is one picture. All others give a grid of four.
_SINGLE: Final = ("upsample", "upscale", "redo_upscale")
#: Between an action and the text of the job it began with; no prompt of a person's begins like this.
_FROM: Final = " <- "
_FURTHER: Final = re.compile(rf"[a-z0-9_]+{_FROM}")
_DETAIL: Final = ("action", "actions", "components", "quota", "width", "height", "seed", "prompt", "mode")
_STATUSES: Final[Mapping[int, type[ProviderError]]] = {
    status: kind for status, kind in REFUSALS.items() if status not in {400, 422}
} | {403: KeyRefused, 499: QueueFull}
#: Of the refusals, those that a look at a job can meet too; all others say nothing about it.
_OF_A_LOOK: Final = frozenset({401, 402, 403, 429, 499})


class Job(ReplyModel):
    """What a body says of a job: the `data` of a fetch, or a row of the list."""

    job_id: Text = named("job_id", "jobId")
    action: Text = named("action", "actions")
    prompt: Text = None
    status: Text = None
    message: Text = None
    progress: Percent = None
    quota: Number = None
    images: Texts = ()
    grid: Text = named("cdnImage", "cdn_image", "discordImage", "discord_image")
    seed: Whole = None
    hook_url: Text = named("hookUrl", "hook_url")
    created: Moment = named("created_at", "createdAt", "submitTime", "submit_time")

    @property
    def further(self) -> str | None:
        """The action of a job that carries another one further; None for a fresh one."""
        return None if self.action in {None, IMAGINE} else self.action


class Problem(ReplyModel):
    message: Text = None


class Body(ReplyModel):
    """The envelope of every answer."""

    status: Text = None
    text: Text = named("message")
    error: Problem = Problem()
    own_job_id: Text = named("jobId", "job_id")
    data: Job = Job()

    @property
    def message(self) -> str | None:
        return self.text or self.error.message

    @property
    def job_id(self) -> str | None:
        return self.own_job_id or self.data.job_id


class Listing(ReplyModel):
    """The answer to a fetch of the list."""

    status: Text = None
    message: Text = None
    data: Rows = None


class Account(ReplyModel):
    balance: Number = None
    held: Number = named("freeze_balance", "freezeBalance")
    most_jobs: Whole = named("max_queue", "maxQueue")


class Info(Account):
    """The answer about the account; some pages show its fields without an envelope."""

    data: Account = Account()


def accepted(reply: Reply) -> Accepted:
    """The id of the job that a submission made.

    Raises:
        ProviderError: a documented refusal, by its class.
        MaybeSent: anything that is neither an acceptance nor a documented refusal.
    """
    refused = refusal(reply)
    if refused is not None:
        raise refused
    body = Body.read(reply.content)
    if not 200 <= reply.status < 300 or body is None:
        raise MaybeSent(
            f"TTAPI answered the submission with {reply.status} and nothing that says whether the job exists"
        )
    job_id = body.data.job_id
    if body.status == "SUCCESS" and job_id:
        return Accepted(job_id=job_id)
    if body.status == "FAILED" and not job_id and reply.status == 200:
        raise failure_of(body.text)
    raise MaybeSent(
        f"TTAPI answered the submission with status {body.status!r} and job id {job_id!r}, which is neither"
    )


def refusal(reply: Reply) -> ProviderError | None:
    """The error of a status that TTAPI documents as a refusal; None for every other status.

    422 is in none of its tables, so that alone it proves nothing; with the body that TTAPI documents for a failed
    submission it is the service's own word.
    """
    body = Body.read(reply.content) or Body()
    message = body.message or ""
    by_body = reply.status == 422 and body.status == "FAILED" and not body.data.job_id
    kind = refusal_of(message) if reply.status == 400 or by_body else _STATUSES.get(reply.status)
    if kind is None:
        return None
    return kind(
        failure_text(kind("").code, code=str(reply.status), message=message), retry_after_s=retry_after_s(reply)
    )


def check_answered(reply: Reply) -> None:
    """Raises the error of a reply to a call that may be repeated, where its status says that it is no answer."""
    refused = refusal(reply) if reply.status in _OF_A_LOOK else None
    if refused is not None or reply.status != 200:
        raise refused or no_answer(reply, "TTAPI")


def answer_of(reply: Reply) -> Body:
    """The body of a call that may be repeated; raises `ProviderError` where this call said nothing."""
    check_answered(reply)
    body = Body.read(reply.content)
    if body is None:
        raise no_answer(reply, "TTAPI")
    return body


def ended_or_running(reply: Reply) -> Running | Job:
    """What a fetch says: the job is at work, or the data of its success.

    Raises:
        ProviderError: the service's last word on a failed job, or that this call said nothing about it.
    """
    body = answer_of(reply)
    if body.status == "SUCCESS":
        return body.data
    if body.status == "FAILED":
        message = body.text or body.data.message
        # A failed fetch has the same envelope as a failed job, but names no job. A paid job is given up
        # only on words that are about a job.
        if body.data.is_empty and not body.own_job_id and not is_known(message):
            raise ReplyUnreadable(failure_text("reply_unreadable", code="FAILED", message=message))
        raise failure_of(message, charged_usd=dollars(body.data.quota))
    if body.status is None:
        raise ReplyUnreadable("TTAPI answered the fetch without a status")
    # PENDING_QUEUE, ON_QUEUE, and any word TTAPI may add: still running, until our own deadline.
    return Running(percent=body.data.progress)


def made(job: Job) -> Made:
    """A finished job; decided on `status` alone, since `progress` may stay null or below 100."""
    if not job.images and job.grid is None:
        raise ReplyUnreadable("TTAPI says SUCCESS and gives no picture's address")
    single = (job.action or "").startswith(_SINGLE)
    pictures = job.images or ([job.grid] if single and job.grid is not None else [])
    detail = job.excerpt(*_DETAIL)
    aspect = midjourney.aspect_in(job.prompt or "")
    return Made(
        picture_urls=pictures,
        grid_url=None if single else job.grid,
        charged_usd=dollars(job.quota),
        detail=detail if aspect is None else {**detail, "aspect": list(aspect)},
    )


def named_job(content: bytes) -> str | None:
    """The job that a callback's body names."""
    body = Body.read(content)
    return None if body is None else body.job_id


def told(reply: Reply) -> Told:
    """What a fetch tells of the request behind its job, whatever became of it."""
    job = answer_of(reply).data
    return Told(
        prompt=job.prompt if job.prompt is None or job.further is None else further_text(job.further, job.prompt),
        hook_url=job.hook_url,
    )


def dollars(quota: Decimal | None) -> Decimal | None:
    """What a number of quota is worth; None where it is not said, or can't be."""
    return None if quota is None else believable_usd(quota / QUOTA_PER_USD, by="TTAPI")


def account(reply: Reply) -> AccountInfo:
    check_answered(reply)
    info = Info.read(reply.content)
    if info is None:
        raise no_answer(reply, "TTAPI")
    said = info if info.data.is_empty else info.data
    return AccountInfo(balance_usd=dollars(said.balance), held_usd=dollars(said.held), most_jobs=said.most_jobs)


def listing(reply: Reply) -> list[ListedJob]:
    """The jobs of a page of the list; raises `ReplyUnreadable` where it has a hole."""
    check_answered(reply)
    body = Listing.read(reply.content)
    if body is None:
        raise no_answer(reply, "TTAPI")
    if body.status == "FAILED" or body.data is None:
        raise ReplyUnreadable(failure_text("reply_unreadable", code="fetch-list", message=body.message or "no list"))
    return [_listed(Job.model_validate(row)) for row in body.data]


def further_text(action: str, parent_text: str) -> str:
    """How a further job is written down and recognised: by its action, and the text of the fresh job it began with."""
    found = _FURTHER.match(parent_text)
    return f"{action}{_FROM}{parent_text[found.end() :] if found else parent_text}"


def _listed(job: Job) -> ListedJob:
    if not job.job_id:
        raise ReplyUnreadable("TTAPI lists a job without an id")
    return ListedJob(
        job_id=job.job_id,
        # A fresh job of which the list does not say the prompt may be anybody's.
        prompt=job.prompt if job.further is None else further_text(job.further, job.prompt or ""),
        created_at=unix_time(job.created),
        created_before=latest_unix_time(job.created),
        status=job.status,
        action=job.further,
        charged_usd=dollars(job.quota),
    )
