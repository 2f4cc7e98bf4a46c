"""Adapts OpenAI's picture models: one call that lasts as long as the work, and a reply that is the result.

There is no job, no poll and no list: whoever loses the reply loses the picture, and is billed. What a model is told is
`providers.openai.body`'s business, what a refusal means `providers.openai.failures`'s.

Source: PROVIDERS.md 3, OpenAI's specification of 2026-08-21 and pages of 2026-09.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from domain.errors import RequestRefused, UnknownThing
from providers.adapter import Adapter
from providers.catalogue import Model, load
from providers.contract import Ask, Call, Delivered, Reply
from providers.openai import replies
from providers.openai.body import body_for, left_out, without_flags

#: The longest that OpenAI's own client waits; a picture takes 40 to 80 s on an ordinary day, more with `max`.
USUAL_TOTAL_S: Final = 600.0
#: A large PNG in base64, several times over.
_REPLY_MAX_BYTES: Final = 64 * 2**20


class OpenAI(Adapter):
    """`/v1/images/generations`, and `/v1/images/edits` in its JSON form where there are references."""

    name = "openai"
    submit_total_s = USUAL_TOTAL_S
    synchronous = True
    tells_models = True
    takes_files = True
    #: A data address may have 20 MiB of text; base64 makes four characters of three bytes.
    most_inline_bytes = most_reference_bytes = 14 * 2**20

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def prompt_text(self, ask: Ask) -> str:
        return without_flags(ask)[0].prompt

    def build_submit(self, ask: Ask) -> Call:
        model = _model(ask.model)
        return Call(
            method="POST",
            path="/v1/images/edits" if ask.reference_urls else "/v1/images/generations",
            json=body_for(ask, model),
            total_s=self.submit_total_s,
            reply_max_bytes=_REPLY_MAX_BYTES,
            model=model.name,
        )

    def read_submit(self, reply: Reply) -> Delivered:
        return replies.delivered(reply)

    def build_model(self, model: str) -> Call:
        name = _model(model).name
        return Call(method="GET", path=f"/v1/models/{name}", repeatable=True, total_s=10.0, model=name)

    def read_end(self, reply: Reply) -> date | None:
        return replies.end_of_model(reply)

    def warnings(self, ask: Ask) -> Sequence[str]:
        ask, notes = without_flags(ask)
        names = left_out(ask, _model(ask.model))
        return [
            *notes,
            *([f"{ask.model!r} has no {', '.join(names)}; what is said about it is left out"] if names else ()),
        ]


def _model(name: str) -> Model:
    try:
        model = load().get(name)
    except UnknownThing as failure:
        raise RequestRefused(str(failure)) from failure
    if model.provider != OpenAI.name or model.kind != "picture":
        raise RequestRefused(f"OpenAI makes no pictures with {name!r}; `likeness models` lists those that do")
    return model
