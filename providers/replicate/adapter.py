"""Adapts Replicate's official models: writes their calls, and has the replies read.

What a model's input looks like is `providers.replicate.inputs`' business, what a failure means is
`providers.replicate.failures`'s. Replicate tells no price: what is booked is the catalogue's.

Source: PROVIDERS.md 2, Replicate's OpenAPI text of 2026-04 and its pages of 2026.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from domain.errors import ReplyUnreadable, RequestRefused, UnknownThing
from providers.adapter import Adapter
from providers.catalogue import Model, load
from providers.contract import Accepted, AccountInfo, Ask, Call, Progress, Reply
from providers.listed import ListedPage
from providers.replicate import inputs, replies
from providers.replicate.failures import refusal_of
from providers.setting_values import job_seconds
from providers.transport.reply_models import ReplyModel
from providers.webhooks import Told, is_local

#: The life time of a prediction, in seconds from its creation: Replicate's least, ours where nobody says, and the
#: hour after which nothing of it is left to fetch.
LEAST_TIMEOUT_S: Final = 5
USUAL_TIMEOUT_S: Final = 900
MOST_TIMEOUT_S: Final = 3600
UPLOAD_TOTAL_S: Final = 60.0
#: Pictures may stand in the prediction itself, as `data:` addresses.
_REPLY_MAX_BYTES: Final = 64 * 2**20


class Replicate(Adapter):
    """Predictions with official models, under `/v1/models/{owner}/{name}/predictions`."""

    name = "replicate"
    list_parts = ("predictions",)
    cancels = True
    calls_back = True
    tells_models = True
    takes_files = True

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def prompt_text(self, ask: Ask) -> str:
        """Model and input in one spelling: what Replicate's list shows of a prediction, and so what finds it there."""
        model = _model(ask.model)
        return replies.request_text(model.name, inputs.input_for(ask, model))

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
        return replies.accepted(reply)

    def build_poll(self, job_id: str) -> Call:
        return Call(
            method="GET",
            path=f"/v1/predictions/{quote(job_id, safe='')}",
            repeatable=True,
            reply_max_bytes=_REPLY_MAX_BYTES,
        )

    def read_poll(self, reply: Reply) -> Progress:
        return replies.progress(reply)

    def read_webhook(self, content: bytes) -> str | None:
        return replies.named_job(content)

    def read_told(self, reply: Reply) -> Told:
        return replies.told(reply)

    def build_secret(self) -> Call:
        return Call(method="GET", path="/v1/webhooks/default/secret", total_s=5.0, repeatable=True)

    def read_secret(self, reply: Reply) -> str:
        return replies.secret(reply)

    def first_look_after(self, settings: Mapping[str, Any], *, model: str) -> timedelta:
        """A little before the model's usual end: a look costs nothing, and the next ones follow closely."""
        return super().first_look_after(settings, model=model) * 0.75

    def build_cancel(self, job_id: str) -> Call:
        return Call(method="POST", path=f"/v1/predictions/{quote(job_id, safe='')}/cancel", repeatable=True)

    def read_cancel(self, reply: Reply) -> None:
        replies.answer_as(replies.Prediction, reply)

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
        return replies.listing(reply, page=page)

    def resembles(self, sent: str, listed: str) -> bool:
        return replies.resemble(sent, listed)

    def build_info(self) -> Call:
        return Call(method="GET", path="/v1/account", repeatable=True)

    def read_info(self, reply: Reply) -> AccountInfo:
        """Nothing but that the key is good: Replicate tells neither balance nor limits."""
        replies.answer_as(ReplyModel, reply)
        return AccountInfo()

    def build_schema(self, model: str) -> Call:
        return Call(method="GET", path=_path_of(_model(model)), repeatable=True, total_s=10.0)

    def read_schema(self, reply: Reply) -> Mapping[str, Any]:
        if reply.status == 404:
            raise refusal_of(reply) or RequestRefused("no such model")
        return replies.input_properties(reply)

    def check_schema(self, schema: Mapping[str, Any], ask: Ask) -> None:
        model = _model(ask.model)
        unknown = unknown_inputs(schema, inputs.input_for(ask, model))
        if unknown:
            raise RequestRefused(
                f"{model.name!r} has no input {', '.join(map(repr, unknown))} today, and would ignore it and bill;"
                f" it has {', '.join(sorted(schema))}"
            )

    def build_upload(self, content: bytes, media_type: str) -> Call:
        """Replicate's Files API; a file is kept for a day, and a second upload of it is another file."""
        name = f"reference.{media_type.rpartition('/')[2]}"
        boundary = hashlib.sha256(content).hexdigest()
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{name}"\r\n'
        body = f"{head}Content-Type: {media_type}\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
        return Call(
            method="POST",
            path="/v1/files",
            content=body,
            headers={"content-type": f"multipart/form-data; boundary={boundary}"},
            total_s=UPLOAD_TOTAL_S,
            repeatable=True,
        )

    def read_upload(self, reply: Reply) -> str:
        url = replies.answer_as(replies.File, reply).urls.get
        if url is None:
            raise ReplyUnreadable("Replicate took the file and names no address of it")
        return url

    def warnings(self, ask: Ask) -> Sequence[str]:
        model = _model(ask.model)
        ask, notes = inputs.without_flags(ask, model)
        names = inputs.left_out(ask, model)
        lost = [f"{model.name!r} has no {', '.join(names)}; what the prompts say about it is left out"] if names else []
        return [*notes, *inputs.size_notes(ask, model), *lost, *model.length_notes(ask.prompt)]


def unknown_inputs(schema: Mapping[str, Any], sent: Mapping[str, Any]) -> list[str]:
    """Keys of `sent` that the model's own schema does not have: it would ignore them, and bill."""
    return sorted(key for key in sent if key not in schema)


def life_time_s(settings: Mapping[str, Any]) -> int:
    """After how many seconds Replicate ends the prediction by itself.

    Raises:
        RequestRefused: outside of what makes sense there.
    """
    return job_seconds(
        settings.get("timeout"), usual=USUAL_TIMEOUT_S, least=LEAST_TIMEOUT_S, most=MOST_TIMEOUT_S, by="Replicate"
    )


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
