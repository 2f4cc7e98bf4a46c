"""Sign callbacks by the Standard Webhooks specification.

Source: github standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path

PREFIX = "whsec_"


def secret_in(folder: Path) -> str:
    """The secret of this data folder, created at the first call."""
    path = folder / "webhook.secret"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        unfinished.write_text(PREFIX + base64.b64encode(os.urandom(32)).decode())
        unfinished.replace(path)
    return path.read_text()


def signed(secret: str, *, message_id: str, body: bytes, at_s: float) -> Mapping[str, str]:
    """The three headers; the id is the same for all tries of a message, time and signature are not."""
    timestamp = str(int(at_s))
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
