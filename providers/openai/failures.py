"""Turns OpenAI's refusals into errors of ours, by status, code and message.

A 429 is two things, "slow down" and "no money"; repeating the second would burn the queue.

Source: PROVIDERS.md 3.4, bodies recorded from 2026-07 to 2026-10; codes of a 403, from reports of 2023 to 2026.
"""

import re
from typing import Final

from domain.errors import (
    ContentRefused,
    KeyRefused,
    OutOfMoney,
    ProviderError,
    RateLimited,
    RequestRefused,
    UnknownThing,
)
from providers.catalogue import load
from providers.contract import Reply
from providers.transport.failure_text import failure_text
from providers.transport.reply_models import ReplyModel, Text
from providers.transport.retry_after import meant_s, retry_after_s
from providers.transport.statuses import REFUSALS

_NO_MONEY_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_NO_MONEY_WORDS: Final = ("no credits remaining", "exceeded your current quota", "billing hard limit")
_MODERATED: Final = frozenset({"moderation_blocked", "content_policy_violation"})
#: Of a 403, those that hold for every request of the key. All others are about the model that was asked for.
_OF_THE_ACCOUNT: Final = frozenset(
    {
        "unsupported_country_region_territory",
        "invalid_api_key",
        "no_organization",
        "account_deactivated",
        "ip_not_authorized",
    }
)
#: A pause in the limit headers, like `6m0s`, `1.5s` or `20ms`.
_PAUSE: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")


class Problem(ReplyModel):
    code: Text = None
    type: Text = None
    message: Text = None


class Refusal(ReplyModel):
    error: Problem = Problem()


def refusal_of(reply: Reply) -> ProviderError | None:
    """The error of a reply that is documented as a refusal: nothing was made. None for every other reply.

    A 403 is usually about one model ("Your organization must be verified to use the model"), while the same key makes
    pictures with the others: the request is refused, and its lane stays open.
    """
    if reply.status not in REFUSALS:
        return None
    error = (Refusal.read(reply.content) or Refusal()).error
    code = error.code or error.type or ""
    # The wallet's refusal has also been seen as plain text.
    message = error.message or (reply.content[:1000].decode("utf-8", "replace") if error.is_empty else "")
    kind = _kind(reply.status, code, error.type or "", message)
    named = kind("").code
    if reply.status == 404 and (code == "model_not_found" or reply.model in message):
        message = "; ".join(part for part in (message.rstrip(". "), _successor(reply.model)) if part)
    if reply.status == 403 and kind is RequestRefused:
        message = "; ".join(part for part in (message.rstrip(". "), _not_allowed(reply.model)) if part)
    return kind(
        failure_text(named, code=f"{reply.status} {code}".strip(), message=message),
        retry_after_s=pause_s(reply) if kind is RateLimited else None,
    )


def _kind(status: int, code: str, sort: str, message: str) -> type[ProviderError]:
    lowered = message.lower()
    if _NO_MONEY_CODES & {code, sort} or any(words in lowered for words in _NO_MONEY_WORDS):
        return OutOfMoney
    if status in {400, 403} and (code in _MODERATED or "safety_violations=" in lowered):
        return ContentRefused
    if status == 403 and (_OF_THE_ACCOUNT & {code, sort} or "missing scopes" in lowered):
        return KeyRefused
    return REFUSALS[status]


def _not_allowed(model: str) -> str:
    asked = repr(model) if model else "the model"
    return f"have {asked} allowed to the key's organization and project on OpenAI's page, or use another model"


def _successor(model: str) -> str:
    """What to use instead of a model that is gone, where the catalogue knows."""
    try:
        successor = load().get(model).successor
    except UnknownThing:
        successor = None
    return f"use {successor!r}" if successor else "`likeness models` lists those there are"


def pause_s(reply: Reply) -> float | None:
    """Seconds, a day at most, that the service asks for: its own header, the usual one, or a used-up limit's reset."""
    own = _milliseconds(reply.headers.get("retry-after-ms", ""))
    if own is not None:
        return own
    asked = retry_after_s(reply)
    if asked is not None:
        return asked
    used_up = [
        _pause(reply.headers.get(f"x-ratelimit-reset-{limit}", ""))
        for limit in ("requests", "tokens", "images")
        if reply.headers.get(f"x-ratelimit-remaining-{limit}", "").strip() == "0"
    ]
    return max((one for one in used_up if one is not None), default=None)


def _milliseconds(text: str) -> float | None:
    try:
        return meant_s(float(text) / 1000)
    except ValueError:
        return None


def _pause(text: str) -> float | None:
    found = _PAUSE.fullmatch(text.strip())
    if found is None or not any(found.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return meant_s(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000)
