"""TTAPI's Midjourney wire, under `/ttapi`: which call does what.

Submissions are checked in `sandbox.wires.ttapi.submit`, prompts read in
`sandbox.wires.ttapi.prompt`, bodies built in `sandbox.wires.ttapi.bodies`; jobs are kept in `sandbox.jobs` and
carried out by `sandbox.studio`. Where the public pages disagree, the newest one is followed.
"""

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.bill import digest_of
from sandbox.callbacks import Manner
from sandbox.faults.armed import Fault, Faults, misbehave
from sandbox.faults.kinds import UNHEARD, Where
from sandbox.jobs import Job, JobStore, Refused, Terms, usd
from sandbox.moderation import BY_READING, objections
from sandbox.settings import Settings
from sandbox.web import BadRequest, Reply, Request, json_reply
from sandbox.wires.ttapi import bodies
from sandbox.wires.ttapi.submit import (
    MODE_FACTORS,
    PROVIDER,
    NotAccepted,
    Wanted,
    job_from,
    read_text,
    refusal,
    wanted_action,
    wanted_imagine,
)

PREFIX = "/ttapi"
LARGEST_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    methods: frozenset[str]
    where: Where
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
            unreadable="[Invalid link!]",
            broken="[Internal error]",
        )
        self.manner = Manner(pauses_s=(settings.callback_pause_s,) * 2, delivered=lambda status: status == 200)

    def where(self, method: str, path: str) -> Where | None:
        route = _route(method, path)
        return None if route is None else route.where

    def answer(self, request: Request) -> Reply:
        route = _route(request.method, request.path)
        if route is None:
            return json_reply(bodies.failure(f"no such endpoint: {request.method} {request.path}"), 404)
        fault = self._faults.choose(route.where, PROVIDER, prompt=self._prompt_of(route.where, request))
        if fault is not None and fault.name in UNHEARD:
            self._note_refusal(request, f"fault {fault.name}")
        return misbehave(
            fault,
            act=lambda: self._act(route, request, fault),
            refuse=lambda status: self._refuse(request, status, f"fault {status}"),
        )

    def forgets(self, job: Job, *, now_s: float) -> bool:  # noqa: ARG002 - the month that links live is not played
        return False

    def callback(self, job: Job, *, base_url: str) -> bytes:
        return json.dumps(bodies.fetch_body(job, now_s=time.time(), base_url=base_url)).encode()

    def forged_callback(self, job: Job, *, base_url: str) -> bytes:
        """A success that is none, as somebody who guessed the address would send it."""
        plan = {"tiles": [0, 1, 2, 3], "size": [1024, 1024], "images": True}
        claimed = replace(job, job_id=str(uuid.uuid4()), kind="imagine", state="succeeded", plan=plan)
        body = bodies.fetch_body(claimed, now_s=time.time(), base_url=base_url)
        # The two ids are the real job's, the addresses of the pictures are not.
        return json.dumps(body).replace(claimed.job_id, job.job_id, 2).encode()

    def _prompt_of(self, where: Where, request: Request) -> str:
        """The text that a fault's `match` is looked for in."""
        try:
            fields = _asked(request)
        except BadRequest:
            return ""
        if where in {"submit", "check"} and "prompt" in fields:
            return str(fields["prompt"])
        job = self._store.get(str(fields.get("jobId", "")))
        return job.prompt if job else ""

    def _act(self, route: Route, request: Request, fault: Fault | None) -> Reply:
        try:
            self._check_key(request)
            return json_reply(route.handler(self, request, fault))
        except NotAccepted as error:
            return self._refuse(request, error.status, str(error))
        except BadRequest as error:
            return self._refuse(request, 400, str(error))

    def _refuse(self, request: Request, status: int, message: str) -> Reply:
        self._note_refusal(request, f"{status} {message}")
        return json_reply(bodies.failure(message), status)

    def _note_refusal(self, request: Request, reason: str) -> None:
        if self.where(request.method, request.path) == "submit":
            self._store.refuse(
                provider=PROVIDER,
                path=request.path,
                key_digest=_key_digest(request),
                received_at_s=request.received_at_s,
                reason=reason,
            )

    def _check_key(self, request: Request) -> None:
        key = request.header("tt-api-key")
        if not key or (self._settings.key is not None and key != self._settings.key):
            raise NotAccepted(401, "Unauthorized: the TT-API-KEY is missing or wrong")

    def imagine(self, request: Request, fault: Fault | None) -> object:
        wanted = wanted_imagine(request.fields(), size_px=self._settings.size_px)
        return self._submit(request, fault, wanted)

    def action(self, request: Request, fault: Fault | None) -> object:
        fields = request.fields()
        return self._submit(request, fault, wanted_action(fields, self._job_of(request, fields)))

    def _submit(self, request: Request, fault: Fault | None, wanted: Wanted) -> object:
        job = job_from(
            wanted,
            request.fields(),
            settings=self._settings,
            fault=fault,
            key_digest=_key_digest(request),
            now_s=time.time(),
        )
        if fault is not None and fault.name == "refused":
            self._note_refusal(request, f"200 {fault.argument}")
            return bodies.failure(fault.argument)
        try:
            self._store.accept(replace(job, received_at_s=request.received_at_s), self.terms)
        except Refused as error:
            raise refusal(error) from error
        self._accepted(job)
        old_shape = fault is not None and fault.name == "old_shape"
        return bodies.envelope({"job_id" if old_shape else "jobId": job.job_id})

    def fetch(self, request: Request, fault: Fault | None) -> object:
        job = self._job_of(request, _asked(request))
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

    def fetch_list(self, request: Request, fault: Fault | None) -> object:
        """The history; like the original it shows successes alone unless another status is asked for."""
        fields = _asked(request)
        page, limit = _count(fields, "page", 1), min(LARGEST_PAGE, _count(fields, "limit", 10))
        status, order = str(fields.get("status") or "SUCCESS").upper(), str(fields.get("order") or "desc").lower()
        if status not in bodies.LIST_STATUS or order not in {"asc", "desc"}:
            raise NotAccepted(400, f"unknown status {status!r} or order {order!r}")
        now_s = time.time()
        jobs = self._store.page(
            PROVIDER,
            _key_digest(request),
            phase=bodies.PHASES[status],
            now_s=now_s,
            newest_first=order == "desc",
            limit=limit,
            offset=(page - 1) * limit,
        )
        if fault is not None and fault.name == "hidden":
            jobs = []
        clock_s = fault.clock_s if fault is not None else 0.0
        rows = [bodies.list_row(job, now_s=now_s, base_url=request.base_url, clock_s=clock_s) for job in jobs]
        if fault is not None and fault.name == "respelt":
            rows = [bodies.respelt(row) for row in rows]
        return bodies.envelope(rows)

    def prompt_check(self, request: Request, _fault: Fault | None) -> object:
        """Free, and before any job: what stands in the prompt is found, what only its picture will show is not."""
        words = objections(read_text(request.fields(), "prompt"), BY_READING)
        if words:
            return bodies.failure(f"banned prompt words: {', '.join(words)}")
        return bodies.envelope(None, "Prompt verification successful.")

    def info(self, request: Request, _fault: Fault | None) -> object:
        """The account: balances in quota, of which a dollar has a hundred."""
        charged, frozen = self._store.balance_micros(PROVIDER, _key_digest(request))
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
        latency_s = self._settings.latency_s
        return bodies.envelope(
            {
                mode: {"status": 200, "runningMessage": "operational", "averageExecute": round(factor * latency_s, 3)}
                for mode, factor in MODE_FACTORS.items()
            }
        )

    def _job_of(self, request: Request, fields: Mapping[str, Any]) -> Job:
        job = self._store.get(read_text(fields, "jobId"))
        if job is None or job.provider != PROVIDER or job.key_digest != _key_digest(request):
            raise NotAccepted(404, "The job does not exist.")
        return job


def _asked(request: Request) -> Mapping[str, Any]:
    """The parameters of a read, which the wire takes in the address or in a JSON body."""
    return request.query if request.method == "GET" else request.fields()


def _key_digest(request: Request) -> str:
    return digest_of(request.header("tt-api-key"))


def _count(fields: Mapping[str, Any], name: str, default: int) -> int:
    text = str(fields.get(name) or default)
    if not text.isdecimal() or not 1 <= len(text) <= 9 or int(text) < 1:
        raise NotAccepted(400, f"The {name} must be a number from 1.")
    return int(text)


def _route(method: str, path: str) -> Route | None:
    route = ROUTES.get(path.removeprefix(PREFIX).rstrip("/"))
    return route if route is not None and method in route.methods else None


GET, POST, BOTH = frozenset({"GET"}), frozenset({"POST"}), frozenset({"GET", "POST"})

ROUTES: Mapping[str, Route] = {
    "/midjourney/v1/imagine": Route(methods=POST, where="submit", handler=TTAPI.imagine),
    "/midjourney/v1/action": Route(methods=POST, where="submit", handler=TTAPI.action),
    "/midjourney/v1/fetch": Route(methods=BOTH, where="fetch", handler=TTAPI.fetch),
    "/midjourney/v1/fetch-list": Route(methods=BOTH, where="list", handler=TTAPI.fetch_list),
    "/midjourney/v1/promptCheck": Route(methods=POST, where="check", handler=TTAPI.prompt_check),
    "/midjourney/v1/info": Route(methods=BOTH, where="account", handler=TTAPI.info),
    "/midjourney/status": Route(methods=GET, where="account", handler=TTAPI.modes),
}
