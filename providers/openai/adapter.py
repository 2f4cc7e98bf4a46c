"""Adapter for OpenAI's picture models: one call that lasts as long as the work, and a reply that is the result.

There is no job, no poll and no list: whoever loses the reply loses the picture, and is billed. What a model is told is
`providers.openai.body`'s business, what a refusal means `providers.openai.failures`'s.

Source: PROVIDERS.md 3, OpenAI's specification of 2026-08-21 and pages of 2026-09.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from domain.errors import KeyRefused, MaybeSent, ReplyUnreadable, RequestRefused, UnknownThing
from providers.adapter import Adapter
from providers.catalogue import Model, load
from providers.charges import said_usd
from providers.contract import Ask, Call, Delivered, Reply
from providers.openai.body import body_for, left_out
from providers.openai.failures import body_of, refusal_of
from providers.openai.token_prices import dollars
from providers.transport import json_values as read

#: The longest that OpenAI's own client waits; a picture takes 40 to 80 s on an ordinary day, more with `max`.
USUAL_TOTAL_S: Final = 600.0
#: A large PNG in base64, several times over.
_REPLY_MAX_BYTES: Final = 64 * 2**20
_DETAIL: Final = ("created", "background", "output_format", "size", "quality", "usage")


class OpenAI(Adapter):
    """`/v1/images/generations`, and `/v1/images/edits` in its JSON form where there are references."""

    name = "openai"
    submit_total_s = USUAL_TOTAL_S
    synchronous = True
    tells_models = True
    takes_files = True
    #: A data address may have 20 MiB of text; base64 makes four characters of three bytes.
    most_inline_bytes = 14 * 2**20

    def auth_headers(self, key: str) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def prompt_text(self, ask: Ask) -> str:
        return ask.prompt

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
        refusal = refusal_of(reply)
        if refusal is not None:
            raise refusal
        body = body_of(reply)
        if reply.status != 200 or body is None:
            raise MaybeSent(f"OpenAI answered with {reply.status} and no picture; it may be made and billed")
        pictures = _pictures(body)
        if not pictures:
            raise MaybeSent("OpenAI answered with 200 and no picture that can be read; it is made and billed, maybe")
        detail = {name: body[name] for name in _DETAIL if body.get(name) is not None}
        revised = [read.text(row, "revised_prompt") for row in read.rows(body, "data") or ()]
        if any(revised):
            detail["revised_prompt"] = revised[0]
        return Delivered(
            pictures=pictures,
            charged_usd=charge_of(read.mapping(body, "usage"), reply.model),
            request_id=reply.headers.get("x-request-id", "").strip() or None,
            detail=detail,
        )

    def build_model(self, model: str) -> Call:
        name = _model(model).name
        return Call(method="GET", path=f"/v1/models/{name}", repeatable=True, total_s=10.0, model=name)

    def read_end(self, reply: Reply) -> date | None:
        if reply.status == 403:
            # A key may be good for pictures alone: what it may not read says nothing about what it may make.
            raise KeyRefused("OpenAI does not let this key read about its models")
        refusal = refusal_of(reply)
        if refusal is not None:
            raise refusal
        body = body_of(reply)
        if reply.status != 200 or body is None:
            raise ReplyUnreadable(f"OpenAI answered {reply.status} and nothing about the model")
        said = read.text(body, "shutdown_date")
        try:
            return date.fromisoformat(said) if said else None
        except ValueError as error:
            raise ReplyUnreadable(f"OpenAI says that the model ends on {said!r}") from error

    def warnings(self, ask: Ask) -> Sequence[str]:
        names = left_out(ask, _model(ask.model))
        return [f"{ask.model!r} has no {', '.join(names)}; what is said about it is left out"] if names else []


def _model(name: str) -> Model:
    try:
        model = load().get(name)
    except UnknownThing as failure:
        raise RequestRefused(str(failure)) from failure
    if model.provider != OpenAI.name or model.kind != "picture":
        raise RequestRefused(f"OpenAI makes no pictures with {name!r}; `likeness models` lists those that do")
    return model


def _pictures(body: Mapping[str, Any]) -> list[bytes]:
    """The files in the reply; none if one of them cannot be read."""
    found = []
    for row in read.rows(body, "data") or ():
        text = read.text(row, "b64_json")
        try:
            found.append(base64.b64decode(text or "", validate=True))
        except (binascii.Error, ValueError):
            return []
    return found if all(found) else []


def charge_of(usage: Mapping[str, Any], model: str) -> Decimal | None:
    """Dollars for the tokens that the service counted; None where it did not count, or nobody knows its rates.

    None too where the count is absurd: the picture is in the same reply, and must not be lost for it.
    """
    rates = load().get(model).billed if model else None
    inputs = read.mapping(usage, "input_tokens_details")
    text, images = read.whole(inputs, "text_tokens"), read.whole(inputs, "image_tokens")
    out = read.whole(usage, "output_tokens")
    if rates is None or text is None or images is None or out is None or min(text, images, out) < 0:
        return None
    return said_usd(
        dollars(text, usd_per_million=rates.text_in)
        + dollars(images, usd_per_million=rates.image_in)
        + dollars(out, usd_per_million=rates.image_out),
        by="OpenAI",
    )
