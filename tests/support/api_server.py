"""The API as its callers meet it: the real application behind a real socket, lanes to the three wires of a sandbox.

Nothing works in the background: a test takes the steps by hand, so that it knows what has happened when it looks.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from api.callers import Installation
from api.main import bound
from db.session import Database
from domain.access import Scope
from pipeline.attempts import collect, poll, submit
from pipeline.attempts.admit import admit_everywhere
from pipeline.operator import keys
from pipeline.operator.keys import NewKey
from pipeline.preparing.prepare import prepare
from pipeline.process.leases import Leases
from pipeline.resources import Resources
from runtime.lanes import ensure_rows, open_lanes
from runtime.sandbox_settings import sandbox_settings
from runtime.settings import Settings
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.support.books import Books
from tests.support.steps import PREPROCESSING, QUICK
from tests.support.webhook_runner import served

METRICS_TOKEN = "scrape-and-see"
WITH_FLOWER = Installation(flower_url="https://flower.example.com/")


@dataclass(slots=True)
class ApiServer:
    """A server, its resources, and keys of several teams."""

    resources: Resources
    books: Books
    sent: Sent
    base: str
    stack: ExitStack
    made: dict[tuple[str, Scope], str] = field(default_factory=dict)

    def key(self, team: str = "local", scope: Scope = Scope.ADMIN, **more: Any) -> str:
        """A key of that team and scope, made when first asked for; with further wishes, a new one."""
        if (team, scope) not in self.made or more:
            new = NewKey(name=f"{team}-{scope}-{len(self.made)}-{len(more)}", team=team, scope=scope, **more)
            token = keys.create(self.resources, new)[1]
            if more:
                return token
            self.made[team, scope] = token
        return self.made[team, scope]

    def as_(self, token: str | None = None, **headers: str) -> httpx2.Client:
        """A client that sends this key."""
        token = token or self.key()
        made = httpx2.Client(
            base_url=self.base, headers={"Authorization": f"Bearer {token}", **headers}, trust_env=False, timeout=60
        )
        return self.stack.enter_context(made)

    def generate(self, prompt: str = "a pink pig in a garden", *, token: str | None = None, **body: Any) -> Any:
        """The document of a new generation."""
        reply = self.as_(token).post("/api/generate/from-prompt", json={"prompt": prompt, **body})
        assert reply.status_code == 202, reply.text
        return reply.json()

    def work(self, *, rounds: int = 200) -> None:
        """Take steps until nothing is to be done."""
        for _ in range(rounds):
            waiting = [generation_id for generation_id, _ in self.sent.prepared]
            self.sent.prepared.clear()
            for generation_id in waiting:
                prepare(self.resources, generation_id)
            for attempt_id in self.sent.take("submit"):
                submit.submit(self.resources, attempt_id)
            for lane in self.resources.lanes:
                poll.sweep(self.resources, lane)
            for attempt_id in self.sent.take("collect"):
                collect.collect(self.resources, attempt_id, preprocessing=PREPROCESSING)
            admit_everywhere(self.resources)
            if not self.books.live() and not self.sent.tasks and not self.sent.prepared:
                return
        raise AssertionError(f"after {rounds} rounds there is still work: {self.books.live()}")


@contextmanager
def api_server(
    database: Database, *, sandbox: str, sent: Sent, home: Path, local_webhooks: bool = False
) -> Iterator[ApiServer]:
    """A server over the sandbox at that address; the books are right at its end.

    Args:
        local_webhooks: whether receivers may be on this machine.
    """
    settings = sandbox_settings(Settings(), sandbox).model_copy(update={"home": home})
    ensure_rows(settings, database)
    with ExitStack() as stack:
        lanes = open_lanes(settings)
        for lane in lanes.values():
            stack.callback(lane.close)
        leases = Leases(database, seconds=30)
        stack.callback(leases.close)
        resources = Resources(
            database=database,
            lanes=lanes,
            store=FolderStore(home / "pictures"),
            dispatch=sent,
            leases=leases,
            jitter=lambda: 0.0,
            timing=QUICK,
            estimates={"ttapi": settings.ttapi_price_usd},
        )
        listener = stack.enter_context(bound("127.0.0.1", 0))
        stack.enter_context(
            served(
                resources,
                listener,
                local_webhooks=local_webhooks,
                metrics_token=METRICS_TOKEN,
                installation=WITH_FLOWER,
            )
        )
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with ExitStack() as clients:
            yield ApiServer(resources=resources, books=Books(database), sent=sent, base=base, stack=clients)
        Books(database).check()


def half_open(base: str, request: bytes) -> socket.socket:
    """A connection on which `request` was sent and nothing follows."""
    host, _, port = base.removeprefix("http://").partition(":")
    made = socket.create_connection((host, int(port)))
    made.sendall(request)
    return made


def environment_without_proxies() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
