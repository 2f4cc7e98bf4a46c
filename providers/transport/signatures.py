"""Checks Standard Webhooks signatures with an account's secret.

The secret is asked for once, and again when it may have been renewed. The check itself is the library's; here is what
the library does not catch.

Source: github standard-webhooks/standard-webhooks, spec/standard-webhooks.md, libraries/python.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook, WebhookVerificationError

from domain.errors import ProviderDown, ProviderError, ReplyUnreadable, ServiceMissing

log = logging.getLogger(__name__)

EVENT_ID = "webhook-id"
#: A secret is asked for again at most so often, whoever sends what.
_RENEWED_AFTER_S = 60.0
#: Nor is a service that did not give it asked by every message that comes.
_ASKED_AGAIN_AFTER_S = 5.0


class Signatures:
    """Safe to use from several threads.

    Args:
        ask: asks the service for the secret.
        known: the secret from the settings; then nobody is asked.

    Raises:
        ServiceMissing: `known` is not a secret.
    """

    def __init__(self, ask: Callable[[], str], *, known: str | None = None) -> None:
        self._ask = ask
        self._fixed = known is not None
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._webhook: Webhook | None = None
        if known is not None:
            try:
                self._webhook = _webhook(known)
            except ReplyUnreadable as failure:
                raise ServiceMissing(f"the webhook secret in the settings is none: {failure}") from None

    def prepare(self) -> None:
        """Have the secret at hand before the first message.

        Raises:
            ProviderError: the service did not give it.
        """
        self._current()

    def refusal(self, headers: Mapping[str, str], content: bytes) -> str | None:
        """Why this message proves nothing, or None where the service has signed it within five minutes from now.

        Args:
            headers: names in lower case.

        Raises:
            ProviderError: there is no secret to check it with.
        """
        webhook = self._current()
        why = _why_not(webhook, headers, content)
        if why is None:
            return None
        renewed = self._renewed(webhook)
        return why if renewed is None else _why_not(renewed, headers, content)

    def _current(self) -> Webhook:
        with self._lock:
            if self._webhook is None:
                if self._asked_at is not None and not _longer_ago(self._asked_at, _ASKED_AGAIN_AFTER_S):
                    raise ProviderDown("the webhook secret could not be had a moment ago")
                self._webhook = self._asked()
            return self._webhook

    def _renewed(self, known: Webhook) -> Webhook | None:
        """Another secret than `known`, if there is one by now; a stranger's messages do not make us ask without end."""
        # Whoever finds somebody asking goes on with what is known: the sender tries again.
        if self._fixed or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._webhook is known and _longer_ago(self._asked_at, _RENEWED_AFTER_S):
                self._webhook = self._asked()
        except ProviderError as failure:
            log.info("the webhook secret could not be asked for again: %s", failure)
        finally:
            self._lock.release()
        return self._webhook if self._webhook is not known else None

    def _asked(self) -> Webhook:
        self._asked_at = time.monotonic()
        return _webhook(self._ask())


def _longer_ago(asked_at: float | None, seconds: float) -> bool:
    return asked_at is not None and time.monotonic() - asked_at > seconds


def _webhook(secret: str) -> Webhook:
    """Raises `ReplyUnreadable`, without the secret, where it is none."""
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError):
        raise ReplyUnreadable("it does not look like 'whsec_' and base64 behind it") from None


def _why_not(webhook: Webhook, headers: Mapping[str, str], content: bytes) -> str | None:
    try:
        webhook.verify(content, dict(headers), json_parse=False)
    except WebhookVerificationError as failure:
        return str(failure)
    except ValueError as failure:
        # An entry without a comma, base64 that is none (`binascii.Error` is one), a body that is no text.
        return f"malformed: {type(failure).__name__}"
    return None
