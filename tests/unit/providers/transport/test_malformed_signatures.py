"""What a signature header can hold that the library does not expect: a refusal, never an error of ours."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook

from providers.transport.signatures import Signatures

SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes !!!").decode()
CONTENT = b'{"id": "one"}'


def _headers(signature: str, at: datetime) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }


def _refusal(signature: str, at: datetime | None = None) -> str | None:
    def never() -> str:
        raise AssertionError("the secret is known")

    return Signatures(never, known=SECRET).refusal(_headers(signature, at or datetime.now(UTC)), CONTENT)


@pytest.mark.parametrize(
    "signature", ["", " ", "v1", "nonsense", "v1,", "v1,not base64!", "v1,YQ", "v2,YWJj", "v1,\xff", "v1,YWJj v1"]
)
def test_a_malformed_signature_is_refused_and_raises_nothing(signature: str) -> None:
    assert _refusal(signature) is not None


def test_the_right_signature_passes_beside_ones_of_unknown_versions() -> None:
    at = datetime.now(UTC)
    right = Webhook(SECRET).sign(msg_id="msg_1", timestamp=at, data=CONTENT.decode())
    assert _refusal(right, at) is None
    assert _refusal(f"v9,YWJj {right}", at) is None
