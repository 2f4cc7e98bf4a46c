"""Turns Replicate's refusals and failed predictions into errors of ours, by status, body and error text.

Source: PROVIDERS.md 2.3 and 6 (trap 31): production strings of 2026, and Replicate's own pages where they exist.
"""

import re
from typing import Final

from domain.errors import (
    ContentRefused,
    JobFailed,
    KeyRefused,
    ProviderError,
    RateLimited,
    RequestRefused,
    UnknownThing,
)
from providers.catalogue import load
from providers.contract import Reply
from providers.transport.failure_text import failure_text
from providers.transport.reply_models import Number, ReplyModel, Rows, Text, named
from providers.transport.retry_after import meant_s, retry_after_s
from providers.transport.statuses import REFUSALS

#: Of a 403, in lower case: words that hold for every request of the token. None is recorded; all others are taken to
#: be about the model.
_OF_THE_ACCOUNT: Final = re.compile(
    r"\btoken\b|\baccount\b.*\b(?:suspended|disabled|deactivated|blocked|banned)\b|\b(?:country|region)\b"
)

#: Of a failed prediction's error text, compared in lower case.
_MODERATED: Final = re.compile(
    r"\(e005\)|flagged|sensitive|safety (?:system|filter|checker)|nsfw|moderat|content polic|prohibited"
)
#: An upstream that answers 404 has shut the model down, or cannot find what the request points at.
_NOT_THERE: Final = re.compile(r"\b404\b|not[ _]found|no longer (?:available|supported)|has been (?:shut down|retired)")
_WAIT: Final = re.compile(r"(?:resets in ~?|available in )(?P<seconds>\d+(?:\.\d+)?) ?s")


class InvalidField(ReplyModel):
    field: Text = None
    why: Text = named("description", "type")


class Refusal(ReplyModel):
    title: Text = None
    detail: Text = None
    retry_after: Number = None
    invalid_fields: Rows = None


def refusal_of(reply: Reply) -> ProviderError | None:
    """The error of a status that is documented as a refusal of a create; None for every other status.

    A 403 is about the model, unless it speaks of the token or the account: the lane stays open for the others.
    """
    kind = REFUSALS.get(reply.status)
    if kind is None:
        return None
    body = Refusal.read(reply.content) or Refusal()
    message = _message_of(body)
    if reply.status == 404:
        message = f"{message or 'not found'}; {_what_became_of(model_in(reply.path))}"
    if reply.status == 403 and _OF_THE_ACCOUNT.search(message.lower()):
        kind = KeyRefused
    elif reply.status == 403:
        message = f"{message or 'forbidden'}; {_not_allowed(model_in(reply.path))}"
    text = failure_text(kind("").code, code=str(reply.status), message=message)
    return kind(text, retry_after_s=_wait_s(reply, body) if kind is RateLimited else retry_after_s(reply))


def failure_of(error: str | None, *, model: str | None) -> ProviderError:
    """A prediction that ended `failed`. Whether it is billed is not documented; nothing is booked for it."""
    lowered = (error or "").lower()
    if _MODERATED.search(lowered):
        return ContentRefused(failure_text("content_refused", code="failed", message=error))
    if _NOT_THERE.search(lowered):
        return RequestRefused(
            failure_text("request_refused", code="failed", message=f"{error}; {_what_became_of(model)}")
        )
    return JobFailed(failure_text("job_failed", code="failed", message=error))


def model_in(path: str) -> str | None:
    """`owner/name`, where the path of a call names a model."""
    found = re.match(r"/v1/models/([^/]+/[^/]+)", path)
    return found[1] if found else None


def _message_of(body: Refusal) -> str:
    """What the body says, field by field where it names fields."""
    wrong = [InvalidField.model_validate(one) for one in body.invalid_fields or ()]
    fields = [f"{one.field or 'input'}: {one.why or 'refused'}" for one in wrong]
    return ": ".join(part for part in (body.title, "; ".join(fields) or body.detail) if part)


def _wait_s(reply: Reply, body: Refusal) -> float | None:
    """How long to wait, from the header, the body's number, or the sentence."""
    asked = retry_after_s(reply)
    if asked is not None:
        return asked
    meant = None if body.retry_after is None else meant_s(float(body.retry_after))
    if meant is not None:
        return meant
    found = _WAIT.search(body.detail or "")
    return meant_s(float(found["seconds"])) if found else None


def _not_allowed(model: str | None) -> str:
    asked = repr(model) if model else "the model"
    return f"ask for access to {asked} on Replicate's page, or use another model"


def _what_became_of(model: str | None) -> str:
    if model is None:
        return "it does not exist"
    try:
        row = load().get(model)
    except UnknownThing:
        return f"Replicate has no model {model!r}"
    if row.retired_on is None:
        return f"{model!r}, or what the request points at, is not there"
    return f"the end of {model!r} was announced for {row.retired_on}; use {row.successor!r}"
