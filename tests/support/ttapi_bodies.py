"""Replies of TTAPI as tests make them, and what the adapter makes of a request."""

import json
from typing import Any

import pytest

from domain.errors import (
    ProviderError,
)
from providers.contract import Ask, Reply
from providers.ttapi.adapter import TTAPI

ADAPTER = TTAPI()
JOB = "6d7765ac-f2dd-440b-8464-660e2f83f3a5"
CDN = "https://cdn.ttapi.io/mj"
FINISHED: dict[str, Any] = {
    "status": "SUCCESS",
    "message": "success",
    "jobId": JOB,
    "data": {
        "jobId": JOB,
        "action": "imagine",
        "prompt": "a pig --v 7",
        "progress": "100",
        "quota": "2",
        "cdnImage": f"{CDN}/grid.png",
        "discordImage": None,
        "width": 1024,
        "height": 1024,
        "components": ["upsample1", "reroll"],
        "images": [f"{CDN}/{corner}.png" for corner in ("tl", "tr", "bl", "br")],
        "seed": None,
        "hookUrl": "",
    },
}


NOTHING = dict.fromkeys(("progress", "cdnImage", "discordImage", "components", "seed", "images"))


def ask(**changes: Any) -> Ask:
    return Ask(**{"attempt_id": "a-1", "token": "t-1", "model": "midjourney", "prompt": "a pig", **changes})


def reply(body: object, status: int = 200, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers=headers, content=content)


def failed(message: object, **data: Any) -> Reply:
    return reply({"status": "FAILED", "message": message, "jobId": JOB, "data": {"jobId": JOB, **NOTHING, **data}})


def finished(**changes: Any) -> Reply:
    return reply({**FINISHED, "data": {**FINISHED["data"], **changes}})


def submit_failure(answer: Reply) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ADAPTER.read_submit(answer)
    return caught.value


def poll_failure(answer: Reply) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ADAPTER.read_poll(answer)
    return caught.value
