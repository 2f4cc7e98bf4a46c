"""TTAPI's Midjourney wire, under `/ttapi`: routes, checks, and what each call accepts.

Bodies are built in `sandbox.ttapi_bodies`, prompts read in `sandbox.ttapi_prompt`; jobs are kept in `sandbox.jobs` and
carried out by `sandbox.studio`. Where the public pages disagree, the newest one is followed.
"""

import hashlib
import json
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox import ttapi_bodies as bodies
from sandbox.bill import digest_of
from sandbox.faults import Fault, Faults, Where, misbehave
from sandbox.jobs import Job, JobStore, QueueFull, Refused, Terms, TooManySubmits, WalletEmpty, micros, usd
from sandbox.settings import Settings
from sandbox.ttapi_prompt import IllegalPrompt, Wish, read_prompt, refused_words
from sandbox.web import BadRequest, Reply, Request, json_reply

PROVIDER = "ttapi"
PREFIX = "/ttapi"

MODE_FACTORS = {"turbo": 0.5, "fast": 1.0, "relax": 3.0}  # of the usual latency
LOWEST_TIMEOUT_S = {"turbo": 300, "fast": 300, "relax": 600}
HIGHEST_TIMEOUT_S = 1200
QUEUE_SHARE = 0.2  # of a job's time is spent waiting
SPREAD = (0.7, 1.4)  # of a job's time around the usual
LARGEST_PAGE = 100
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
    """What a submission asks for, checked; `message` is set where the job is going to fail."""

    job_id: str
    kind: str
    prompt: str
    mode: str
    plan: Mapping[str, Any]
    message: str = ""
    parent_id: str | None = None
    free: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    methods: frozenset[str]
    where: Where | None
    handler: Callable[["TTAPI", Request, Fault | None], object]


class TTAPI:
    """The wire over the shared store.

    Args:
        accepted: called with each job after it is on the bill.
    """

    provider = PROVIDER

    def __init__(self, settings: Settings, store: JobStore, faults: Faults, *, accepted: Callable[[Job], None]) -> None:
        self._settings, self._store, self._faults, self._accepted = settings, store, faults, accepted
        self.terms = Terms(
            concurrency=settings.concurrency,
            wallet_usd=settings.wallet_usd,
            submits_per_minute=settings.submits_per_minute,
            illegal_limit=settings.illegal_limit,
        )

    def where(self, method: str, path: str) -> Where | None:
        route = ROUTES.get(path.removeprefix(PREFIX))
        return route.where if route is not None and method in route.methods else None

    def answer(self, request: Request) -> Reply:
        route = ROUTES.get(request.path.removeprefix(PREFIX).rstrip("/"))
        if route is None or request.method not in route.methods:
            return json_reply(bodies.failure(f"no such endpoint: {request.method} {request.path}"), 404)
        fault = self._fault(route.where, request)
        return misbehave(
            fault,
            act=lambda: self._act(route, request, fault),
            refuse=lambda status: self._refuse(request, status, f"fault {status}", submit=route.where == "submit"),
        )

    def callback(self, job: Job, *, base_url: str) -> bytes:
        return json.dumps(bodies.fetch_body(job, now_s=time.time(), base_url=base_url)).encode()

    def forged_callback(self, job: Job, *, base_url: str) -> bytes:
        """A success that is none, as somebody who guessed the address would send it."""
        claimed = replace(job, job_id=str(uuid.uuid4()), state="succeeded", finished_at_s=time.time())
        body = bodies.fetch_body(claimed, now_s=time.time(), base_url=base_url)
        return json.dumps({**body, "jobId": job.job_id}).encode()

    def _fault(self, where: Where | None, request: Request) -> Fault | None:
        if where is None:
            return None
        return self._faults.choose(where, PROVIDER, prompt=self._prompt_of(where, request))

    def _prompt_of(self, where: Where, request: Request) -> str:
        """The text that a fault's `match` is looked for in."""
        try:
            fields = asked(request)
        except BadRequest:
            return ""
        if where == "submit" and "prompt" in fields:
            return str(fields["prompt"])
        job = self._store.get(str(fields.get("jobId", "")))
        return job.prompt if job else ""

    def _act(self, route: Route, request: Request, fault: Fault | None) -> Reply:
        submit = route.where == "submit"
        try:
            self._check_key(request)
            return json_reply(route.handler(self, request, fault))
        except NotAccepted as error:
            return self._refuse(request, error.status, str(error), submit=submit)
        except BadRequest as error:
            return self._refuse(request, 400, str(error), submit=submit)

    def _refuse(self, request: Request, status: int, message: str, *, submit: bool) -> Reply:
        if submit:
            self._store.refuse(
                provider=PROVIDER,
                path=request.path,
                key_digest=key_digest(request),
                received_at_s=request.received_at_s,
                reason=f"{status} {message}",
            )
        return json_reply(bodies.failure(message), status)

    def _check_key(self, request: Request) -> None:
        key = request.header("tt-api-key")
        if not key or (self._settings.key is not None and key != self._settings.key):
            raise NotAccepted(401, "Unauthorized: the TT-API-KEY is missing or wrong")

    # Submissions.

    def imagine(self, request: Request, fault: Fault | None) -> object:
        fields = request.fields()
        prompt = fields.get("prompt")
        if not isinstance(prompt, str) or not prompt.strip():
            raise NotAccepted(400, "The prompt field is required.")
        if words := refused_words(prompt):
            raise NotAccepted(400, f"banned prompt words: {', '.join(words)}")
        mode = fields.get("mode", "fast")
        if mode not in MODE_FACTORS:
            raise NotAccepted(400, f"The mode must be one of {', '.join(MODE_FACTORS)}.")
        job_id = str(uuid.uuid4())
        try:
            plan, message = self._plan(read_prompt(prompt), job_id, images=fields.get("getUImages") is not False), ""
        except IllegalPrompt as error:
            plan, message = {"tiles": []}, str(error)
        wanted = Wanted(job_id=job_id, kind="imagine", prompt=prompt, mode=mode, plan=plan, message=message)
        return self._accept(request, fault, wanted)

    def action(self, request: Request, fault: Fault | None) -> object:
        fields = request.fields()
        parent = self._job_of(request, fields)
        action = fields.get("action")
        if parent.state != "succeeded" or action not in bodies.components_of(parent):
            raise NotAccepted(400, f"The action {action!r} is not possible for this job.")
        plan = follow_up(parent.plan, str(action))
        job_id = str(uuid.uuid4())
        if plan["seed"] is None:
            plan["seed"] = seed_of(job_id)
        return self._accept(request, fault, after(parent, job_id=job_id, kind=str(action), plan=plan))

    def seed(self, request: Request, fault: Fault | None) -> object:
        parent = self._job_of(request, request.fields())
        if parent.state != "succeeded":
            raise NotAccepted(400, "The job has not finished.")
        plan = {"tiles": [], "seed": parent.plan["seed"]}
        wanted = after(parent, job_id=str(uuid.uuid4()), kind="seed", plan=plan)
        return self._accept(request, fault, replace(wanted, free=True))

    def _accept(self, request: Request, fault: Fault | None, wanted: Wanted) -> object:
        fields = request.fields()
        hook_url, timeout_s = read_hook_url(fields), read_timeout_s(fields, wanted.mode)
        fate = fault.name if fault else ""
        if fault is not None and fate == "refused":
            self._refuse(request, 200, fault.argument, submit=True)
            return bodies.failure(fault.argument)
        now_s = time.time()
        took_s = self._duration_s(wanted)
        message = fault.argument if fault is not None and fate == "failed_body" else wanted.message
        if took_s > timeout_s:
            took_s, message = timeout_s, message or "Job Timeout"
        price = 0 if wanted.free else micros(self._settings.price_usd)
        job = Job(
            job_id=wanted.job_id,
            provider=PROVIDER,
            kind=wanted.kind,
            prompt=wanted.prompt,
            key_digest=key_digest(request),
            mode=wanted.mode,
            plan=wanted.plan,
            parent_id=wanted.parent_id,
            fault=fate or None,
            hook_url=hook_url,
            received_at_s=request.received_at_s,
            accepted_at_s=now_s,
            starts_at_s=now_s + QUEUE_SHARE * took_s,
            due_at_s=now_s + took_s,
            message=message,
            illegal=message.startswith(ILLEGAL_FAMILIES),
            stuck=fate == "stuck",
            price_micros=price,
            charged_micros=price,
        )
        try:
            self._store.accept(job, self.terms)
        except Refused as error:
            raise refusal(error) from error
        self._accepted(job)
        return bodies.envelope({"job_id" if fate == "old_shape" else "jobId": job.job_id})

    def _duration_s(self, wanted: Wanted) -> float:
        spread = random.Random(f"{self._settings.seed}/{wanted.job_id}").uniform(*SPREAD)
        return self._settings.latency_s * MODE_FACTORS[wanted.mode] * spread

    def _plan(self, wish: Wish, job_id: str, *, images: bool) -> dict[str, Any]:
        return {
            "text": wish.text,
            "references": list(wish.references),
            "also_reachable": list(wish.also_reachable),
            "weight": wish.weight,
            "seed": seed_of(job_id) if wish.seed is None else wish.seed,
            "size": size_of(wish.aspect, self._settings.size_px),
            "tiles": [0, 1, 2, 3],
            "images": images,
        }

    # Reads.

    def fetch(self, request: Request, fault: Fault | None) -> object:
        job = self._job_of(request, asked(request))
        body = bodies.fetch_body(job, now_s=time.time(), base_url=request.base_url)
        match fault.name if fault else "":
            case "old_shape":
                return bodies.in_old_shape(body)
            case "no_images":
                return bodies.without_images(body)
            case "unknown_status":
                return {**body, "status": "WAIT_SUBMIT"}
            case _:
                return body

    def fetch_list(self, request: Request, _fault: Fault | None) -> object:
        fields = asked(request)
        page, limit = read_count(fields, "page", 1), min(LARGEST_PAGE, read_count(fields, "limit", 10))
        status, order = str(fields.get("status") or "SUCCESS").upper(), str(fields.get("order") or "desc")
        if status not in bodies.LIST_STATUS or order not in {"asc", "desc"}:
            raise NotAccepted(400, f"unknown status {status!r} or order {order!r}")
        now_s = time.time()
        jobs = [
            job for job in self._store.of_key(PROVIDER, key_digest(request)) if bodies.status_of(job, now_s) == status
        ]
        if order == "desc":
            jobs.reverse()
        start = (page - 1) * limit
        return bodies.envelope(
            [bodies.list_row(job, now_s=now_s, base_url=request.base_url) for job in jobs[start : start + limit]]
        )

    def prompt_check(self, request: Request, _fault: Fault | None) -> object:
        words = refused_words(str(request.fields().get("prompt", "")))
        if words:
            return bodies.failure(f"banned prompt words: {', '.join(words)}")
        return bodies.envelope(None, "Prompt verification successful.")

    def info(self, request: Request, _fault: Fault | None) -> object:
        charged, frozen = self._store.balance_micros(PROVIDER, key_digest(request))
        left = self._settings.wallet_usd - usd(charged + frozen)
        return bodies.envelope(
            {
                "email": "sandbox@example.com",
                "email_verified_at": "2026-01-01 00:00:00",
                "balance": float(left * 100),
                "freeze_balance": float(usd(frozen) * 100),
                "max_queue": self._settings.concurrency,
                "created_at": "2026-01-01 00:00:00",
            }
        )

    def modes(self, _request: Request, _fault: Fault | None) -> object:
        return bodies.envelope(
            {
                mode: {
                    "status": 200,
                    "runningMessage": "operational",
                    "averageExecute": round(factor * self._settings.latency_s, 3),
                }
                for mode, factor in MODE_FACTORS.items()
            }
        )

    def _job_of(self, request: Request, fields: Mapping[str, Any]) -> Job:
        job_id = fields.get("jobId")
        if not isinstance(job_id, str) or not job_id:
            raise NotAccepted(400, "The jobId field is required.")
        job = self._store.get(job_id)
        if job is None or job.provider != PROVIDER or job.key_digest != key_digest(request):
            raise NotAccepted(404, "The job does not exist.")
        return job


def refusal(error: Refused) -> NotAccepted:
    match error:
        case QueueFull():
            return NotAccepted(499, f"queue exhausted: {error}")
        case TooManySubmits():
            return NotAccepted(429, f"Too Many Requests: {error}")
        case WalletEmpty():
            return NotAccepted(402, f"Insufficient balance: {error}")
        case _:
            raise AssertionError(f"unknown refusal {error!r}")


def after(parent: Job, *, job_id: str, kind: str, plan: Mapping[str, Any]) -> Wanted:
    return Wanted(job_id=job_id, kind=kind, prompt=parent.prompt, mode=parent.mode, plan=plan, parent_id=parent.job_id)


def asked(request: Request) -> Mapping[str, Any]:
    """The parameters of a read, which the wire takes in the address or in a JSON body."""
    return request.query if request.method == "GET" else request.fields()


def key_digest(request: Request) -> str:
    return digest_of(request.header("tt-api-key"))


def seed_of(job_id: str) -> int:
    return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4])


def size_of(aspect: tuple[int, int], side_px: int) -> tuple[int, int]:
    """Width and height of one picture: the area of a square of that side, in steps of 8 pixels."""
    width, height = aspect
    root = (width / height) ** 0.5
    return max(8, round(side_px * root / 8) * 8), max(8, round(side_px / root / 8) * 8)


def follow_up(parent: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The plan of an action on a job; a `seed` of None asks for a new one."""
    width, height = parent["size"]
    number = int(action[-1]) if action[-1].isdigit() else 0
    if action.startswith("upsample"):
        return {**parent, "tiles": [parent["tiles"][number - 1]], "size": (2 * width, 2 * height)}
    if action.startswith("upscale"):
        return {**parent, "size": (2 * width, 2 * height)}
    return {**parent, "tiles": [0, 1, 2, 3], "seed": None}


def read_timeout_s(fields: Mapping[str, Any], mode: str) -> int:
    """The caller's timeout, which the samples send as a string; raises `NotAccepted` outside the mode's range."""
    lowest = LOWEST_TIMEOUT_S[mode]
    try:
        timeout_s = int(fields.get("timeout") or lowest)
    except (TypeError, ValueError):
        timeout_s = 0
    if not lowest <= timeout_s <= HIGHEST_TIMEOUT_S:
        raise NotAccepted(400, f"The timeout must be from {lowest} to {HIGHEST_TIMEOUT_S} in {mode} mode.")
    return timeout_s


def read_hook_url(fields: Mapping[str, Any]) -> str | None:
    hook_url = fields.get("hookUrl") or None
    if hook_url is not None and not (isinstance(hook_url, str) and hook_url.startswith(("http://", "https://"))):
        raise NotAccepted(400, "The hookUrl must be an address.")
    return hook_url


def read_count(fields: Mapping[str, Any], name: str, default: int) -> int:
    try:
        number = int(fields.get(name) or default)
    except (TypeError, ValueError) as error:
        raise NotAccepted(400, f"The {name} must be a number.") from error
    if number < 1:
        raise NotAccepted(400, f"The {name} must be at least 1.")
    return number


GET, POST, BOTH = frozenset({"GET"}), frozenset({"POST"}), frozenset({"GET", "POST"})

ROUTES: Mapping[str, Route] = {
    "/midjourney/v1/imagine": Route(methods=POST, where="submit", handler=TTAPI.imagine),
    "/midjourney/v1/action": Route(methods=POST, where="submit", handler=TTAPI.action),
    "/midjourney/v1/seed": Route(methods=POST, where="submit", handler=TTAPI.seed),
    "/midjourney/v1/fetch": Route(methods=BOTH, where="fetch", handler=TTAPI.fetch),
    "/midjourney/v1/fetch-list": Route(methods=BOTH, where="list", handler=TTAPI.fetch_list),
    "/midjourney/v1/promptCheck": Route(methods=POST, where=None, handler=TTAPI.prompt_check),
    "/midjourney/v1/info": Route(methods=BOTH, where=None, handler=TTAPI.info),
    "/midjourney/status": Route(methods=GET, where=None, handler=TTAPI.modes),
}
