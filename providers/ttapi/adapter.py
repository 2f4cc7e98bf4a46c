"""Adapts Midjourney by TTAPI: writes its calls, and has the replies read.

The prompt's flags are `providers.midjourney`'s business, and how replies are spelt is `providers.ttapi.replies`'s.

Source: PROVIDERS.md 1, TTAPI's documentation of 2026-03 to 2026-05.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from domain.errors import ReplyUnreadable, RequestRefused
from domain.escalation import Carried
from domain.ids import normalised
from providers.adapter import Adapter
from providers.catalogue import load
from providers.contract import Accepted, AccountInfo, Action, Ask, Call, Progress, Reply, Running
from providers.listed import ListedPage
from providers.midjourney import prompt as midjourney
from providers.midjourney.flags import FLAGS
from providers.seeds import seed_of
from providers.setting_values import UNSENT, is_said
from providers.transport.failure_text import failure_text
from providers.ttapi import replies
from providers.ttapi.modes import FIRST_LOOK, job_timeout_s, mode_of
from providers.webhooks import Told

#: Between a job's id and the action on it, where TTAPI gives both the same id; in no id of its own.
_SAME_ID: Final = "#"

#: Settings that its text or its body says, or that are not for the model.
_SAYABLE: Final = frozenset(
    {
        "mode",
        "timeout",
        "image_urls",
        "references",
        "max_image_cost",
        *UNSENT,
        *(name for one in FLAGS for name in one.settings),
    }
)

#: Jobs on one page of the list; the most that TTAPI gives.
LIST_PAGE: Final = 100


class TTAPI(Adapter):
    """Midjourney by TTAPI's pay-per-use and hold hosts, which speak the same."""

    name = "ttapi"
    calls_back = True
    upscales = True
    checks_prompts = True
    reads_types = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif"})
    #: Without a status TTAPI lists finished jobs only. Source: ttapi.io/docs/apiReference/others.
    list_parts = ("PENDING_QUEUE", "ON_QUEUE", "SUCCESS", "FAILED")

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"TT-API-KEY": key}

    def prompt_text(self, ask: Ask) -> str:
        """The prompt with its flags, a seed of ours among them unless the person fixed one.

        TTAPI echoes nothing of ours but the prompt, and a seed is the one part of it that may differ without
        changing its meaning: it makes the job recognisable in the list when the reply to its submission is lost.
        A further job has no prompt of its own: its action stands before the text it began with.
        """
        if ask.action is not None:
            return replies.further_text(ask.action.name, ask.action.parent_text)
        return midjourney.prompt_text(
            ask.prompt,
            settings=_with_version(ask.model, ask.settings),
            reference_urls=ask.reference_urls,
            seed_if_none=seed_of(ask.attempt_id),
        )

    def warnings(self, ask: Ask) -> Sequence[str]:
        read = midjourney.understood(ask.prompt)
        return [*read.notes, *load().get(ask.model).length_notes(read.words), *_left_out(ask)]

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
        return replies.accepted(reply)

    def build_action(self, ask: Ask) -> Call:
        """A further job on a finished one; TTAPI takes its mode from the parent."""
        action = _action_of(ask)
        body: dict[str, Any] = {
            "jobId": job_id_and_action(action.job_id)[0],
            "action": action.name,
            "timeout": job_timeout_s(ask.settings),
            "getUImages": True,
        }
        if ask.hook_url is not None:
            body["hookUrl"] = ask.hook_url
        return Call(method="POST", path="/midjourney/v1/action", json=body, total_s=self.submit_total_s)

    def read_action(self, reply: Reply, ask: Ask) -> Accepted:
        """One page says that the id is usually the parent's; then the action is added to it, to tell them apart."""
        action, taken = _action_of(ask), replies.accepted(reply)
        same = taken.job_id == job_id_and_action(action.job_id)[0]
        return Accepted(job_id=f"{taken.job_id}{_SAME_ID}{action.name}") if same else taken

    def carried(self, ask: Ask) -> Carried:
        return midjourney.carried(
            ask.prompt, settings=_with_version(ask.model, ask.settings), reference_urls=ask.reference_urls
        )

    def variation_of(self, position: int, *, detail: Mapping[str, Any]) -> str | None:
        name = f"variation{position + 1}"
        return name if name in (detail.get("components") or ()) else None

    def upscale_of(self, position: int, *, detail: Mapping[str, Any]) -> tuple[str, bool] | None:
        """Of a single picture an upscaler that the job offers, the faithful one first; of a grid the picture alone.

        Their names change with Midjourney's versions, so that what the job lists decides.
        """
        offered = [str(name) for name in detail.get("components") or ()]
        larger = [name for name in offered if name.startswith(("upscale", "upsample_"))]
        if larger:
            return next((name for name in larger if "subtle" in name), larger[0]), True
        single = f"upsample{position + 1}"
        return (single, False) if single in offered else None

    def build_poll(self, job_id: str) -> Call:
        known, action = job_id_and_action(job_id)
        return Call(method="GET", path="/midjourney/v1/fetch", params={"jobId": known}, model=action, repeatable=True)

    def read_poll(self, reply: Reply) -> Progress:
        job = replies.ended_or_running(reply)
        if isinstance(job, Running):
            return job
        # Of an action that bears its parent's id: until it is done, the fetch still shows the parent.
        if reply.model and job.action not in {None, reply.model}:
            return Running()
        return replies.made(job)

    def read_webhook(self, content: bytes) -> str | None:
        """The body of a fetch, unsigned: the token in the address is all that proves it."""
        return replies.named_job(content)

    def read_told(self, reply: Reply) -> Told:
        return replies.told(reply)

    def first_look_after(self, settings: Mapping[str, Any], *, model: str) -> timedelta:  # noqa: ARG002 - the mode decides
        return FIRST_LOOK[mode_of(settings)]

    def build_fetch_list(self, *, part: str, page: str | None = None) -> Call:
        return Call(
            method="GET",
            path="/midjourney/v1/fetch-list",
            params={"status": part, "order": "desc", "limit": str(LIST_PAGE), "page": page or "1"},
            repeatable=True,
        )

    def read_fetch_list(self, reply: Reply, *, page: str | None = None) -> ListedPage:
        jobs = replies.listing(reply)
        # How many pages there are is not said: only an empty one is certainly behind the last.
        return ListedPage(jobs=jobs, next_page=str(int(page or "1") + 1) if jobs else None)

    def resembles(self, sent: str, listed: str) -> bool:
        """By the seed, which every text of ours has; of a text without one, by the words before its flags."""
        seed = midjourney.seed_in(listed)
        if seed is None:
            return normalised(midjourney.words_before_flags(listed)) == normalised(midjourney.words_before_flags(sent))
        return seed == midjourney.seed_in(sent)

    def bears_mark_of(self, attempt_id: str, listed: str) -> bool:
        """By the seed that `prompt_text` gave it, unless the person fixed another."""
        return midjourney.seed_in(listed) == seed_of(attempt_id)

    def build_prompt_check(self, text: str) -> Call:
        return Call(method="POST", path="/midjourney/v1/promptCheck", json={"prompt": text}, repeatable=True)

    def read_prompt_check(self, reply: Reply) -> str | None:
        body = (replies.Body.read(reply.content) or replies.Body()) if reply.status == 400 else replies.answer_of(reply)
        if body.status == "SUCCESS":
            return None
        if body.status == "FAILED" and body.text:
            return body.text
        raise ReplyUnreadable(failure_text("reply_unreadable", code="promptCheck", message=body.text))

    def build_info(self) -> Call:
        return Call(method="GET", path="/midjourney/v1/info", repeatable=True)

    def read_info(self, reply: Reply) -> AccountInfo:
        return replies.account(reply)


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


def _left_out(ask: Ask) -> list[str]:
    """What is said about settings that Midjourney has no flag for, and that its pictures do not depend on."""
    names = sorted(name for name, value in ask.settings.items() if name not in _SAYABLE and is_said(value))
    return [f"Midjourney takes no {', '.join(map(repr, names))}; left out"] if names else []


def job_id_and_action(job_id: str) -> tuple[str, str]:
    """TTAPI's own id of a job as `read_action` gave it, and its action where that was added."""
    known, _, action = job_id.partition(_SAME_ID)
    return known, action


def _action_of(ask: Ask) -> Action:
    if ask.action is None:
        raise RequestRefused("no action is asked for")
    return ask.action
