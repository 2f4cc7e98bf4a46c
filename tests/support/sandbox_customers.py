"""A customer of each of the sandbox's wires, with one way to order a picture, look at it, list it and fetch it."""

import base64
import functools
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from sandbox.bill import digest_of
from tests.support.sandbox_client import until

PROMPT = "a pink pig in a garden"


@functools.cache
def http() -> httpx2.Client:
    """One client for all: making one costs more than a call."""
    return httpx2.Client(timeout=60, trust_env=False)


@dataclass(slots=True)
class Customer(ABC):
    """An account of its own at one wire; every call goes to one sandbox.

    Args:
        timeout_s: of a call; whoever waits longer hears nothing.
    """

    url: str
    timeout_s: float = 60.0
    key: str = field(default_factory=lambda: f"key-{uuid.uuid4()}")
    provider: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def call(self, method: str, path: str, **content: Any) -> httpx2.Response:
        """A call to the wire; raises `httpx2.TransportError` where no whole reply came."""
        url = path if path.startswith("http") else f"{self.url}/{self.provider}{path}"
        return http().request(method, url, headers=self.headers, timeout=self.timeout_s, **content)

    @abstractmethod
    def submit(self, hook_url: str | None = None, *, reference: str | None = None) -> httpx2.Response: ...

    @abstractmethod
    def job_id(self, reply: httpx2.Response) -> str: ...

    def billed(self) -> list[dict[str, Any]]:
        jobs = http().get(f"{self.url}/_sandbox/bill").json()["jobs"]
        return [job for job in jobs if job["key_digest"] == digest_of(self.key)]


@dataclass(slots=True)
class JobCustomer(Customer):
    """One whose order is a job, to be looked at until it is made."""

    @abstractmethod
    def fetch(self, job_id: str) -> httpx2.Response: ...

    @abstractmethod
    def listing(self) -> httpx2.Response: ...

    @abstractmethod
    def status(self, body: dict[str, Any]) -> str:
        """`made`, `failed` or `going`, else the wire's own word."""

    @abstractmethod
    def address(self, body: dict[str, Any]) -> str:
        """Of the picture in a body that says it is made."""

    def ended(self, job_id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            body: dict[str, Any] = self.fetch(job_id).json()
            return None if self.status(body) == "going" else body

        return until(look, what="the end of the job")


class AtTTAPI(JobCustomer):
    @property
    def headers(self) -> dict[str, str]:
        return {"TT-API-KEY": self.key}

    def submit(self, hook_url: str | None = None, *, reference: str | None = None) -> httpx2.Response:
        hook = {} if hook_url is None else {"hookUrl": hook_url}
        prompt = PROMPT if reference is None else f"{PROMPT} --v 7 --oref {reference}"
        return self.call("POST", "/midjourney/v1/imagine", json={"prompt": prompt, "mode": "fast", **hook})

    def job_id(self, reply: httpx2.Response) -> str:
        data = reply.json()["data"]
        return str(data.get("jobId") or data["job_id"])

    def fetch(self, job_id: str) -> httpx2.Response:
        return self.call("GET", "/midjourney/v1/fetch", params={"jobId": job_id})

    def listing(self) -> httpx2.Response:
        return self.call("GET", "/midjourney/v1/fetch-list")

    def status(self, body: dict[str, Any]) -> str:
        words = {"SUCCESS": "made", "FAILED": "failed", "ON_QUEUE": "going", "PENDING_QUEUE": "going"}
        return words.get(body["status"], str(body["status"]))

    def address(self, body: dict[str, Any]) -> str:
        return str(body["data"]["images"][0])


class AtReplicate(JobCustomer):
    def submit(self, hook_url: str | None = None, *, reference: str | None = None) -> httpx2.Response:
        hook = {} if hook_url is None else {"webhook": hook_url, "webhook_events_filter": ["completed"]}
        path = "/v1/models/google/nano-banana-pro/predictions"
        pictures = {} if reference is None else {"image_input": [reference]}
        return self.call("POST", path, json={"input": {"prompt": PROMPT, **pictures}, **hook})

    def job_id(self, reply: httpx2.Response) -> str:
        return str(reply.json()["id"])

    def fetch(self, job_id: str) -> httpx2.Response:
        return self.call("GET", f"/v1/predictions/{job_id}")

    def listing(self) -> httpx2.Response:
        return self.call("GET", "/v1/predictions")

    def status(self, body: dict[str, Any]) -> str:
        words = {"succeeded": "made", "failed": "failed", "starting": "going", "processing": "going"}
        return words.get(body["status"], str(body["status"]))

    def address(self, body: dict[str, Any]) -> str:
        return str(body["output"])


class AtOpenAI(Customer):
    """Its one call is the order and the picture; there is nothing to look at afterwards."""

    def submit(self, hook_url: str | None = None, *, reference: str | None = None) -> httpx2.Response:
        assert (hook_url, reference) == (None, None)
        asked = {"model": "gpt-image-2.5-flare", "prompt": PROMPT, "quality": "low"}
        return self.call("POST", "/v1/images/generations", json=asked)

    def job_id(self, reply: httpx2.Response) -> str:
        return str(reply.headers["x-request-id"])

    def picture(self, reply: httpx2.Response) -> bytes:
        return base64.b64decode(reply.json()["data"][0]["b64_json"])


def customer(provider: str, url: str, *, timeout_s: float = 60.0) -> JobCustomer | AtOpenAI:
    if provider == "openai":
        return AtOpenAI(url=url, provider=provider, timeout_s=timeout_s)
    return job_customer(provider, url, timeout_s=timeout_s)


def job_customer(provider: str, url: str, *, timeout_s: float = 60.0) -> JobCustomer:
    kinds: dict[str, Callable[..., JobCustomer]] = {"ttapi": AtTTAPI, "replicate": AtReplicate}
    return kinds[provider](url=url, provider=provider, timeout_s=timeout_s)
