"""Replies of Replicate as tests make them, and what the adapter makes of a request."""

import json
from typing import Any

import pytest

from domain.errors import (
    ProviderError,
)
from providers.contract import Ask, Reply
from providers.replicate.adapter import Replicate

ADAPTER = Replicate()
JOB = "gm3qorzdhgbfurvjtvhg6dckhu"
DELIVERY = "https://replicate.delivery/xezq/out-0.png"
NANO = "google/nano-banana-pro"
REFERENCES = ["https://r/1.png", "https://r/2.png", "https://r/3.png", "https://r/4.png"]


def ask(model: str = NANO, **changes: Any) -> Ask:
    return Ask(**{"attempt_id": "a-1", "token": "t-1", "model": model, "prompt": "a pig", **changes})


def reply(body: object, status: int = 200, path: str = "", **headers: str) -> Reply:
    return Reply(status=status, headers=headers, content=json.dumps(body).encode(), path=path)


def prediction(status: str, **more: Any) -> dict[str, Any]:
    address = f"https://api.replicate.com/v1/predictions/{JOB}"
    return {
        "id": JOB,
        "model": NANO,
        "version": "hidden",
        "input": {"prompt": "a pig"},
        "output": None,
        "data_removed": False,
        "error": None,
        "source": "api",
        "status": status,
        "created_at": "2026-11-21T10:00:00.123Z",
        "urls": {"web": f"https://replicate.com/p/{JOB}", "get": address, "cancel": f"{address}/cancel"},
        "metrics": {"predict_time": 8.1, "total_time": 8.4},
    } | more


def sent(*arguments: Any, **changes: Any) -> dict[str, Any]:
    body = ADAPTER.build_submit(ask(*arguments, **changes)).json
    assert body is not None
    return dict(body["input"])


def refusal(body: object, status: int, **more: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ADAPTER.read_submit(reply(body, status, **more))
    return caught.value
