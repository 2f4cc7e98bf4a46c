"""Standard Webhooks signatures: whose secret counts, who is asked for it, and how often."""

import time
from collections.abc import Iterator, Mapping

import pytest

from domain.errors import ProviderDown, ReplyUnreadable, ServiceMissing
from providers.transport import signatures
from providers.transport.signatures import Signatures
from sandbox.signing import signed

OLD = "whsec_" + "QUJD" * 10 + "QUI="
NEW = "whsec_" + "REVG" * 10 + "REU="
BODY = b'{"id": "p1"}'


def headers(secret: str) -> Mapping[str, str]:
    return signed(secret, message_id="msg_1", body=BODY, at_s=time.time())


class Service:
    """Tells a secret, and counts how often it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing was asked too short a time ago."""
    monkeypatch.setattr(signatures, "_RENEWED_AFTER_S", -1.0)
    monkeypatch.setattr(signatures, "_ASKED_AGAIN_AFTER_S", -1.0)
    return


def test_the_service_is_asked_once_for_its_secret() -> None:
    service = Service(OLD)
    check = Signatures(service)
    check.prepare()
    assert [check.refusal(headers(OLD), BODY) for _ in range(3)] == [None] * 3
    assert service.asked == 1


def test_a_secret_of_the_settings_is_never_asked_for(at_once: None) -> None:
    service = Service(NEW)
    check = Signatures(service, known=OLD)
    assert check.refusal(headers(OLD), BODY) is None
    assert check.refusal(headers(NEW), BODY) is not None
    assert service.asked == 0


def test_a_renewed_secret_is_noticed(at_once: None) -> None:
    service = Service(OLD, NEW)
    check = Signatures(service)
    check.prepare()
    assert check.refusal(headers(NEW), BODY) is None
    assert check.refusal(headers(OLD), BODY) is not None, "the one before counts no more"


def test_forgeries_do_not_make_us_ask_without_end() -> None:
    service = Service(OLD)
    check = Signatures(service)
    for _ in range(50):
        assert check.refusal(headers(NEW), BODY) == "No matching signature found"
    assert service.asked == 1


def test_a_service_that_is_down_leaves_the_secret_that_is_known(at_once: None) -> None:
    check = Signatures(Service(OLD, ProviderDown("away")))
    check.prepare()
    assert check.refusal(headers(NEW), BODY) is not None
    assert check.refusal(headers(OLD), BODY) is None


def test_without_a_secret_nothing_is_judged() -> None:
    service = Service(ProviderDown("away"), OLD)
    check = Signatures(service)
    for _ in range(5):
        with pytest.raises(ProviderDown):
            check.refusal(headers(OLD), BODY)
    assert service.asked == 1, "and a service that is down is not asked by every message"


def test_a_service_that_comes_back_is_asked_again(at_once: None) -> None:
    check = Signatures(Service(ProviderDown("away"), OLD))
    with pytest.raises(ProviderDown):
        check.prepare()
    assert check.refusal(headers(OLD), BODY) is None


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_no base64 at all!", "whsec_\u00e9"])
def test_what_is_no_secret_is_said_without_showing_it(text: str) -> None:
    with pytest.raises(ServiceMissing, match="whsec_") as caught:
        Signatures(Service(OLD), known=text)
    assert "at all" not in str(caught.value)
    with pytest.raises(ReplyUnreadable):
        Signatures(Service(text)).prepare()
