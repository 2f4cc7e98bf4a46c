"""Replicate's wire, under `/replicate`: which call does what.

Creates are checked in `sandbox.wires.replicate.submit`, bodies built in `sandbox.wires.replicate.bodies`, models
listed in `sandbox.wires.replicate.models`; jobs are kept in `sandbox.jobs` and carried out by `sandbox.studio`.
"""

import base64
import binascii
import json
import math
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sandbox.bill import digest_of
from sandbox.callbacks import Manner
from sandbox.faults.armed import Fault, Faults, misbehave
from sandbox.faults.kinds import UNHEARD, Where
from sandbox.jobs import Job, JobStore, QueueFull, Refused, Terms, TooManySubmits, WalletEmpty, usd
from sandbox.pictures import media_type_of
from sandbox.settings import Settings
from sandbox.signing import secret_in, signed
from sandbox.web import BadRequest, Reply, Request, json_reply
from sandbox.wires.replicate import bodies
from sandbox.wires.replicate.models import MODELS
from sandbox.wires.replicate.submit import E001, PROVIDER, UNREADABLE, NotAccepted, job_from, read_wait_s, wanted

PREFIX = "/replicate"
CREATES_PER_MINUTE = 600
LOW_CREDIT_USD = 5
LOW_CREDIT_PAUSE_S = 10.0  # six a minute, one at a time
LOOK_S = 0.02  # between two looks of a reply that waits for its prediction
GROWTH = (1, 2, 4, 8, 16, 32)  # pauses between callbacks, in units of the shortest


class Replicate:
    """The wire over the shared store.

    Args:
        accepted: called with each job after it is on the bill.
        stop: ends a job before its time.
        read: the file of a picture's name, for replies that hold it.
        keep: puts an uploaded file among the files, and gives its path.
    """

    provider = PROVIDER

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        faults: Faults,
        *,
        accepted: Callable[[Job], None],
        stop: Callable[[str], None],
        read: Callable[[str], bytes | None],
        keep: Callable[[bytes], Path],
    ) -> None:
        self._settings, self._store, self._faults = settings, store, faults
        self._accepted, self._stop, self._read, self._keep = accepted, stop, read, keep
        self._secret = secret_in(settings.data)
        self.terms = Terms(
            concurrency=100_000,
            wallet_usd=settings.wallet_usd,
            submits_per_minute=settings.submits_per_minute or CREATES_PER_MINUTE,
            illegal_limit=1_000_000_000,
            unreadable=UNREADABLE,
            broken=E001,
        )
        self.manner = Manner(
            pauses_s=[settings.callback_pause_s * factor for factor in GROWTH],
            delivered=lambda status: 200 <= status < 300,
            sign=self._sign,
        )

    def where(self, method: str, path: str) -> Where | None:
        found = _route(method, path)
        return None if found is None else found[0].where

    def forgets(self, job: Job, *, now_s: float) -> bool:
        return bodies.forgotten(job, now_s=now_s, retention_s=self._settings.retention_s)

    def answer(self, request: Request) -> Reply:
        found = _route(request.method, request.path)
        if found is None:
            return json_reply(bodies.problem(404), 404)
        route, names = found
        fault = self._faults.choose(route.where, PROVIDER, prompt=self._prompt_of(route.where, request, names))
        if fault is not None and fault.name in UNHEARD:
            self._note_refusal(request, f"fault {fault.name}")
        return misbehave(
            fault,
            act=lambda: self._act(route, request, names, fault),
            refuse=lambda status: self._refuse(request, NotAccepted(*_by_status(status)), f"fault {status}"),
        )

    def callback(self, job: Job, *, base_url: str) -> bytes:
        return json.dumps(self._body(job, base_url)).encode()

    def forged_callback(self, job: Job, *, base_url: str) -> bytes:
        """A success that is none, as somebody who guessed the address would send it."""
        claimed = replace(job, job_id=uuid.uuid4().hex, state="succeeded", finished_at_s=time.time())
        return json.dumps(self._body(claimed, base_url) | {"id": job.job_id}).encode()

    def _sign(self, job: Job, body: bytes, at_s: float) -> Mapping[str, str]:
        return signed(self._secret, message_id=f"msg_{job.job_id}_completed", body=body, at_s=at_s)

    def _body(self, job: Job, base_url: str) -> dict[str, object]:
        return bodies.prediction(
            job,
            now_s=time.time(),
            base_url=base_url,
            retention_s=self._settings.retention_s,
            many=MODELS[job.mode].many,
        )

    def _prompt_of(self, where: Where, request: Request, names: tuple[str, ...]) -> str:
        """The text that a fault's `match` is looked for in."""
        if where in {"fetch", "cancel"}:
            job = self._store.get(names[0])
            return job.prompt if job else ""
        try:
            given = request.fields().get("input") if where == "submit" else None
        except BadRequest:
            return ""
        return str(given.get("prompt", "")) if isinstance(given, dict) else ""

    def _act(self, route: "Route", request: Request, names: tuple[str, ...], fault: Fault | None) -> Reply:
        try:
            self._check_key(request)
            return route.handler(self, request, names, fault)
        except NotAccepted as error:
            return self._refuse(request, error, f"{error.status} {error}")
        except BadRequest as error:
            refused = NotAccepted(bodies.problem(400, str(error)))
            return self._refuse(request, refused, f"400 {error}")

    def _refuse(self, request: Request, refused: NotAccepted, reason: str) -> Reply:
        self._note_refusal(request, reason)
        return replace(json_reply(refused.body, refused.status), headers=tuple(refused.headers.items()))

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
        token = _token(request)
        if not token or (self._settings.key is not None and token != self._settings.key):
            raise NotAccepted(bodies.problem(401))

    # --- The calls --------------------------------------------------------------------------------------------------

    def create(self, request: Request, names: tuple[str, ...], fault: Fault | None) -> Reply:
        return self._create(request, "/".join(names), request.fields(), fault)

    def create_by_version(self, request: Request, _names: tuple[str, ...], fault: Fault | None) -> Reply:
        """The other way to create, which names an official model as its version."""
        fields = request.fields()
        version = fields.pop("version", None)
        if not isinstance(version, str) or not version:
            raise NotAccepted(bodies.invalid([("required", "(root)", "version is required")]))
        name = version.partition(":")[0]
        if name not in MODELS:
            detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
            raise NotAccepted(bodies.problem(422, detail) | {"title": "Invalid version or not permitted"})
        return self._create(request, name, fields, fault)

    def _create(self, request: Request, name: str, fields: Mapping[str, Any], fault: Fault | None) -> Reply:
        asked = wanted(name, fields, request.headers, retired=self._settings.retired)
        if fault is not None and fault.name == "refused":
            raise NotAccepted(bodies.problem(422, fault.argument))
        if fault is not None and fault.name == "throttled":
            raise _throttled(fault.argument, 1)
        key = _key_digest(request)
        self._check_credit(key)
        # In whole microseconds, as the wire writes it: a filter by a time that it gave must find the job again.
        now_s = round(time.time(), 6)
        job = job_from(asked, settings=self._settings, fault=fault, key_digest=key, now_s=now_s)
        try:
            self._store.accept(replace(job, received_at_s=request.received_at_s), self.terms)
        except Refused as error:
            raise _refusal(error) from error
        self._accepted(job)
        return self._created(request, job)

    def _created(self, request: Request, job: Job) -> Reply:
        """201 with the prediction; where the caller waits in vain, 202 with one that says `starting`."""
        wait_s = read_wait_s(request.header("prefer"))
        until = time.monotonic() + wait_s
        now = job
        while now.finished_at_s is None and time.monotonic() < until:
            time.sleep(LOOK_S)
            now = self._store.get(job.job_id) or job
        body = self._body(now, request.base_url)
        if now.finished_at_s is not None:
            return json_reply(body, 201)
        return json_reply(body | {"status": "starting", "logs": ""}, 202 if wait_s else 201)

    def _check_credit(self, key_digest: str) -> None:
        """An account that runs out of money is slowed down before it is refused."""
        left = self._settings.wallet_usd - usd(sum(self._store.balance_micros(PROVIDER, key_digest)))
        if not 0 < left < LOW_CREDIT_USD:
            return
        latest = self._store.before(PROVIDER, key_digest, newest=(math.inf, ""), oldest_s=0.0, limit=1)
        wait_s = latest[0].accepted_at_s + LOW_CREDIT_PAUSE_S - time.time() if latest else 0.0
        if wait_s > 0:
            raise _throttled("low_credit", math.ceil(wait_s))

    def get(self, request: Request, names: tuple[str, ...], fault: Fault | None) -> Reply:
        job = self._job_of(request, names[0])
        body = self._body(job, request.base_url)
        match fault.name if fault else "":
            case "no_images":
                body |= {"output": None}
            case "unknown_status":
                body |= {"status": "queued", "output": None}
            case "data_removed":
                body |= _REMOVED
            case "data_output":
                body |= {"output": self._inside(body["output"])}
        return json_reply(body)

    def cancel(self, request: Request, names: tuple[str, ...], _fault: Fault | None) -> Reply:
        job = self._job_of(request, names[0])
        self._stop(job.job_id)
        return json_reply(self._body(self._job_of(request, names[0]), request.base_url))

    def listing(self, request: Request, _names: tuple[str, ...], fault: Fault | None) -> Reply:
        """All predictions of the account, newest first, by cursor."""
        if request.query.get("source") == "web":
            return json_reply({"previous": None, "next": None, "results": []})
        newest = _cursor_in(request.query) or (_moment_in(request.query, "created_before", math.inf), "")
        oldest_s = _moment_in(request.query, "created_after", 0.0)
        limit = self._settings.list_page
        jobs = self._store.before(PROVIDER, _key_digest(request), newest=newest, oldest_s=oldest_s, limit=limit + 1)
        if fault is not None and fault.name == "hidden":
            jobs = []
        clock_s = fault.clock_s if fault is not None else 0.0
        results = [self._body(_shifted(job, clock_s), request.base_url) for job in jobs[:limit]]
        if fault is not None and fault.name == "respelt":
            results = [bodies.respelt(body) for body in results]
        if fault is not None and fault.name == "data_removed":
            results = [body | _REMOVED for body in results]
        following = None
        if len(jobs) > limit:
            query = {**request.query, "cursor": _cursor_of(jobs[limit - 1])}
            following = f"{request.base_url}{PREFIX}/v1/predictions?{urlencode(query)}"
        return json_reply({"previous": None, "next": following, "results": results})

    def model(self, request: Request, names: tuple[str, ...], _fault: Fault | None) -> Reply:
        name = "/".join(names)
        model = MODELS.get(name)
        if model is None or (model.gone and self._settings.retired == "404"):
            raise NotAccepted(bodies.problem(404))
        return json_reply(bodies.model_object(name, model, base_url=request.base_url))

    def upload(self, request: Request, _names: tuple[str, ...], _fault: Fault | None) -> Reply:
        """A file, as a part of a form with the name `content`; its address goes into an input."""
        found = re.search(r'boundary="?([^";]+)"?', request.header("content-type"))
        parts = request.body.split(b"--" + found[1].encode())[1:-1] if found else []
        for part in parts:
            head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            if b'name="content"' in head:
                return json_reply(bodies.file_object(self._keep(content.removesuffix(b"\r\n")), request.base_url), 201)
        raise NotAccepted(bodies.invalid([("required", "content", "content is required")]))

    def secret(self, _request: Request, _names: tuple[str, ...], _fault: Fault | None) -> Reply:
        return json_reply({"key": self._secret})

    def account(self, _request: Request, _names: tuple[str, ...], _fault: Fault | None) -> Reply:
        return json_reply({"type": "user", "username": "sandbox", "name": "Sandbox", "github_url": None})

    def _job_of(self, request: Request, job_id: str) -> Job:
        job = self._store.get(job_id)
        if job is None or job.provider != PROVIDER or job.key_digest != _key_digest(request):
            raise NotAccepted(bodies.problem(404))
        return job

    def _inside(self, output: object) -> object:
        """The output with each file in its address."""
        if isinstance(output, list):
            return [self._inside(one) for one in output]
        if not isinstance(output, str):
            return output
        name = output.rpartition("/")[2]
        content = self._read(name) or b""
        return f"data:{media_type_of(name)};base64,{base64.b64encode(content).decode()}"


def _shifted(job: Job, by_s: float) -> Job:
    return replace(job, accepted_at_s=job.accepted_at_s + by_s) if by_s else job


_REMOVED: dict[str, object] = {"input": {}, "output": None, "logs": "", "data_removed": True}


def _token(request: Request) -> str:
    scheme, _, token = request.header("authorization").partition(" ")
    return token.strip() if scheme.lower() in {"bearer", "token"} else ""


def _key_digest(request: Request) -> str:
    return digest_of(_token(request))


def _throttled(kind: str, wait_s: int) -> NotAccepted:
    known = kind if kind in bodies.THROTTLED else "plain"
    # The variants without a number have no header either.
    return NotAccepted(bodies.throttled(known, wait_s), {} if known == "old" else {"retry-after": str(wait_s)})


def _by_status(status: int) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """Body and headers for a status that a fault asks for."""
    if status == 429:
        refused = _throttled("plain", 1)
        return refused.body, refused.headers
    return bodies.problem(status), {}


def _refusal(error: Refused) -> NotAccepted:
    match error:
        case TooManySubmits() | QueueFull():
            return _throttled("plain", 1)
        case WalletEmpty():
            return NotAccepted(bodies.problem(402))
        case _:
            raise AssertionError(f"unknown refusal {error!r}")


def _cursor_of(job: Job) -> str:
    return base64.urlsafe_b64encode(json.dumps([job.accepted_at_s, job.job_id]).encode()).decode()


def _cursor_in(query: Mapping[str, str]) -> tuple[float, str] | None:
    if "cursor" not in query:
        return None
    try:
        at_s, job_id = json.loads(base64.urlsafe_b64decode(query["cursor"]))
        return float(at_s), str(job_id)
    except (ValueError, TypeError, binascii.Error) as error:
        raise BadRequest("the cursor is not one of ours") from error


def _moment_in(query: Mapping[str, str], name: str, default: float) -> float:
    if name not in query:
        return default
    try:
        return datetime.fromisoformat(query[name]).timestamp()
    except ValueError as error:
        raise BadRequest(f"{name} must be a time in ISO 8601") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    path: re.Pattern[str]
    where: Where
    handler: Callable[[Replicate, Request, tuple[str, ...], Fault | None], Reply]


def _path(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(PREFIX) + "/v1" + text.replace("*", "([^/]+)") + "/?")


ROUTES = (
    Route(method="POST", path=_path("/models/*/*/predictions"), where="submit", handler=Replicate.create),
    Route(method="POST", path=_path("/predictions"), where="submit", handler=Replicate.create_by_version),
    Route(method="GET", path=_path("/predictions"), where="list", handler=Replicate.listing),
    Route(method="GET", path=_path("/predictions/*"), where="fetch", handler=Replicate.get),
    Route(method="POST", path=_path("/predictions/*/cancel"), where="cancel", handler=Replicate.cancel),
    Route(method="GET", path=_path("/models/*/*"), where="model", handler=Replicate.model),
    Route(method="POST", path=_path("/files"), where="upload", handler=Replicate.upload),
    Route(method="GET", path=_path("/webhooks/default/secret"), where="secret", handler=Replicate.secret),
    Route(method="GET", path=_path("/account"), where="account", handler=Replicate.account),
)


def _route(method: str, path: str) -> tuple[Route, tuple[str, ...]] | None:
    """The route, and the names in its path."""
    for route in ROUTES:
        found = route.path.fullmatch(path) if route.method == method else None
        if found is not None:
            return route, found.groups()
    return None
