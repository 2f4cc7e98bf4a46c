"""A bucket in moto's real server: over HTTP, on loopback, and away when a test says so."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from boto3.session import Session
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from storage.r2 import Bucket

CDN = "https://pictures.example.com"


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 -- werkzeug's name
        pass


@dataclass(slots=True)
class BucketServer:
    """Starts and stops the server on one port, or lets it hang; what is in the buckets outlives it."""

    name: str = field(default_factory=lambda: f"pictures-{uuid4().hex[:8]}")
    port: int = 0
    calls: list[tuple[str, str]] = field(default_factory=list)
    _answers: threading.Event = field(default_factory=threading.Event)
    _server: BaseWSGIServer | None = None
    _thread: threading.Thread | None = None

    def hang(self) -> None:
        """From now on calls are taken and not answered, until the server is stopped or goes on."""
        self._answers.clear()

    def go_on(self) -> None:
        self._answers.set()

    def start(self) -> None:
        self.go_on()
        backend = DomainDispatcherApplication(create_backend_app)

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            self.calls.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
            self._answers.wait()
            return backend(environ, start_response)

        self._server = make_server("127.0.0.1", self.port, application, threaded=True, request_handler=_Quiet)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def start_again(self) -> None:
        """Answer from now on, whether it hung, was stopped, or neither."""
        self.go_on()
        if self._server is None:
            self.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            # What hangs is let go first: whoever waits for it has given up, or learns now that nobody is there.
            self.go_on()
            self._server.shutdown()
            self._thread.join(timeout=30)
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **changes: Any) -> Bucket:
        given = {
            "endpoint_url": self.url,
            "name": self.name,
            "access_key_id": "key",
            "secret_access_key": "secret-of-the-bucket",
            "cdn_url": CDN,
        }
        return Bucket(**{**given, **changes})

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A client of the tests' own, to look behind the store."""
        made = Session().client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        try:
            yield made
        finally:
            made.close()

    def stored_keys(self) -> set[str]:
        with self.client() as client:
            return {one["Key"] for one in client.list_objects_v2(Bucket=self.name).get("Contents", [])}

    def overwrite(self, key: str, content: bytes) -> None:
        with self.client() as client:
            client.put_object(Bucket=self.name, Key=key, Body=content)


@contextmanager
def bucket_server() -> Iterator[BucketServer]:
    server = BucketServer()
    server.start()
    try:
        with server.client() as client:
            client.create_bucket(Bucket=server.name)
        yield server
    finally:
        server.stop()
