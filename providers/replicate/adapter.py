"""Adapter for Replicate's official models: writes its calls and reads its replies, and does nothing else.

What a model's input looks like is `providers.replicate.inputs`' business, what a failure means is
`providers.replicate.failures`'s. Replicate tells no price: what is booked is the catalogue's.

Source: PROVIDERS.md 2, Replicate's OpenAPI text of 2026-04 and its pages of 2026.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from domain.errors import (
    JobTimedOut,
    KeyRefused,
    MaybeSent,
    ProviderDown,
    ReplyUnreadable,
    RequestRefused,
    UnknownThing,
)
from domain.ids import normalised
from providers.adapter import Adapter
from providers.catalogue import Model, load
from providers.contract import Accepted, AccountInfo, Ask, Call, Made, Progress, Reply, Running
from providers.listed import ListedJob, ListedPage
from providers.notices import Told, is_local
from providers.replicate import inputs
from providers.replicate.failures import failure_of, refusal_of
from providers.transport import json_values as read
from providers.transport.failure_text import shown
from providers.transport.retry_after import retry_after_s

#: The life time of a prediction, in seconds from its creation: Replicate's least, ours where nobody says, and the
#: hour after which nothing of it is left to fetch.
LEAST_TIMEOUT_S: Final = 5
USUAL_TIMEOUT_S: Final = 900
MOST_TIMEOUT_S: Final = 3600
#: Pictures may stand in the prediction itself, as `data:` addresses.
_REPLY_MAX_BYTES: Final = 64 * 2**20
_DETAIL: Final = ("id", "model", "version", "input", "metrics", "created_at", "started_at", "completed_at", "urls")
_AT_WORK: Final = frozenset({"starting", "processing"})
#: How a prediction ended and whether it is billed, as `read_poll` books it. Of a failed one Replicate does not say.
#: Source: PROVIDERS.md 6, traps 9 and 14.
_BILLED: Final = {"succeeded": True, "canceled": True, "aborted": False}


class Replicate(Adapter):
    """Predictions with official models, under `/v1/models/{owner}/{name}/predictions`."""

    name = "replicate"
    list_parts = ("predictions",)
    cancels = True
    calls_back = True
    tells_models = True

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def prompt_text(self, ask: Ask) -> str:
        """Model and input in one spelling: what Replicate's list shows of a prediction, and so what finds it there."""
        model = _model(ask.model)
        return _canonical(model.name, inputs.input_for(ask, model))

    def build_submit(self, ask: Ask) -> Call:
        """The create. No `Prefer: wait`: the longer a reply takes, the more often it is lost, with the job's id."""
        model = _model(ask.model)
        body: dict[str, Any] = {"input": inputs.input_for(ask, model)}
        if ask.hook_url is not None and (ask.hook_url.startswith("https://") or is_local(ask.hook_url)):
            # Replicate calls no other address, and a stand-in on this machine has no certificate. `completed` is the
            # one event that is delivered again after a failure.
            body |= {"webhook": ask.hook_url, "webhook_events_filter": ["completed"]}
        return Call(
            method="POST",
            path=f"{_path_of(model)}/predictions",
            json=body,
            headers={"Cancel-After": f"{life_time_s(ask.settings)}s"},
            total_s=self.submit_total_s,
        )

    def read_submit(self, reply: Reply) -> Accepted:
        body = _body_of(reply)
        refusal = refusal_of(reply, body or {})
        if refusal is not None:
            raise refusal
        job_id = read.text(body or {}, "id")
        # 201 and 202 are documented; an id says the same under 200.
        if reply.status in {200, 201, 202} and job_id:
            return Accepted(job_id=job_id)
        raise MaybeSent(
            f"Replicate answered the submission with {reply.status} and nothing that says whether the job exists"
        )

    def build_poll(self, job_id: str) -> Call:
        return Call(
            method="GET",
            path=f"/v1/predictions/{quote(job_id, safe='')}",
            repeatable=True,
            reply_max_bytes=_REPLY_MAX_BYTES,
        )

    def read_poll(self, reply: Reply) -> Progress:
        body = _answer_of(reply)
        status = read.text(body, "status")
        if status == "succeeded":
            return _made(body)
        if status == "failed":
            raise failure_of(read.text(body, "error"), model=read.text(body, "model"))
        if status == "canceled":
            why = "the prediction was cancelled after it had started; Replicate bills that and does not say how much"
            return Made(picture_urls=(), detail=_detail(body), lost=why)
        if status == "aborted":
            raise JobTimedOut(shown("job_timed_out", code="aborted", message="it never started, and costs nothing"))
        if status is None:
            raise ReplyUnreadable("Replicate answered without a status")
        # Any word that Replicate may add: still running, until our own deadline.
        return Running(percent=_percent(body) if status in _AT_WORK else None)

    def read_webhook(self, content: bytes) -> str | None:
        """The prediction, as `read_poll` reads it; only its id is taken."""
        return read.text(_body_of(Reply(status=200, headers={}, content=content)) or {}, "id")

    def read_told(self, reply: Reply) -> Told:
        body = _answer_of(reply)
        return Told(prompt=_listed(body).prompt, hook_url=read.text(body, "webhook"))

    def build_secret(self) -> Call:
        return Call(method="GET", path="/v1/webhooks/default/secret", total_s=5.0, repeatable=True)

    def read_secret(self, reply: Reply) -> str:
        secret = read.text(_answer_of(reply), "key")
        if secret is None:
            raise ReplyUnreadable("Replicate answered without a webhook secret")
        return secret

    def first_look_after(self, settings: Mapping[str, Any], *, model: str) -> timedelta:
        """A little before the model's usual end: a look costs nothing, and the next ones follow closely."""
        return super().first_look_after(settings, model=model) * 0.75

    def build_cancel(self, job_id: str) -> Call:
        return Call(method="POST", path=f"/v1/predictions/{quote(job_id, safe='')}/cancel", repeatable=True)

    def read_cancel(self, reply: Reply) -> None:
        _answer_of(reply)

    def build_fetch_list(self, *, part: str, page: str | None = None) -> Call:  # noqa: ARG002 - there is one part
        """A page of a hundred, newest first. `page` is the query of the address that the page before named."""
        return Call(
            method="GET",
            path="/v1/predictions",
            params=dict(parse_qsl(page or "")),
            repeatable=True,
            reply_max_bytes=_REPLY_MAX_BYTES,
        )

    def read_fetch_list(self, reply: Reply, *, page: str | None = None) -> ListedPage:
        body = _answer_of(reply)
        rows = read.rows(body, "results")
        if rows is None:
            raise ReplyUnreadable(shown("reply_unreadable", code="list", message="no list of predictions"))
        # Of the next address only the query is taken: the key goes to the lane's own host and no other.
        following = urlsplit(read.text(body, "next") or "").query or None
        if following == page and page is not None:
            raise ReplyUnreadable(shown("reply_unreadable", code="list", message="a page that is its own next"))
        return ListedPage(jobs=[_listed(row) for row in rows], next_page=following)

    def resembles(self, sent: str, listed: str) -> bool:
        """By model and prompt; what the list does not say of them may be ours."""
        ours, theirs = json.loads(sent), json.loads(listed)
        said = read.text(read.mapping(theirs, "input"), "prompt")
        wanted = read.text(read.mapping(ours, "input"), "prompt") or ""
        return theirs["model"] in {None, ours["model"]} and (said is None or normalised(said) == normalised(wanted))

    def build_info(self) -> Call:
        return Call(method="GET", path="/v1/account", repeatable=True)

    def read_info(self, reply: Reply) -> AccountInfo:
        """Nothing but that the key is good: Replicate tells neither balance nor limits."""
        _answer_of(reply)
        return AccountInfo()

    def build_schema(self, model: str) -> Call:
        return Call(method="GET", path=_path_of(_model(model)), repeatable=True, total_s=10.0)

    def read_schema(self, reply: Reply) -> Mapping[str, Any]:
        if reply.status == 404:
            raise refusal_of(reply, _body_of(reply) or {}) or RequestRefused("no such model")
        components = read.mapping(_answer_of(reply), "latest_version")
        for name in ("openapi_schema", "components", "schemas", "Input", "properties"):
            components = read.mapping(components, name)
        if "prompt" not in components:
            raise ReplyUnreadable("Replicate's description of the model has no schema of its input")
        return components

    def check_schema(self, schema: Mapping[str, Any], ask: Ask) -> None:
        model = _model(ask.model)
        unknown = unknown_inputs(schema, inputs.input_for(ask, model))
        if unknown:
            raise RequestRefused(
                f"{model.name!r} has no input {', '.join(map(repr, unknown))} today, and would ignore it and bill;"
                f" it has {', '.join(sorted(schema))}"
            )

    def warnings(self, ask: Ask) -> Sequence[str]:
        model = _model(ask.model)
        names = inputs.left_out(ask, model)
        return [f"{model.name!r} has no {', '.join(names)}; what the prompts say about it is left out"] if names else []


def unknown_inputs(schema: Mapping[str, Any], sent: Mapping[str, Any]) -> list[str]:
    """Keys of `sent` that the model's own schema does not have: it would ignore them, and bill."""
    return sorted(key for key in sent if key not in schema)


def life_time_s(settings: Mapping[str, Any]) -> int:
    """After how many seconds Replicate ends the prediction by itself.

    Raises:
        RequestRefused: outside of what makes sense there.
    """
    wished = settings.get("timeout")
    if wished is None or wished == "":
        return USUAL_TIMEOUT_S
    text = str(wished).strip()
    fits = text.isdecimal() and len(text) <= 6 and LEAST_TIMEOUT_S <= int(text) <= MOST_TIMEOUT_S
    if isinstance(wished, bool) or not fits:
        raise RequestRefused(f"timeout is {wished!r}; Replicate takes {LEAST_TIMEOUT_S} to {MOST_TIMEOUT_S} seconds")
    return int(text)


def _model(name: str) -> Model:
    try:
        model = load().get(name)
    except UnknownThing as failure:
        raise RequestRefused(str(failure)) from failure
    if model.provider != Replicate.name:
        raise RequestRefused(f"Replicate has no model {name!r}; it is served by {model.provider!r}")
    return model


def _path_of(model: Model) -> str:
    return f"/v1/models/{quote(model.name)}"


def _canonical(model: str | None, sent: Mapping[str, Any]) -> str:
    told = {"model": model, "input": _numbers(sent)}
    return json.dumps(told, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _numbers(value: Any) -> Any:
    """`value` with whole numbers in one spelling: a service may echo 3.0 as 3, and 3 as 3.0."""
    if isinstance(value, Mapping):
        return {name: _numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _body_of(reply: Reply) -> dict[str, Any] | None:
    """The JSON object in the reply, if it is one."""
    try:
        body = json.loads(reply.content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _answer_of(reply: Reply) -> dict[str, Any]:
    """The body of a call that may be repeated.

    A 403, 404 or 422 says nothing about a job: it is also what a wrong token or path would give, and a job that may
    be paid is not given up for that.
    """
    body = _body_of(reply)
    if reply.status == 403:
        raise KeyRefused("Replicate answered 403: this token may not ask that")
    if reply.status in {401, 402, 429}:
        refusal = refusal_of(reply, body or {})
        if refusal is not None:
            raise refusal
    if reply.status >= 500:
        raise ProviderDown(f"Replicate answered {reply.status}", retry_after_s=retry_after_s(reply))
    if reply.status not in {200, 201, 202} or body is None:
        raise ReplyUnreadable(f"Replicate answered {reply.status} with a body that can't be used")
    return body


def _made(body: Mapping[str, Any]) -> Made:
    """A finished prediction: one address, several, or none where everything of it was deleted after its hour."""
    output = body.get("output")
    pictures = [output] if isinstance(output, str) and output else read.texts(body, "output")
    lost = None
    if not pictures and body.get("data_removed") is True:
        lost = "the prediction succeeded, and Replicate has deleted its output, as it does after an hour"
    # An output that is null for another reason may appear yet: whoever fetches the pictures asks again.
    return Made(picture_urls=pictures, detail=_detail(body), lost=lost)


def _detail(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _DETAIL if body.get(name) is not None}


def _percent(body: Mapping[str, Any]) -> int | None:
    """From the last progress bar in the logs (`31%|███  | 4/13`), as Replicate's own client reads them."""
    logs = body.get("logs")
    found = re.findall(r"^\s*(\d{1,3})%\s*\|", logs, re.MULTILINE) if isinstance(logs, str) else []
    return min(100, int(found[-1])) if found else None


def _listed(row: Mapping[str, Any]) -> ListedJob:
    job_id = read.text(row, "id")
    if not job_id:
        raise ReplyUnreadable("Replicate lists a prediction without an id")
    sent = read.mapping(row, "input")
    forgotten = row.get("data_removed") is True or not sent
    status = read.text(row, "status")
    return ListedJob(
        job_id=job_id,
        prompt=None if forgotten else _canonical(read.text(row, "model"), sent),
        created_at=read.unix_time(row, "created_at"),
        status=status,
        billed=_BILLED.get(status or ""),
    )
