"""Who is called back: the real application behind a real socket, a lane of either wire, and the account at the sandbox.

The lane's own look at a job is an hour away, so that whatever is seen earlier is the webhook's doing.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from sqlalchemy import select

from api.app import create_app
from api.callers import USUAL, Installation
from api.main import bound, server_of
from db.books.audit import differences
from db.records import history
from db.schema import attempts, batches, generations, ledger_entries, provider_events
from db.session import Database
from domain.ids import AttemptId
from pipeline.attempts import poll, submit
from pipeline.doubts import by_person
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import PromptRow
from pipeline.process.leases import Leases
from pipeline.resources import Resources, Timing
from providers.lane import HttpLane
from providers.registry import service
from sandbox.bill import digest_of
from sandbox.signing import signed
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.support.books import USER, Books
from tests.support.sandbox_client import until

FAR = timedelta(hours=1)
AT_ONCE = Timing(
    sweep=timedelta(0), unclaimed=timedelta(0), in_the_air=timedelta(0), listings_apart=timedelta(0), collect_tries=3
)
MODELS = {"ttapi": "midjourney", "replicate": "google/nano-banana-pro"}
TABLES = (attempts, generations, batches, ledger_entries)
STRANGER = "whsec_" + "A" * 43 + "="


@contextmanager
def served(
    resources: Resources,
    listener: Any,
    *,
    local_webhooks: bool = False,
    metrics_token: str | None = None,
    installation: Installation = USUAL,
) -> Iterator[None]:
    """The application on a listening socket, in a thread of this process."""
    server: uvicorn.Server = server_of(
        create_app(resources, local_webhooks=local_webhooks, metrics_token=metrics_token, installation=installation)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="api")
    thread.start()
    until(lambda: server.started or not thread.is_alive(), what="the application")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


@dataclass(slots=True)
class WebhookRunner:
    """One lane, its account, and the address that is called back."""

    provider: str
    resources: Resources
    books: Books
    sent: Sent
    url: str
    key: str
    hooks: str
    http: httpx2.Client

    def admitted(self, prompt: str = "a pink pig in a garden", **settings: Any) -> AttemptId:
        """The attempt of a new batch of one prompt, published."""
        rows = [PromptRow(position=0, line=1, prompt=prompt, settings=settings, extra={})]
        order = Order(
            name=f"batch {uuid.uuid4()}",
            user_id=USER,
            provider=self.provider,
            prompts=rows,
            model=MODELS[self.provider],
        )
        commit(self.resources, prepare(self.resources, order))
        (attempt_id,) = self.sent.take("submit")
        return attempt_id

    def submitted(self, prompt: str = "a pink pig in a garden") -> AttemptId:
        attempt_id = self.admitted(prompt)
        assert submit.submit(self.resources, attempt_id) is None
        return attempt_id

    def sweep(self) -> int:
        return poll.sweep(self.resources, self.provider)

    def settle(self) -> int:
        return by_person.settle(self.resources, self.provider)

    def row(self, attempt_id: AttemptId) -> Any:
        return self.books.attempt(attempt_id)

    def is_due(self, attempt_id: AttemptId) -> bool:
        return bool(self.row(attempt_id).due_at <= datetime.now(UTC) + timedelta(seconds=1))

    def events(self) -> list[Any]:
        return self.books.rows(provider_events)

    def standing(self) -> list[list[Any]]:
        """Everything that a webhook could have changed, and what it costs."""
        with self.resources.database.transaction() as connection:
            return [
                list(connection.execute(select(table).order_by(*table.primary_key.columns)).all()) for table in TABLES
            ]

    def story(self, attempt_id: AttemptId) -> list[tuple[str, str, str]]:
        """Who moved the generation, whence and whither."""
        with self.resources.database.transaction() as connection:
            found = history.of(connection, self.row(attempt_id).generation_id)
        return [(one.actor, one.from_state, one.to_state) for one in found]

    def send(self, token: str, body: bytes, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        """What anybody can do who knows the address."""
        return self.http.post(f"/hooks/{self.provider}/{token}", content=body, headers=dict(headers or {}))

    def authentic(
        self, attempt_id: AttemptId, *, job_id: str, event_id: str = "msg_1", at_s: float | None = None
    ) -> httpx2.Response:
        """A webhook as the service itself sends it."""
        body = json.dumps({"id": job_id, "jobId": job_id, "status": "succeeded"}).encode()
        at_s = time.time() if at_s is None else at_s
        return self.send(self.row(attempt_id).token, body, self.signature(body, event_id=event_id, at_s=at_s))

    def signature(
        self, body: bytes, *, event_id: str = "msg_1", at_s: float, secret: str | None = None
    ) -> Mapping[str, str]:
        """The headers that prove a body, where the wire has any."""
        if self.provider == "ttapi":
            return {}
        return signed(secret or self.secret(), message_id=event_id, body=body, at_s=at_s)

    def secret(self) -> str:
        reply = httpx2.get(
            f"{self.url}/replicate/v1/webhooks/default/secret",
            headers={"Authorization": f"Bearer {self.key}"},
            trust_env=False,
        )
        return str(reply.json()["key"])

    def arm(self, where: str, what: str, **more: object) -> None:
        fault = {"where": where, "what": what, "count": 1, "provider": self.provider} | more
        httpx2.post(f"{self.url}/_sandbox/faults", json={"faults": [fault]}, trust_env=False).raise_for_status()

    def clear(self) -> None:
        httpx2.delete(f"{self.url}/_sandbox/faults", trust_env=False)

    def jobs(self) -> list[dict[str, Any]]:
        """The lines of this account on the sandbox's bill."""
        lines = httpx2.get(f"{self.url}/_sandbox/bill", trust_env=False).json()["jobs"]
        return [line for line in lines if line["key_digest"] == digest_of(self.key)]

    def billed(self) -> Decimal:
        return sum((Decimal(line["charged_usd"]) for line in self.jobs()), Decimal(0))


@contextmanager
def runner_of(provider: str, database: Database, *, url: str, sent: Sent, home: Path) -> Iterator[WebhookRunner]:
    """A worker that is called back at its own address; books and rows agree at its end."""
    key = f"key_{uuid.uuid4().hex}"
    books = Books(database)
    books.lane(provider, provider=provider, concurrency=10)
    leases = Leases(database, seconds=30)
    lane = HttpLane(
        provider,
        provider,
        adapter=service(provider).adapter(),
        base_url=f"{url}/{provider}",
        key=key,
        first_look=FAR,
    )
    with bound("127.0.0.1", 0) as listener:
        hooks = f"http://127.0.0.1:{listener.getsockname()[1]}"
        resources = Resources(
            database=database,
            lanes={provider: lane},
            store=FolderStore(home / "pictures"),
            dispatch=sent,
            leases=leases,
            jitter=lambda: 0.0,
            timing=AT_ONCE,
            public_url=hooks,
        )
        with served(resources, listener), httpx2.Client(base_url=hooks, timeout=30, trust_env=False) as http:
            runner = WebhookRunner(provider, resources, books, sent, url, key, hooks, http)
            try:
                yield runner
                books.check()
                with database.transaction() as connection:
                    assert differences(connection) == []
            finally:
                runner.clear()
                leases.close()
                lane.close()
