"""How the sandbox's tests speak to it: a caller with a key of its own, and somebody who receives its callbacks."""

import json
import threading
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import httpx2

DEADLINE_S = 60.0
T = TypeVar("T")


def until(look: Callable[[], T | None], *, what: str) -> T:
    """Looks again and again until there is something to see; fails after a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.01)
    raise AssertionError(f"never seen within {DEADLINE_S:g} s: {what}")


class Caller:
    """A customer of the TTAPI wire with a key that nobody else has, so that tests can share one sandbox."""

    def __init__(self, base_url: str) -> None:
        self.key = f"key-{uuid.uuid4()}"
        self.http = httpx2.Client(base_url=base_url, headers={"TT-API-KEY": self.key}, timeout=30, trust_env=False)

    def close(self) -> None:
        self.http.close()

    def post(self, path: str, **fields: Any) -> httpx2.Response:
        return self.http.post(f"/ttapi/midjourney/v1/{path}", json=fields)

    def get(self, path: str, **query: Any) -> httpx2.Response:
        return self.http.get(f"/ttapi/midjourney/v1/{path}", params=query)

    def imagine(self, prompt: str = "a pink pig in a garden --v 7", **fields: Any) -> httpx2.Response:
        return self.post("imagine", **{"prompt": prompt, "mode": "fast", "translation": False} | fields)

    def accepted(self, prompt: str = "a pink pig in a garden --v 7", **fields: Any) -> str:
        reply = self.imagine(prompt, **fields)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["data"]["jobId"])

    def fetch(self, job_id: str) -> dict[str, Any]:
        return dict(self.get("fetch", jobId=job_id).json())

    def ended(self, job_id: str) -> dict[str, Any]:
        """The fetch body of a job that has ended."""

        def look() -> dict[str, Any] | None:
            body = self.fetch(job_id)
            return body if body["status"] in {"SUCCESS", "FAILED"} else None

        return until(look, what=f"the end of job {job_id}")

    def arm(self, *faults: dict[str, Any], seed: int = 1) -> None:
        reply = self.http.post("/_sandbox/faults", json={"faults": list(faults), "seed": seed})
        assert reply.status_code == 200, reply.text

    def fired(self) -> list[int]:
        return [fault["fired"] for fault in self.http.get("/_sandbox/faults").json()["faults"]]

    def clear(self) -> None:
        self.http.delete("/_sandbox/faults")

    def bill(self) -> list[dict[str, Any]]:
        """The lines of this caller's jobs."""
        from sandbox.bill import digest_of

        lines = self.http.get("/_sandbox/bill").json()["jobs"]
        return [line for line in lines if line["key_digest"] == digest_of(self.key)]


class Listener:
    """Receives callbacks and serves one file; counts both."""

    def __init__(self) -> None:
        listener = self
        self.received: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.file = b""
        self.reads = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                listener.received.append(json.loads(body))
                self.send_response(listener.answers.pop(0) if listener.answers else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                listener.reads += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(listener.file)))
                self.end_headers()
                self.wfile.write(listener.file)

            def log_message(self, *args: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
