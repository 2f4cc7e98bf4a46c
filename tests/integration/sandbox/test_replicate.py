"""The sandbox's Replicate as a customer meets it over HTTP, beyond what the official client looks at."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sandbox.process import SandboxProcess, running
from tests.support.callback_listener import CallbackListener
from tests.support.sandbox_client import until

NANO = "google/nano-banana-pro"


@contextmanager
def customer(url: str) -> Iterator[httpx2.Client]:
    """With a key of his own."""
    headers = {"Authorization": f"Bearer r8_{uuid.uuid4().hex}"}
    with httpx2.Client(base_url=f"{url}/replicate/v1", headers=headers, timeout=90, trust_env=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, retired="404") as url:
        yield url


@pytest.fixture
def http(sandbox: str) -> Iterator[httpx2.Client]:
    with customer(sandbox) as opened:
        yield opened


def create(http: httpx2.Client, prompt: str = "a pig", **headers: str) -> httpx2.Response:
    return http.post(f"/models/{NANO}/predictions", json={"input": {"prompt": prompt}}, headers=headers)


def ended(http: httpx2.Client, prediction_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        body: dict[str, Any] = http.get(f"/predictions/{prediction_id}").json()
        return body if body["status"] not in {"starting", "processing"} else None

    return until(look, what="the end of the prediction")


def arm(http: httpx2.Client, where: str, what: str) -> None:
    fault = {"where": where, "what": what, "count": 1, "provider": "replicate"}
    root = str(http.base_url).partition("/replicate")[0]
    httpx2.post(f"{root}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()


def test_every_required_key_of_a_prediction_is_there(http: httpx2.Client) -> None:
    reply = create(http)
    assert reply.status_code == 201
    for body in (reply.json(), ended(http, reply.json()["id"])):
        required = {
            "id",
            "model",
            "version",
            "input",
            "output",
            "data_removed",
            "error",
            "status",
            "created_at",
            "urls",
        }
        assert required <= set(body)
        assert {"web", "get", "cancel"} <= set(body["urls"])
        assert body["created_at"].endswith("Z")


def test_a_create_that_waits_has_its_picture_or_says_starting(http: httpx2.Client) -> None:
    done = create(http, Prefer="wait")
    assert (done.status_code, done.json()["status"]) == (201, "succeeded")
    assert done.json()["output"].endswith(".jpg")
    arm(http, "submit", "stuck")
    early = create(http, Prefer="wait=1")
    assert (early.status_code, early.json()["status"], early.json()["output"]) == (202, "starting", None)


def test_a_prediction_past_its_deadline_is_ended(http: httpx2.Client) -> None:
    assert create(http, **{"Cancel-After": "4s"}).status_code == 422
    arm(http, "submit", "stuck")
    body = create(http, **{"Cancel-After": "5s"}).json()
    assert "deadline" in body
    assert ended(http, body["id"])["status"] == "canceled"


def test_the_list_is_cut_by_time_and_refuses_cursors_of_others(http: httpx2.Client) -> None:
    first, second = (create(http, prompt).json() for prompt in ("one", "two"))

    def ids(**query: str) -> list[str]:
        return [row["id"] for row in http.get("/predictions", params=query).json()["results"]]

    assert ids() == [second["id"], first["id"]]
    assert ids(created_after=second["created_at"]) == [second["id"]]
    assert ids(created_before=second["created_at"]) == [first["id"]]
    assert ids(source="web") == []
    for wrong in ({"cursor": "x"}, {"created_after": "yesterday"}):
        assert http.get("/predictions", params=wrong).status_code == 400


def test_nobody_sees_another_s_predictions(http: httpx2.Client, sandbox: str) -> None:
    prediction_id = create(http).json()["id"]
    with customer(sandbox) as stranger:
        assert stranger.get(f"/predictions/{prediction_id}").status_code == 404
        assert stranger.post(f"/predictions/{prediction_id}/cancel").status_code == 404
        assert stranger.get("/predictions").json()["results"] == []
    assert httpx2.get(f"{sandbox}/replicate/v1/predictions", trust_env=False).status_code == 401


def test_a_retired_model_is_gone_with_its_page(http: httpx2.Client) -> None:
    body = {"input": {"prompt": "a pig"}}
    assert http.post("/models/google/imagen-4-ultra/predictions", json=body).status_code == 404
    assert http.get("/models/google/imagen-4-ultra").status_code == 404
    assert http.get(f"/models/{NANO}").json()["is_official"] is True


def test_a_cancelled_prediction_that_ended_stays_as_it_ended(http: httpx2.Client) -> None:
    done = ended(http, create(http).json()["id"])
    assert http.post(f"/predictions/{done['id']}/cancel").json()["status"] == "succeeded"


def test_too_many_creates_a_minute_are_throttled(tmp_path: Path) -> None:
    with running(tmp_path, latency_s=0.02, size_px=64, submits_per_minute=3) as url, customer(url) as http:
        replies = [create(http) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [201, 201, 201, 429]
    assert replies[3].headers["retry-after"] == "1"
    assert replies[3].json() == {
        "detail": "Request was throttled. Your rate limit resets in ~1s.",
        "status": 429,
        "retry_after": 1,
    }


def test_an_account_that_runs_out_is_slowed_down_and_then_refused(tmp_path: Path) -> None:
    with running(tmp_path, latency_s=0.02, size_px=64, wallet="0.20") as url, customer(url) as http:
        assert create(http).status_code == 201
        slowed = create(http)
        assert slowed.status_code == 429
        assert "less than $5.0 in credit" in slowed.json()["detail"]
        assert 0 < slowed.json()["retry_after"] <= 10
    with running(tmp_path / "empty", latency_s=0.02, size_px=64, wallet="0") as url, customer(url) as http:
        refused = create(http)
        assert (refused.status_code, refused.json()["title"]) == (402, "Insufficient credit")


def test_predictions_and_webhooks_survive_the_death_of_the_sandbox(tmp_path: Path) -> None:
    listener = CallbackListener()
    process = SandboxProcess(tmp_path, latency_s=2.0, size_px=64)
    try:
        url = process.start()
        with customer(url) as http:
            secret = http.get("/webhooks/default/secret").json()["key"]
            body = {"input": {"prompt": "a pig"}, "webhook": listener.url}
            prediction_id = http.post(f"/models/{NANO}/predictions", json=body).json()["id"]
            process.kill()
            again = process.start()
            with httpx2.Client(
                base_url=f"{again}/replicate/v1", headers=dict(http.headers), timeout=90, trust_env=False
            ) as back:
                assert ended(back, prediction_id)["status"] == "succeeded"
                assert back.get("/webhooks/default/secret").json()["key"] == secret
        headers, _ = until(lambda: listener.received and listener.received[0], what="the webhook")
        assert headers["webhook-id"] == f"msg_{prediction_id}_completed"
    finally:
        process.stop()
        listener.close()
