"""Writes TTAPI's calls for blend, describe, seed and inpaint, which the from-picture stages call; and the prompt check.

All but the check make a job, whose id `providers.ttapi.replies.accepted` reads. None echoes anything of ours, so a job
of these whose reply is lost can't be told from another on the list: no step makes one before a hold stands behind it.

Source: PROVIDERS.md 1.7; docs.mjapiapp.com and docs.ttapi.io, 2024 to 2026.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.errors import ReplyUnreadable, RequestRefused
from domain.picture_types import picture_type
from providers.adapter import Adapter
from providers.contract import Accepted, Call, Described, Reply, Running
from providers.transport.failure_text import failure_text
from providers.ttapi import replies
from providers.ttapi.modes import job_timeout_s, mode_of

#: The shapes of a blend: 2:3, 1:1 and 3:2.
SHAPES: Final = ("PORTRAIT", "SQUARE", "LANDSCAPE")
FEWEST_BLENDED: Final = 2
MOST_BLENDED: Final = 5
#: A submission of a few pictures takes longer to send than one of words.
UPLOAD_TOTAL_S: Final = 60.0
_READ: Final = frozenset({"png", "jpeg", "webp"})


class SideJobs(Adapter):
    """The half of the adapter that no batch needs."""

    def build_blend(self, pictures: Sequence[bytes], *, shape: str, settings: Mapping[str, Any]) -> Call:
        shape = shape.strip().upper()
        if not FEWEST_BLENDED <= len(pictures) <= MOST_BLENDED:
            raise RequestRefused(f"a blend takes {FEWEST_BLENDED} to {MOST_BLENDED} pictures, not {len(pictures)}")
        if shape not in SHAPES:
            raise RequestRefused(f"a blend's shape is {shape!r}; TTAPI takes one of {', '.join(SHAPES)}")
        body = {
            "imgBase64Array": [_with_type(picture) for picture in pictures],
            "dimensions": shape,
            "mode": mode_of(settings),
            "timeout": job_timeout_s(settings),
            "getUImages": True,
        }
        return _submission("blend", body)

    def build_describe(self, picture: bytes) -> Call:
        return _submission("describe", {"base64": _with_type(picture)})

    def read_description(self, reply: Reply) -> Running | Described:
        job = replies.ended_or_running(reply)
        if isinstance(job, Running):
            return job
        texts = [line.strip() for line in (job.prompt or "").splitlines() if line.strip()]
        if not texts:
            raise ReplyUnreadable("TTAPI says SUCCESS and gives no description")
        return Described(texts=texts, charged_usd=replies.dollars(job.quota))

    def build_seed(self, job_id: str) -> Call:
        return _submission("seed", {"jobId": job_id})

    def read_seed(self, reply: Reply) -> Running | int:
        job = replies.ended_or_running(reply)
        if isinstance(job, Running):
            return job
        if job.seed is None:
            raise ReplyUnreadable("TTAPI says SUCCESS and gives no seed")
        return job.seed

    def build_inpaint(self, job_id: str, *, mask: bytes, prompt: str, settings: Mapping[str, Any]) -> Call:
        if not prompt.strip():
            raise RequestRefused("say what is to be drawn where the mask is white")
        _with_type(mask)
        body = {
            "jobId": job_id,
            # The one picture that TTAPI wants without its type in front.
            "mask": base64.b64encode(mask).decode(),
            "prompt": prompt,
            "timeout": job_timeout_s(settings),
        }
        return _submission("inpaint", body)

    def read_side_job(self, reply: Reply) -> Accepted:
        return replies.accepted(reply)

    def build_prompt_check(self, text: str) -> Call:
        return Call(method="POST", path="/midjourney/v1/promptCheck", json={"prompt": text}, repeatable=True)

    def read_prompt_check(self, reply: Reply) -> str | None:
        body = (replies.Body.read(reply.content) or replies.Body()) if reply.status == 400 else replies.answer_of(reply)
        if body.status == "SUCCESS":
            return None
        if body.status == "FAILED" and body.text:
            return body.text
        raise ReplyUnreadable(failure_text("reply_unreadable", code="promptCheck", message=body.text))


def _submission(what: str, body: Mapping[str, Any]) -> Call:
    return Call(method="POST", path=f"/midjourney/v1/{what}", json=body, total_s=UPLOAD_TOTAL_S)


def _with_type(picture: bytes) -> str:
    """The file as the text in which TTAPI takes it, its type in front."""
    kind = picture_type(picture)
    if kind not in _READ:
        raise RequestRefused("TTAPI takes pictures as PNG, JPEG or WebP; this file is none of them")
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
