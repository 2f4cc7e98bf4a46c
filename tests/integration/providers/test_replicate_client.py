"""Replicate's own Python client, unmodified, against the sandbox: our idea of the wire is not only our own."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.helpers import transform_output
from replicate.webhook import InvalidSignatureError, InvalidTimestampError, Webhooks

from sandbox.process import running
from tests.support.callback_listener import CallbackListener
from tests.support.sandbox_client import until

NANO = "google/nano-banana-pro"
KONTEXT = "black-forest-labs/flux-kontext-pro"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), size_px=64, list_page=2, callback_pause=0.05) as url:
        yield url


@pytest.fixture
def client(sandbox: str) -> Iterator[Client]:
    """A customer with a key of his own."""
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)
    opened = Client(api_token=f"r8_{uuid.uuid4().hex}", base_url=f"{sandbox}/replicate", trust_env=False)
    opened.poll_interval = 0.02
    yield opened
    opened._client.close()
    httpx2.delete(f"{sandbox}/_sandbox/faults", trust_env=False)


@pytest.fixture
def listener() -> Iterator[CallbackListener]:
    opened = CallbackListener()
    yield opened
    opened.close()


def arm(sandbox: str, where: str, what: str, **more: object) -> None:
    fault = {"where": where, "what": what, "count": 1, "provider": "replicate"} | more
    httpx2.post(f"{sandbox}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()


def file_at(url: str) -> bytes:
    reply = httpx2.get(url, trust_env=False)
    assert reply.status_code == 200
    return reply.content


def test_a_prediction_is_created_waited_for_and_fetched(client: Client) -> None:
    prediction = client.predictions.create(model=NANO, input={"prompt": "a pink pig", "output_format": "png"})
    assert (prediction.status, prediction.model, prediction.version) == ("starting", NANO, "hidden")
    assert prediction.urls is not None
    assert prediction.urls["cancel"].endswith(f"/{prediction.id}/cancel")
    prediction.wait()
    assert prediction.status == "succeeded"
    assert isinstance(prediction.output, str)
    assert file_at(prediction.output).startswith(b"\x89PNG")
    assert prediction.metrics is not None
    assert prediction.metrics["predict_time"] >= 0


def test_a_run_waits_in_the_create_for_its_pictures(client: Client) -> None:
    output = client.run(NANO, input={"prompt": "a blue fox"})
    assert file_at(output).startswith(b"\xff\xd8\xff")
    several = {"prompt": "two blue foxes", "number_of_images": 2, "output_format": "webp"}
    first, second = map(file_at, client.run("openai/gpt-image-2", input=several))
    assert first[8:12] == second[8:12] == b"WEBP"
    assert first != second


def test_a_picture_inside_the_reply_is_a_file_to_the_client(client: Client, sandbox: str) -> None:
    prediction = client.predictions.create(model=NANO, input={"prompt": "a pig", "output_format": "png"})
    prediction.wait()
    arm(sandbox, "fetch", "data_output")
    prediction.reload()
    assert transform_output(prediction.output, client).read().startswith(b"\x89PNG")


def test_a_reference_travels_by_address_or_inside_the_request(client: Client) -> None:
    made = client.run(KONTEXT, input={"prompt": "a pink pig"}, use_file_output=False)
    inside = "data:image/png;base64,"
    for reference in (made, inside + "aGVsbG8="):
        prediction = client.predictions.create(model=KONTEXT, input={"prompt": "again", "input_image": reference})
        prediction.wait()
        assert prediction.status == ("succeeded" if reference == made else "failed")


def test_the_client_reads_refusals_as_its_own_errors(client: Client, sandbox: str) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.predictions.create(model=NANO, input={"prompt": "a pig", "resolution": "8K"})
    assert (caught.value.status, caught.value.title) == (422, "Input validation failed")
    assert "must be one of the following" in str(caught.value.detail)
    with pytest.raises(ReplicateError) as caught:
        client.predictions.create(model="nobody/nothing", input={"prompt": "a pig"})
    assert caught.value.status == 404
    arm(sandbox, "submit", "throttled:low_credit")
    with pytest.raises(ReplicateError) as caught:
        client.predictions.create(model=NANO, input={"prompt": "a pig"})
    assert caught.value.status == 429
    assert "less than $5.0 in credit" in str(caught.value.detail)
    arm(sandbox, "submit", "status:402")
    with pytest.raises(ReplicateError) as caught:
        client.predictions.create(model=NANO, input={"prompt": "a pig"})
    assert caught.value.title == "Insufficient credit"
    stranger = Client(api_token="", base_url=f"{sandbox}/replicate", trust_env=False)
    with pytest.raises(ReplicateError) as caught:
        stranger.predictions.list()
    assert caught.value.title == "Unauthenticated"
    stranger._client.close()


def test_a_prompt_that_is_refused_fails_as_a_model_error(client: Client) -> None:
    with pytest.raises(ModelError, match="E005"):
        client.run(NANO, input={"prompt": "a naked pig"})
    with pytest.raises(ModelError, match="404 NOT_FOUND"):
        client.run("google/imagen-4-ultra", input={"prompt": "a pig"})


def test_an_unknown_input_is_ignored_and_billed(client: Client, sandbox: str) -> None:
    prediction = client.predictions.create(model=NANO, input={"prompt": "a pig", "image": "https://r/1.png"})
    prediction.wait()
    assert prediction.status == "succeeded"
    assert prediction.input == {"prompt": "a pig", "image": "https://r/1.png"}
    bill = httpx2.get(f"{sandbox}/_sandbox/bill", trust_env=False).json()["jobs"]
    (line,) = [job for job in bill if job["job_id"] == prediction.id]
    assert (line["charged_usd"], line["mode"]) == ("0.15", NANO)


def test_the_list_is_complete_newest_first_page_after_page(client: Client) -> None:
    made = [client.predictions.create(model=NANO, input={"prompt": f"pig {number}"}).id for number in range(5)]
    found: list[str] = []
    page = client.predictions.list()
    while True:
        assert len(page) <= 2
        found += [prediction.id for prediction in page]
        if page.next is None:
            break
        page = client.predictions.list(page.next)
    assert found == made[::-1]


def test_the_client_s_own_ways_round_lead_to_the_same_predictions(client: Client) -> None:
    first = client.models.predictions.create(NANO, input={"prompt": "a pig"})
    second = client.models.predictions.create(NANO, input={"prompt": "a fox"}, wait=True)
    assert second.status == "succeeded"
    assert client.predictions.get(first.id).id == first.id
    assert [prediction.id for prediction in client.predictions.list()] == [second.id, first.id]


async def _asked(sandbox: str, token: str) -> tuple[str, str]:
    client = Client(api_token=token, base_url=f"{sandbox}/replicate", trust_env=False)
    prediction = await client.predictions.async_create(model=NANO, input={"prompt": "a pig"})
    found = await client.predictions.async_get(prediction.id)
    await client._async_client.aclose()
    return prediction.id, found.id


def test_the_client_s_async_form_is_understood_as_well(sandbox: str) -> None:
    made, found = asyncio.run(_asked(sandbox, f"r8_{uuid.uuid4().hex}"))
    assert made == found


def test_a_prediction_at_work_can_be_cancelled_and_stays_so(client: Client, sandbox: str) -> None:
    arm(sandbox, "submit", "stuck")
    prediction = client.predictions.create(model=NANO, input={"prompt": "a slow pig"})

    def begun() -> bool:
        prediction.reload()
        return prediction.status == "processing"

    until(begun, what="the begin of the prediction")
    prediction.cancel()
    assert prediction.status == "canceled"
    prediction.reload()
    assert (prediction.status, prediction.output) == ("canceled", None)


def test_a_version_may_name_an_official_model(client: Client) -> None:
    prediction = client.predictions.create(version=NANO, input={"prompt": "a pig"})
    assert prediction.model == NANO
    with pytest.raises(ReplicateError, match="version"):
        client.predictions.create(version="0" * 64, input={"prompt": "a pig"})


def test_a_model_shows_its_schema_and_the_account_its_owner(client: Client) -> None:
    model = client.models.get(NANO)
    assert model.latest_version is not None
    schema = model.latest_version.openapi_schema["components"]["schemas"]["Input"]
    assert "image_input" in schema["properties"]
    assert schema["required"] == ["prompt"]
    assert client.accounts.current().username == "sandbox"


def created_with_webhook(client: Client, listener: CallbackListener) -> tuple[Any, dict[str, str], bytes]:
    prediction = client.predictions.create(
        model=NANO, input={"prompt": "a pig"}, webhook=listener.url, webhook_events_filter=["completed"]
    )
    headers, body = until(lambda: listener.received and listener.received[-1], what="the webhook")
    return prediction, headers, body


def test_a_webhook_is_signed_with_the_account_s_secret(client: Client, listener: CallbackListener) -> None:
    prediction, headers, body = created_with_webhook(client, listener)
    secret = client.webhooks.default.secret()
    assert secret.key.startswith("whsec_")
    Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
    Webhooks.validate(httpx.Request("POST", listener.url, headers=headers, content=body), secret=secret)
    said = json.loads(body)
    assert (said["id"], said["status"]) == (prediction.id, "succeeded")
    with pytest.raises(InvalidSignatureError):
        Webhooks.validate(headers=headers, body=body.decode() + " ", secret=secret)


def test_a_webhook_is_tried_again_under_the_same_id(client: Client, listener: CallbackListener) -> None:
    listener.answers = [500, 404, 302]
    _, first, _ = created_with_webhook(client, listener)
    until(lambda: len(listener.received) == 4, what="the fourth try")
    assert {headers["webhook-id"] for headers, _ in listener.received} == {first["webhook-id"]}
    secret = client.webhooks.default.secret()
    for headers, body in listener.received:
        Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)


def test_a_forged_and_a_replayed_webhook_do_not_pass(client: Client, sandbox: str, listener: CallbackListener) -> None:
    secret = client.webhooks.default.secret()
    arm(sandbox, "callback", "forged_callback")
    arm(sandbox, "callback", "stale_callback")
    created_with_webhook(client, listener)
    until(lambda: len(listener.received) == 2, what="both webhooks")
    failures = []
    for headers, body in listener.received:
        with pytest.raises((InvalidSignatureError, InvalidTimestampError)) as caught:
            Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
        failures.append(type(caught.value))
    assert set(failures) == {InvalidSignatureError, InvalidTimestampError}
    assert {json.loads(body)["status"] for _, body in listener.received} == {"succeeded"}


def test_a_webhook_can_overtake_the_reply_to_its_create(
    client: Client, sandbox: str, listener: CallbackListener
) -> None:
    arm(sandbox, "callback", "early_callback")
    prediction = client.predictions.create(model=NANO, input={"prompt": "a pig"}, webhook=listener.url)
    ((_, body),) = listener.received
    assert (json.loads(body)["id"], json.loads(body)["status"]) == (prediction.id, "succeeded")


def test_a_webhook_must_be_https_outside_this_machine(client: Client) -> None:
    with pytest.raises(ReplicateError, match="HTTPS"):
        client.predictions.create(model=NANO, input={"prompt": "a pig"}, webhook="http://hooks.example/1")
