"""What TTAPI's submissions ask for, checked as it checks them, and the job that an accepted one becomes. Pure.

A submission that is refused raises `NotAccepted` and costs nothing; a prompt that is illegal is accepted, on the bill,
and fails as a job, as it does there.
"""

import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.faults.armed import Fault
from sandbox.jobs import Job, QueueFull, Refused, TooManySubmits, WalletEmpty, micros
from sandbox.moderation import Stage, objections
from sandbox.settings import Settings
from sandbox.shapes import own_seed, size_of
from sandbox.wires.ttapi.bodies import components_of
from sandbox.wires.ttapi.prompt import IllegalPrompt, Wish, as_read, jobs_in, read_prompt

PROVIDER = "ttapi"

MODE_FACTORS = {"turbo": 0.5, "fast": 1.0, "relax": 3.0}  # of the usual latency
LOWEST_TIMEOUT_S = {"turbo": 300, "fast": 300, "relax": 600}
HIGHEST_TIMEOUT_S = 1200
QUEUE_SHARE = 0.2  # of a job's time is spent waiting
SPREAD = (0.7, 1.4)  # of a job's time around the usual
# Failures that TTAPI counts as illegal prompts (ttapi.io/docs/faq/api).
ILLEGAL_FAMILIES = (
    "[Invalid parameter]",
    "[Banned prompt detected]",
    "[Image denied]",
    "[Invalid link",
    "[Invalid prompt]",
    "[TTAPI prompt filter]",
    "[TTAPI image filter]",
)


class NotAccepted(Exception):
    """A call that is answered with a status other than 200 and the wire's failure body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A checked submission.

    Attributes:
        message: why the job is going to fail, "" where nothing speaks against it yet.
        jobs: how many are paid; the others are drawn nowhere.
    """

    job_id: str
    kind: str
    prompt: str
    mode: str
    plan: Mapping[str, Any]
    message: str = ""
    parent_id: str | None = None
    jobs: int = 1


def wanted_imagine(fields: Mapping[str, Any], *, size_px: int) -> Wanted:
    prompt = read_text(fields, "prompt")
    check_at_the_door(prompt)
    mode = fields.get("mode", "fast")
    if not isinstance(mode, str) or mode not in MODE_FACTORS:
        raise NotAccepted(400, f"The mode must be one of {', '.join(MODE_FACTORS)}.")
    job_id = str(uuid.uuid4())
    message, plan = "", {}
    try:
        plan = _plan(read_prompt(prompt), job_id, size_px=size_px)
    except IllegalPrompt as error:
        message = str(error)
    # The single images are made unless a caller says no: the newest pages show them in every reply.
    plan |= {"images": fields.get("getUImages") is not False}
    return Wanted(
        job_id=job_id,
        kind="imagine",
        prompt=prompt,
        mode=mode,
        plan=plan,
        message=message,
        jobs=jobs_in(as_read(prompt)),
    )


def wanted_action(fields: Mapping[str, Any], parent: Job) -> Wanted:
    action = fields.get("action")
    if parent.state != "succeeded" or action not in components_of(parent):
        raise NotAccepted(400, f"The action {action!r} is not possible for this job.")
    return wanted_after(parent, kind=str(action), plan=_follow_up(parent.plan, str(action)))


def job_from(
    wanted: Wanted, fields: Mapping[str, Any], *, settings: Settings, fault: Fault | None, key_digest: str, now_s: float
) -> Job:
    """The job that this submission becomes if it is accepted at `now_s`; raises `NotAccepted` for its options."""
    timeout_s, hook_url = read_timeout_s(fields, wanted.mode), read_hook_url(fields)
    message = fault.argument if fault is not None and fault.name == "failed_body" else wanted.message
    spread = random.Random(f"{settings.seed}/{wanted.job_id}").uniform(*SPREAD)
    took_s = settings.latency_s * MODE_FACTORS[wanted.mode] * spread
    if took_s > timeout_s:
        took_s, message = timeout_s, message or "Job Timeout"
    price = micros(settings.price_usd) * wanted.jobs
    return Job(
        job_id=wanted.job_id,
        provider=PROVIDER,
        kind=wanted.kind,
        prompt=wanted.prompt,
        key_digest=key_digest,
        mode=wanted.mode,
        plan=wanted.plan,
        parent_id=wanted.parent_id,
        fault=fault.name if fault is not None else None,
        hook_url=hook_url,
        received_at_s=now_s,
        accepted_at_s=now_s,
        starts_at_s=now_s + QUEUE_SHARE * took_s,
        due_at_s=now_s + took_s,
        message=message,
        illegal=message.startswith(ILLEGAL_FAMILIES),
        stuck=fault is not None and fault.name == "stuck",
        price_micros=price,
        charged_micros=price,
    )


def refusal(error: Refused) -> NotAccepted:
    """The wire's status for what the store did not allow."""
    match error:
        case QueueFull():
            return NotAccepted(499, f"queue exhausted: {error}")
        case TooManySubmits():
            return NotAccepted(429, f"Too Many Requests: {error}")
        case WalletEmpty():
            return NotAccepted(402, f"Insufficient balance: {error}")
        case _:
            raise AssertionError(f"unknown refusal {error!r}")


def read_text(fields: Mapping[str, Any], name: str) -> str:
    """A text that is not blank and can be written as UTF-8; raises `NotAccepted`."""
    text = fields.get(name)
    if not isinstance(text, str) or not text.strip():
        raise NotAccepted(400, f"The {name} field is required.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotAccepted(400, f"The {name} field is not valid text.") from error
    return text


def check_at_the_door(prompt: str) -> None:
    """Raises `NotAccepted` for words that the keyword filter does not let in."""
    if words := objections(prompt, frozenset({Stage.DOOR})):
        raise NotAccepted(400, f"banned prompt words: {', '.join(words)}")


def read_timeout_s(fields: Mapping[str, Any], mode: str) -> int:
    """The caller's timeout, which the samples send as a string; raises `NotAccepted` outside the mode's range."""
    lowest = LOWEST_TIMEOUT_S[mode]
    try:
        timeout_s = int(fields.get("timeout") or lowest)
    except (TypeError, ValueError, OverflowError):
        timeout_s = 0
    if not lowest <= timeout_s <= HIGHEST_TIMEOUT_S:
        raise NotAccepted(400, f"The timeout must be from {lowest} to {HIGHEST_TIMEOUT_S} in {mode} mode.")
    return timeout_s


def read_hook_url(fields: Mapping[str, Any]) -> str | None:
    if not fields.get("hookUrl"):
        return None
    hook_url = read_text(fields, "hookUrl")
    if not hook_url.startswith(("http://", "https://")):
        raise NotAccepted(400, "The hookUrl must be an address.")
    return hook_url


def _plan(wish: Wish, job_id: str, *, size_px: int) -> dict[str, Any]:
    return {
        "text": wish.text,
        "references": list(wish.references),
        "also_reachable": list(wish.also_reachable),
        "weight": wish.weight,
        "seed": own_seed(job_id) if wish.seed is None else wish.seed,
        "size": size_of(wish.aspect, size_px),
        "tiles": [0, 1, 2, 3],
    }


def wanted_after(parent: Job, *, kind: str, plan: Mapping[str, Any]) -> Wanted:
    """A job that goes on from another one; its plan may bring the seed."""
    job_id = str(uuid.uuid4())
    return Wanted(
        job_id=job_id,
        kind=kind,
        prompt=parent.prompt,
        mode=parent.mode,
        plan={"seed": own_seed(job_id), **plan},
        parent_id=parent.job_id,
    )


def _follow_up(parent: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The plan of an action on a job; one without a seed is drawn with its own."""
    width, height = parent["size"]
    if action.startswith("upsample"):
        return {**parent, "tiles": [parent["tiles"][int(action[-1]) - 1]], "size": (2 * width, 2 * height)}
    if action.startswith("upscale"):
        return {**parent, "size": (2 * width, 2 * height)}
    if action == "reroll":
        rest = {name: value for name, value in parent.items() if name != "seed"}
        return rest | {"tiles": [0, 1, 2, 3], "ancestry": []}
    return varied(parent, parent["tiles"][int(action[-1]) - 1 if action.startswith("variation") else 0])


def varied(parent: Mapping[str, Any], tile: int) -> dict[str, Any]:
    """The plan of four variations of one picture of a job."""
    rest = {name: value for name, value in parent.items() if name != "seed"}
    ancestry = [*parent.get("ancestry", ()), (parent["seed"], tile)]
    # Numbers that no ancestor has, all with the composition of the picture that is varied.
    return rest | {"tiles": [tile + 4 * step for step in (1, 2, 3, 4)], "ancestry": ancestry}
