"""HTTP calls that the sandbox makes: fetch reference pictures, deliver callbacks.

Imported at the first such call, because the HTTP client takes 0.2 s to import.
"""

import base64
import binascii
from collections.abc import Mapping

import httpx2

from sandbox.files import FOR_JOB

MAX_REFERENCE_BYTES = 32 * 1024 * 1024
TIMEOUT_S = 10.0

# Ignores proxies of the environment, because the sandbox only calls local addresses.
CLIENT = httpx2.Client(timeout=TIMEOUT_S, trust_env=False)


class Unreachable(Exception):
    """A reference address that could not be read."""


def fetch_reference(url: str, *, job_id: str | None = None) -> bytes:
    """The content of an address or `data:` URL; raises `Unreachable` for anything but a 200 with a body.

    Args:
        job_id: the job that needs it, so that a fault can be attributed to it.
    """
    if url.startswith("data:"):
        return _inside(url)
    try:
        reply = CLIENT.get(url, follow_redirects=True, headers={} if job_id is None else {FOR_JOB: job_id})
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unreachable(f"{url}: {type(error).__name__}") from error
    if reply.status_code != 200 or not reply.content or len(reply.content) > MAX_REFERENCE_BYTES:
        raise Unreachable(f"{url}: status {reply.status_code}, {len(reply.content)} bytes")
    return reply.content


def _inside(url: str) -> bytes:
    head, _, body = url.partition(",")
    try:
        content = base64.b64decode(body, validate=True) if head.endswith(";base64") else b""
    except (ValueError, binascii.Error) as error:
        raise Unreachable(f"{head}: no base64") from error
    if not content:
        raise Unreachable(f"{head}: empty, or not in base64")
    return content


def post_json(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the reply, 0 if there was none."""
    try:
        return CLIENT.post(url, content=body, headers={"content-type": "application/json", **headers}).status_code
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return 0
