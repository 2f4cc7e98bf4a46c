"""OpenAI's wire, under `/openai`: pictures made while the caller waits, edits, words, and the list of models.

Calls are checked in `sandbox.wires.openai.submit`, bodies built in `sandbox.wires.openai.bodies`, models listed in
`sandbox.wires.openai.models`, words found in `sandbox.wires.openai.text_calls`; jobs are kept in `sandbox.jobs` and
carried out by `sandbox.studio`. A job is on the bill before it is done: whoever hangs up has paid.
"""

import base64
import binascii
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.bill import digest_of
from sandbox.callbacks import Manner
from sandbox.faults.armed import Fault, Faults, misbehave, spoil_picture
from sandbox.faults.kinds import INSIDE, UNHEARD, Where
from sandbox.files import ROUTE as FILES_ROUTE
from sandbox.files import kind_of
from sandbox.jobs import Job, JobStore, QueueFull, Refused, Terms, TooManySubmits, WalletEmpty
from sandbox.settings import Settings
from sandbox.web import BadRequest, Reply, Request, json_reply
from sandbox.wires.openai import bodies
from sandbox.wires.openai import text_calls as words
from sandbox.wires.openai.bodies import NotAccepted
from sandbox.wires.openai.models import MODELS, document, live
from sandbox.wires.openai.submit import MOST_REFERENCES, PROVIDER, job_from, wanted

PREFIX = "/openai"
LOOK_S = 0.02  # between two looks of a reply that waits for its pictures
LONGEST_S = 900.0  # OpenAI's own client waits 600
UNREADABLE = "Invalid image file or mode for image 1, please check your image file."
READ = frozenset({"png", "jpg", "webp"})
BROKEN = "broken"
ENDINGS = {"png": "png", "jpeg": "jpg", "webp": "webp"}


class OpenAI:
    """The wire over the shared store.

    Args:
        accepted: called with each job after it is on the bill.
        read: the file of a picture's name.
        keep: puts a reference among the files.
    """

    provider = PROVIDER

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        faults: Faults,
        *,
        accepted: Callable[[Job], None],
        read: Callable[[str], bytes | None],
        keep: Callable[[bytes], Path],
    ) -> None:
        self._settings, self._store, self._faults = settings, store, faults
        self._accepted, self._read, self._keep = accepted, read, keep
        self.terms = Terms(
            concurrency=100_000,
            wallet_usd=settings.wallet_usd,
            submits_per_minute=settings.submits_per_minute,
            illegal_limit=1_000_000_000,
            unreadable=UNREADABLE,
            reads=READ,
            broken=BROKEN,
        )
        self.manner = Manner(pauses_s=(), delivered=lambda _: True)

    def where(self, method: str, path: str) -> Where | None:
        route = _route(method, path)
        return None if route is None else route.where

    def forgets(self, job: Job, *, now_s: float) -> bool:  # noqa: ARG002 - the wire has no addresses of pictures
        """Always: pictures come with the reply, and never again."""
        return True

    def callback(self, job: Job, *, base_url: str) -> bytes:  # noqa: ARG002 - as the contract has it
        raise AssertionError(f"job {job.job_id} names no address: the wire has no callbacks")

    forged_callback = callback

    def answer(self, request: Request) -> Reply:
        route = _route(request.method, request.path)
        if route is None:
            said = f"Invalid URL ({request.method} {request.path.removeprefix(PREFIX)})"
            return self._refused(NotAccepted(404, said), request_id=_request_id())
        fault = self._faults.choose(route.where, PROVIDER, prompt=_prompt_of(request))
        if fault is not None and fault.name in UNHEARD:
            self._note_refusal(request, f"fault {fault.name}")
        return misbehave(
            fault,
            act=lambda: self._act(route, request, fault),
            refuse=lambda status: self._refuse(request, bodies.by_status(status), f"fault {status}"),
        )

    def _act(self, route: "Route", request: Request, fault: Fault | None) -> Reply:
        try:
            self._check_key(request)
            return route.handler(self, request, fault)
        except NotAccepted as error:
            return self._refuse(request, error, f"{error.status} {error}")
        except BadRequest as error:
            return self._refuse(request, NotAccepted(400, str(error)), f"400 {error}")

    def _refuse(self, request: Request, refused: NotAccepted, reason: str) -> Reply:
        self._note_refusal(request, reason)
        return self._refused(refused, request_id=_request_id())

    def _refused(self, refused: NotAccepted, *, request_id: str) -> Reply:
        wait = refused.retry_after_s
        headers = [("x-request-id", request_id)]
        if wait is not None:
            headers += [
                ("retry-after", f"{max(1, round(wait))}"),
                ("retry-after-ms", f"{round(1000 * wait)}"),
                ("x-ratelimit-remaining-images", "0"),
                ("x-ratelimit-reset-images", f"{wait:g}s"),
            ]
        reply = json_reply(refused.body, refused.status)
        if refused.plain:
            reply = Reply(status=refused.status, body=str(refused).encode(), content_type="text/plain")
        return replace(reply, headers=tuple(headers))

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
        key = _key(request)
        if not key or (self._settings.key is not None and key != self._settings.key):
            raise bodies.wrong_key(key)

    # --- The calls --------------------------------------------------------------------------------------------------

    def generate(self, request: Request, fault: Fault | None) -> Reply:
        return self._make(request, "generation", request.fields(), fault, references=())

    def edit(self, request: Request, fault: Fault | None) -> Reply:
        fields, files = _form(request)
        if any(kind_of(content) not in READ for content in files):
            raise NotAccepted(400, UNREADABLE, code="invalid_image_file", param="image")
        kept = [self._address(request, content) for content in files]
        named = fields.pop("images", [])
        if not isinstance(named, list) or len(named) + len(kept) > MOST_REFERENCES:
            said = f"Invalid 'images': expected a list of 1 to {MOST_REFERENCES} images."
            raise NotAccepted(400, said, code="invalid_value", param="images")
        return self._make(
            request, "edit", fields, fault, references=[*kept, *(self._named(request, one) for one in named)]
        )

    def _named(self, request: Request, one: object) -> str:
        url = one.get("image_url") if isinstance(one, dict) else None
        if not isinstance(url, str) or not url.startswith(("http://", "https://", "data:")):
            said = "Invalid 'images[0].image_url': expected an address, or a base64-encoded data URL."
            raise NotAccepted(400, said, code="invalid_value", param="images")
        if not url.startswith("data:"):
            return url
        content = _inside(url)
        if content is None or kind_of(content) not in READ:
            raise NotAccepted(400, UNREADABLE, code="invalid_image_file", param="images")
        return self._address(request, content)

    def _address(self, request: Request, content: bytes) -> str:
        return f"{request.base_url}{FILES_ROUTE}/{self._keep(content).name}"

    def _make(
        self,
        request: Request,
        kind: str,
        fields: Mapping[str, Any],
        fault: Fault | None,
        *,
        references: Sequence[str],
    ) -> Reply:
        now_s = time.time()
        asked = wanted(kind, fields, references=references, now_s=now_s)
        if fault is not None and fault.name == "refused":
            raise NotAccepted(400, fault.argument, code="moderation_blocked", kind="image_generation_user_error")
        if fault is not None and fault.name == "throttled":
            raise self._throttled(asked.name, fault.argument)
        job = job_from(asked, settings=self._settings, fault=fault, key_digest=_key_digest(request), now_s=now_s)
        name = fault.name if fault is not None else ""
        return self._when_done(
            self._begun(job, request), lambda job: self._spelt(self._with_pictures(job), name, request)
        )

    def _spelt(self, body: dict[str, Any], fault: str, request: Request) -> dict[str, Any]:
        """The reply as gateways give it, or without its pictures."""
        match fault:
            case "no_images":
                return body | {"data": []}
            case "as_address":
                files = [base64.b64decode(row["b64_json"]) for row in body["data"]]
                return body | {"data": [{"url": self._address(request, content)} for content in files]}
            case "no_usage":
                return {name: value for name, value in body.items() if name != "usage"}
            case _:
                return body

    def _begun(self, job: Job, request: Request) -> Job:
        try:
            self._store.accept(replace(job, received_at_s=request.received_at_s), self.terms)
        except Refused as error:
            raise self._refusal(error, job.mode) from error
        self._accepted(job)
        return job

    def chat(self, request: Request, fault: Fault | None) -> Reply:
        return self._say(request, "chat", fault)

    def respond(self, request: Request, fault: Fault | None) -> Reply:
        return self._say(request, "response", fault)

    def _say(self, request: Request, kind: str, fault: Fault | None) -> Reply:
        now_s = time.time()
        question = words.asked(kind, request.fields(), now_s=now_s)
        if fault is not None and fault.name == "throttled":
            raise self._throttled(question.model, fault.argument)
        said, refused = words.answer(question)
        cut = words.is_cut(question, said)
        if cut:
            assert question.most_tokens is not None
            said = said[: question.most_tokens * 4]
        job = words.job_of(question, said, settings=self._settings, key_digest=_key_digest(request), now_s=now_s)
        return self._when_done(self._begun(job, request), lambda job: words.result(job, said, refused=refused, cut=cut))

    def _throttled(self, model: str, variant: str) -> NotAccepted:
        if variant == "plain":
            return bodies.too_fast(model, limit=self._settings.submits_per_minute or 5, wait_s=1.0)
        return bodies.no_money(variant)

    def _refusal(self, error: Refused, model: str) -> NotAccepted:
        match error:
            case TooManySubmits() | QueueFull():
                return self._throttled(model, "plain")
            case WalletEmpty():
                return bodies.no_money("quota")
            case _:
                raise AssertionError(f"unknown refusal {error!r}")

    def _when_done(self, job: Job, result: Callable[[Job], dict[str, Any]]) -> Reply:
        """The result, once the job has ended; the caller may have gone by then, and is none the wiser."""
        began = time.monotonic()
        now: Job | None = job
        while now is not None and now.finished_at_s is None:
            if time.monotonic() > began + LONGEST_S:
                return Reply(dropped=True)
            time.sleep(LOOK_S)
            try:
                now = self._store.get(job.job_id)
            except sqlite3.ProgrammingError:
                return Reply(dropped=True)  # the sandbox is closing
        assert now is not None, "jobs are never removed"
        if now.state == "failed":
            return self._refused(_failure(now), request_id=job.job_id)
        headers = (
            ("x-request-id", job.job_id),
            ("openai-processing-ms", f"{round(1000 * (time.monotonic() - began))}"),
            ("openai-version", "2020-10-01"),
        )
        return replace(json_reply(result(now)), headers=headers)

    def _with_pictures(self, job: Job) -> dict[str, Any]:
        ending = ENDINGS[job.plan["output_format"]]
        fault = self._faults.choose("picture", PROVIDER, prompt=job.prompt, among=INSIDE)
        whole = [Reply(body=self._read(f"{job.job_id}_{number}.{ending}") or b"") for number in job.plan["tiles"]]
        return bodies.result(job, [spoil_picture(fault, picture).body for picture in whole])

    def models(self, _request: Request, _fault: Fault | None) -> Reply:
        today = datetime.now(UTC).date()
        return json_reply({"object": "list", "data": [document(name) for name in MODELS if live(name, today)]})

    def model(self, request: Request, _fault: Fault | None) -> Reply:
        name = request.path.rstrip("/").rpartition("/")[2]
        if live(name, datetime.now(UTC).date()) is None:
            raise bodies.no_model(name)
        return json_reply(document(name))


def _failure(job: Job) -> NotAccepted:
    if job.message == BROKEN:
        return bodies.by_status(500)
    if job.message == UNREADABLE:
        return NotAccepted(400, UNREADABLE, code="invalid_image_file", param="image")
    return NotAccepted(400, job.message, code="moderation_blocked", kind="image_generation_user_error")


def _form(request: Request) -> tuple[dict[str, Any], list[bytes]]:
    """The fields and the picture files of an edit, from JSON or from a form; raises `BadRequest`."""
    found = re.search(r'boundary="?([^";]+)"?', request.header("content-type"))
    if found is None:
        return request.fields(), []
    fields: dict[str, Any] = {}
    files: list[bytes] = []
    for part in request.body.split(b"--" + found[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is None:
            raise BadRequest("a part of the form has no name")
        field, content = name[1].decode(), content.removesuffix(b"\r\n")
        if field in {"image", "image[]"}:
            files.append(content)
        elif field != "mask":
            fields[field] = content.decode("utf-8", "replace")
    return fields, files


def _prompt_of(request: Request) -> str:
    """The text that a fault's `match` is looked for in."""
    try:
        return str(_form(request)[0].get("prompt", ""))
    except BadRequest:
        return ""


def _inside(url: str) -> bytes | None:
    """The file in a data address, if it is one."""
    head, _, body = url.partition(",")
    try:
        return (base64.b64decode(body, validate=True) if head.endswith(";base64") else None) or None
    except (ValueError, binascii.Error):
        return None


def _request_id() -> str:
    return f"req_{uuid.uuid4().hex}"


def _key(request: Request) -> str:
    scheme, _, key = request.header("authorization").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _key_digest(request: Request) -> str:
    return digest_of(_key(request))


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    method: str
    where: Where
    handler: Callable[[OpenAI, Request, Fault | None], Reply]


ROUTES: Mapping[str, Route] = {
    "/v1/images/generations": Route(method="POST", where="submit", handler=OpenAI.generate),
    "/v1/images/edits": Route(method="POST", where="submit", handler=OpenAI.edit),
    "/v1/chat/completions": Route(method="POST", where="submit", handler=OpenAI.chat),
    "/v1/responses": Route(method="POST", where="submit", handler=OpenAI.respond),
    "/v1/models": Route(method="GET", where="model", handler=OpenAI.models),
}
ONE_MODEL = Route(method="GET", where="model", handler=OpenAI.model)


def _route(method: str, path: str) -> Route | None:
    below = path.removeprefix(PREFIX).rstrip("/")
    route = ONE_MODEL if below.startswith("/v1/models/") else ROUTES.get(below)
    return route if route is not None and route.method == method else None
