"""Reads OpenAI's replies: the pictures, what they cost by the tokens that were counted, and when a model ends.

Gateways that speak the same wire answer with addresses in place of the files, or count no tokens, or both.

Source: PROVIDERS.md 3 and 8; openai-openapi of 2026-08-21.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from domain.errors import KeyRefused, MaybeSent, ReplyUnreadable
from providers.catalogue import load
from providers.charges import believable_usd
from providers.contract import Delivered, Reply
from providers.openai.failures import refusal_of
from providers.openai.token_prices import dollars
from providers.transport.reply_models import ReplyModel, Rows, Text, Whole
from providers.transport.statuses import no_answer

_DETAIL: Final = ("created", "background", "output_format", "size", "quality", "usage")


class Cached(ReplyModel):
    text_tokens: Whole = None
    image_tokens: Whole = None


class InputTokens(ReplyModel):
    text_tokens: Whole = None
    image_tokens: Whole = None
    cached_tokens: Whole = None
    cached_tokens_details: Cached = Cached()


class Usage(ReplyModel):
    input_tokens_details: InputTokens = InputTokens()
    output_tokens: Whole = None


class Picture(ReplyModel):
    b64_json: Text = None
    url: Text = None
    revised_prompt: Text = None


class Pictures(ReplyModel):
    data: Rows = None
    usage: Usage = Usage()

    @property
    def rows(self) -> list[Picture]:
        return [Picture.model_validate(row) for row in self.data or ()]


class ModelCard(ReplyModel):
    shutdown_date: Text = None


def delivered(reply: Reply) -> Delivered:
    """The pictures of a call, as files or as addresses.

    Raises:
        ProviderError: a documented refusal, by its class.
        MaybeSent: anything else; it may be made and billed.
    """
    refused = refusal_of(reply)
    if refused is not None:
        raise refused
    body = Pictures.read(reply.content)
    if reply.status != 200 or body is None:
        raise MaybeSent(f"OpenAI answered with {reply.status} and no picture; it may be made and billed")
    files = _files(body.rows)
    urls = [] if files else [row.url for row in body.rows if row.url]
    if not files and (not urls or len(urls) < len(body.rows)):
        raise MaybeSent("OpenAI answered with 200 and no picture that can be read; it is made and billed, maybe")
    detail = body.excerpt(*_DETAIL)
    revised = [row.revised_prompt for row in body.rows]
    if any(revised):
        detail["revised_prompt"] = revised[0]
    return Delivered(
        pictures=files,
        picture_urls=urls,
        charged_usd=charge_of(body.usage, reply.model),
        request_id=reply.headers.get("x-request-id", "").strip() or None,
        detail=detail,
    )


def _files(rows: Sequence[Picture]) -> list[bytes]:
    """The files in the reply; none if one of them cannot be read. Some gateways write their type in front."""
    found = []
    for row in rows:
        text = row.b64_json or (row.url if (row.url or "").startswith("data:") else None) or ""
        try:
            found.append(base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True))
        except (binascii.Error, ValueError):
            return []
    return found if all(found) else []


def charge_of(usage: Usage, model: str) -> Decimal | None:
    """Dollars for the tokens that the service counted; None where it did not count, or nobody knows its rates.

    None too where the count is absurd: the picture is in the same reply, and must not be lost for it. Input that the
    service had cached is cheaper; where it does not say of which kind it was, the smaller saving is taken to be meant.
    """
    rates = load().get(model).billed if model else None
    inputs = usage.input_tokens_details
    text, images, out = inputs.text_tokens, inputs.image_tokens, usage.output_tokens
    if rates is None or text is None or images is None or out is None or min(text, images, out) < 0:
        return None
    cached_text, cached_images = _cached(inputs, text=text, images=images)
    return believable_usd(
        dollars(text - cached_text, usd_per_million=rates.text_in)
        + dollars(cached_text, usd_per_million=rates.cached_text_in or rates.text_in)
        + dollars(images - cached_images, usd_per_million=rates.image_in)
        + dollars(cached_images, usd_per_million=rates.cached_image_in or rates.image_in)
        + dollars(out, usd_per_million=rates.image_out),
        by="OpenAI",
    )


def _cached(inputs: InputTokens, *, text: int, images: int) -> tuple[int, int]:
    """How many of the text and image tokens were cached; never more than there were."""
    kinds = inputs.cached_tokens_details
    if kinds.is_empty:
        total = max(0, inputs.cached_tokens or 0)
        return min(total, text), min(max(0, total - text), images)
    return min(max(0, kinds.text_tokens or 0), text), min(max(0, kinds.image_tokens or 0), images)


def end_of_model(reply: Reply) -> date | None:
    """The first day without the model; raises as `Adapter.read_end`."""
    if reply.status == 403:
        # A key may be good for pictures alone: what it may not read says nothing about what it may make.
        raise KeyRefused("OpenAI does not let this key read about its models")
    refused = refusal_of(reply)
    if refused is not None:
        raise refused
    card = ModelCard.read(reply.content) if reply.status == 200 else None
    if card is None:
        raise no_answer(reply, "OpenAI")
    try:
        return date.fromisoformat(card.shutdown_date) if card.shutdown_date else None
    except ValueError as error:
        raise ReplyUnreadable(f"OpenAI says that the model ends on {card.shutdown_date!r}") from error
