"""Sending webhooks to addresses that customers chose: signed, never into a private network, never redirected.

Source: github standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import secrets
from base64 import b64encode
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import httpx2
from standardwebhooks.webhooks import Webhook

from domain.errors import BadInput, ProviderDown
from providers.transport.deadline import Address, AddressRefused, CallTime, DeadlineBackend, within
from providers.transport.fetch import is_public
from providers.transport.http import CONNECT_S, FOREIGN, client, why

_TOTAL_S: Final = 15.0
_READ_AT_MOST: Final = 4096
_SECRET_BYTES: Final = 32


def new_secret() -> str:
    """A secret as Standard Webhooks writes it."""
    return f"whsec_{b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def check_url(url: str) -> None:
    """Refuse an address that can be no receiver; whether it leads into a private network is found out when sending.

    Raises:
        BadInput: neither http nor https, without a host, with credentials or a fragment.
    """
    try:
        parts = urlsplit(url)
        fit = (
            parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.username is None and not parts.fragment
        )
        fit = fit and parts.port != 0
    except ValueError:
        fit = False
    if not fit:
        raise BadInput("a webhook's address looks like https://host/path, without user and fragment")


class WebhookSender:
    """Sends to anybody; safe to use from several threads, opened after a fork.

    Args:
        local: whether receivers on this machine and in its network are allowed, as in a rehearsal.
    """

    def __init__(self, *, local: bool = False) -> None:
        self._local = local
        self._client = client(DeadlineBackend(allowed=self._allowed), connections=32, kept=8)

    def send(self, url: str, *, secret: str, message_id: str, content: bytes) -> None:
        """Send once; a 2xx says that it was taken.

        Raises:
            ProviderDown: it was not; the sentence says why.
        """
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, now, content.decode()),
        }
        call_time = CallTime.starting_now(total_s=_TOTAL_S, connect_s=CONNECT_S)
        try:
            with within(call_time):
                timeout = httpx2.Timeout(_TOTAL_S, pool=CONNECT_S)
                with self._client.stream("POST", url, content=content, headers=headers, timeout=timeout) as response:
                    # Read a little, so that the connection may be kept; what is said there is nobody's business.
                    for read, part in enumerate(response.iter_raw(_READ_AT_MOST)):
                        if read or len(part) >= _READ_AT_MOST:
                            break
                    status = response.status_code
        except AddressRefused:
            raise ProviderDown("the address leads into a private network, where nothing is sent") from None
        except FOREIGN as failure:
            raise ProviderDown(f"no answer: {why(failure)}") from failure
        if not 200 <= status < 300:
            raise ProviderDown(f"the receiver answered {status}")

    def close(self) -> None:
        self._client.close()

    def _allowed(self, address: Address) -> bool:
        return is_public(address) or self._local
