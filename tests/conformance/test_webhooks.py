"""What our side and the sandbox's mean by a signed webhook is what the authors of Standard Webhooks mean."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from providers.contract import Reply
from providers.registry import SERVICES, open_lane
from providers.webhooks import Notice, Unproven, can_call_back
from sandbox.signing import signed

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: The message of the specification's own example.
EXAMPLE_ID, EXAMPLE_BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'


def replicate_says(body: bytes, headers: Mapping[str, str]) -> Notice | Unproven:
    with open_lane("replicate", "replicate", key="r8_key", webhook_secret=SECRET) as lane:
        return lane.read_webhook(headers, body)


def library_signed(body: bytes, *, at: datetime, message_id: str = "msg_1") -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(msg_id=message_id, timestamp=at, data=body.decode()),
    }


def test_the_example_of_the_specification_is_signed_alike_by_library_and_sandbox() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    ours = signed(SECRET, message_id=EXAMPLE_ID, body=EXAMPLE_BODY, at_s=at.timestamp())
    assert ours["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert ours == library_signed(EXAMPLE_BODY, at=at, message_id=EXAMPLE_ID)


def test_what_the_library_signs_is_taken() -> None:
    body = json.dumps({"id": "p1", "status": "succeeded"}).encode()
    said = replicate_says(body, library_signed(body, at=datetime.now(UTC)))
    assert said == Notice(job_id="p1", event_id="msg_1", signed=True)


def test_what_the_sandbox_signs_passes_the_library() -> None:
    headers = signed(SECRET, message_id="msg_1", body=b"{}", at_s=time.time())
    assert Webhook(SECRET).verify(b"{}", dict(headers)) == {}


def test_during_a_renewal_one_good_signature_of_several_is_enough() -> None:
    headers = library_signed(b"{}", at=datetime.now(UTC))
    headers["webhook-signature"] = f"v1a,AAAA v1,AAAA {headers['webhook-signature']}"
    assert isinstance(replicate_says(b"{}", headers), Notice)


@pytest.mark.parametrize(("age", "taken"), [(-290, True), (290, True), (-310, False), (310, False)])
def test_five_minutes_are_tolerated_in_both_directions(age: int, *, taken: bool) -> None:
    headers = library_signed(b"{}", at=datetime.now(UTC) - timedelta(seconds=age))
    assert isinstance(replicate_says(b"{}", headers), Notice) == taken


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": "no comma"},
        {"webhook-signature": "v1,not base64"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,a,b"},
        {"webhook-signature": "\u00e9,\u00e9"},
        {"webhook-signature": ""},
        {"webhook-id": ""},
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "inf"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": "yesterday"},
    ],
)
def test_a_malformed_header_is_a_refusal_and_no_failure(change: Mapping[str, str]) -> None:
    headers = library_signed(b"{}", at=datetime.now(UTC)) | change
    assert isinstance(replicate_says(b"{}", headers), Unproven)


def test_a_body_is_judged_byte_by_byte() -> None:
    headers = library_signed(b'{"a": 1}', at=datetime.now(UTC))
    assert isinstance(replicate_says(b'{"a":1}', headers), Unproven)
    assert isinstance(replicate_says(b'{"a": 1}\xff', headers), Unproven)


@pytest.mark.parametrize("provider", sorted(SERVICES))
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"id": {}, "jobId": []}'])
def test_a_body_that_names_no_job_is_read_without_failure(provider: str, body: bytes) -> None:
    where = {"base_url": "http://127.0.0.1:9"} if provider == "sandbox" else {}
    with open_lane(provider, provider, key="sk-0123456789", webhook_secret=SECRET, **where) as lane:
        said = lane.read_webhook({}, body)
    if provider in {"ttapi", "sandbox"}:
        assert said == Notice(job_id=None), "the token in the address is all that proves it"
    else:
        assert isinstance(said, Unproven)


@pytest.mark.parametrize("spelling", ["jobId", "job_id"])
def test_ttapi_names_its_job_in_either_spelling(spelling: str) -> None:
    with open_lane("ttapi", "ttapi", key="sk-0123456789") as lane:
        for body in ({spelling: "j1"}, {"data": {spelling: "j1"}}):
            assert lane.read_webhook({}, json.dumps(body).encode()) == Notice(job_id="j1")


def test_a_job_tells_what_it_was_asked_for() -> None:
    ttapi, replicate = SERVICES["ttapi"].adapter(), SERVICES["replicate"].adapter()
    job = {"jobId": "j1", "status": "FAILED", "data": {"prompt": "a pig --seed 7", "hookUrl": "https://us/hooks/t"}}
    told = ttapi.read_told(Reply(status=200, headers={}, content=json.dumps(job).encode()))
    assert (told.prompt, told.hook_url) == ("a pig --seed 7", "https://us/hooks/t")
    prediction = {"id": "p1", "model": "m/n", "input": {"prompt": "a pig"}, "webhook": "https://us/hooks/t"}
    told = replicate.read_told(Reply(status=200, headers={}, content=json.dumps(prediction).encode()))
    assert told.hook_url == "https://us/hooks/t"
    assert json.loads(told.prompt or "") == {"model": "m/n", "input": {"prompt": "a pig"}}


@pytest.mark.parametrize(
    ("service", "hook", "possible"),
    [
        ("https://api.ttapi.io", "https://likeness.example/hooks/ttapi/t", True),
        ("https://api.ttapi.io", "http://127.0.0.1:8800/hooks/ttapi/t", False),
        ("https://api.replicate.com", "http://localhost:8800/hooks/replicate/t", False),
        ("http://127.0.0.1:8700/ttapi", "http://127.0.0.1:8800/hooks/ttapi/t", True),
        ("http://localhost:8700/replicate", "http://[::1]:8800/hooks/replicate/t", True),
    ],
)
def test_an_address_on_this_machine_is_for_a_stand_in_on_it(service: str, hook: str, *, possible: bool) -> None:
    assert can_call_back(service, hook) == possible
