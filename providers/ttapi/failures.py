"""Turns TTAPI's failure messages into errors of ours, by how a message begins.

Also which failures TTAPI counts towards its limit of illegal prompts. The brake that acts on the count is
`pipeline.attempts.illegal_prompts`.

Source: docs.mjapiapp.com/faq/midjourney/api and the Chinese FAQ (PROVIDERS.md 1.5); ttapi.io/docs/faq/api (1.9).
"""

from decimal import Decimal
from typing import Final

from domain.errors import ContentRefused, JobFailed, JobTimedOut, ProviderError, QueueFull, RequestRefused
from providers.transport.failure_text import failure_text

#: Beginnings of messages, compared in lower case and without the `!` that one of them carries.
FAMILIES: Final[tuple[tuple[str, type[ProviderError]], ...]] = (
    ("[banned prompt detected]", ContentRefused),
    ("[image denied]", ContentRefused),
    ("[ttapi prompt filter]", ContentRefused),
    ("[ttapi image filter]", ContentRefused),
    ("banned prompt", ContentRefused),
    ("[invalid parameter]", RequestRefused),
    ("[invalid link]", RequestRefused),
    ("[invalid prompt]", RequestRefused),
    ("job timeout", JobTimedOut),
    ("[job timeout]", JobTimedOut),
    ("failed to process your command", JobFailed),
    ("[internal error]", JobFailed),
    ("[internal server error]", JobFailed),
    ("[bad response]", JobFailed),
    ("execution error", JobFailed),
    ("unknown integration", JobFailed),
    ("unknown message", JobFailed),
)

#: Beginnings that count as illegal prompts: after thirty in a day TTAPI keeps the money it froze for a failed job.
#: A prompt that is refused at once, with 400, does not count.
ILLEGAL: Final = (
    "[invalid parameter]",
    "[banned prompt detected]",
    "[image denied]",
    "[invalid link]",
    "[invalid prompt]",
    "[ttapi prompt filter]",
    "[ttapi image filter]",
)


def failure_of(message: str | None, *, charged_usd: Decimal | None = None) -> ProviderError:
    """The service's last word on a job, or on a submission it answered with `FAILED`.

    A message of no known family is `JobFailed`: another try is allowed, as for any fault of the service.

    Args:
        charged_usd: what the failed job cost by its own body. Usually nothing; after too many illegal prompts in a
            day TTAPI keeps what it froze.
    """
    kind = _kind_of(message or "") or JobFailed
    return kind(
        failure_text(kind("").code, code="FAILED", message=message),
        charged_usd=charged_usd or None,
        illegal_prompt=_plain(message or "").startswith(ILLEGAL),
    )


def is_known(message: str | None) -> bool:
    """Whether `message` begins as TTAPI's messages about a failed job do."""
    return _kind_of(message or "") is not None


def refusal_of(message: str) -> type[ProviderError]:
    """The class of a submission answered with 400: nothing was accepted, whatever the message."""
    lowered = message.lower()
    if "no available account" in lowered:
        # The hold host's way of saying that all hosted accounts are busy.
        return QueueFull
    if "banned" in lowered or _kind_of(message) is ContentRefused:
        return ContentRefused
    return RequestRefused


def _plain(message: str) -> str:
    return message.strip().lower().replace("!]", "]")


def _kind_of(message: str) -> type[ProviderError] | None:
    plain = _plain(message)
    return next((kind for beginning, kind in FAMILIES if plain.startswith(beginning)), None)
