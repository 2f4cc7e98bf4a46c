"""Webhooks that we send: signed, in order, at least once, through failures, never into a private network.

The receiver is a real HTTP server; the signature is verified by the library of Standard Webhooks. The clock is not
waited for: what is due later is made due now.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from db.session import Database
from domain.errors import BadInput, ProviderDown
from pipeline.operator import webhook_delivery
from providers.transport.outgoing import WebhookSender, check_url, new_secret
from tests.conftest import Sent
from tests.support.api_server import ApiServer, api_server
from tests.support.sandbox_client import until


class Receiver:
    """What came, and how it is answered."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.refused = 0
        self.status = 200
        self.secret = ""
        self.url = ""

    def take(self, headers: dict[str, str], body: bytes) -> int:
        document = Webhook(self.secret).verify(body, headers)
        if self.status != 200:
            self.refused += 1
            return self.status
        self.taken.append((headers["webhook-id"], document))
        return 200

    @property
    def numbers(self) -> list[int]:
        return [document["number"] for _, document in self.taken]


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(receiver.take({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


@pytest.fixture
def local_api(database: Database, studio: str, sent: Sent, home: Path) -> Iterator[ApiServer]:
    """An API that may send to this machine."""
    with api_server(database, sandbox=studio, sent=sent, home=home, local_webhooks=True) as opened:
        yield opened


def hastened(api: ApiServer, holds: Callable[[], bool], *, what: str) -> None:
    """Wait for what the background does; what it would do later is due now."""

    def now() -> bool:
        api.books.sql("UPDATE batch_webhooks SET due_at = now() WHERE due_at < now() + interval '14 minutes'")
        return holds()

    until(now, what=what)


def row_of(api: ApiServer, made: Any) -> Any:
    row = webhook_delivery.of(api.resources, made["id"])
    assert row is not None
    return row


def ordered(api: ApiServer, receiver: Receiver) -> Any:
    """A finished batch of two with a receiver."""
    order = {"name": "told", "prompts": ["a pig", "a cow"], "webhookUrl": receiver.url, "maxCostUsd": "5"}
    made = api.as_().post("/api/batches", json=order).json()
    receiver.secret = made["webhookSecret"]
    api.work()
    return made


def ends(receiver: Receiver) -> int:
    return [document["type"] for _, document in receiver.taken].count("generation.completed")


def test_every_event_comes_signed_and_in_order(local_api: ApiServer, receiver: Receiver) -> None:
    made = ordered(local_api, receiver)
    hastened(local_api, lambda: ends(receiver) == 2, what="both ends")
    assert receiver.numbers == sorted(set(receiver.numbers))
    assert receiver.taken[0][1]["type"] == "batch.created"
    assert {document["data"]["batchId"] for _, document in receiver.taken} == {made["id"]}


def test_a_receiver_that_fails_gets_everything_when_it_is_back(local_api: ApiServer, receiver: Receiver) -> None:
    receiver.status = 500
    made = ordered(local_api, receiver)
    hastened(local_api, lambda: row_of(local_api, made).tries >= 5, what="five tries")
    row = row_of(local_api, made)
    assert (row.given_up_at, row.last_error, receiver.taken) == (None, "the receiver answered 500", [])
    local_api.books.sql("UPDATE batch_webhooks SET failing_since = now() - interval '10 minutes'")
    receiver.status = 200
    hastened(local_api, lambda: ends(receiver) == 2, what="both ends")
    assert receiver.numbers == sorted(receiver.numbers)


def test_after_a_day_it_is_given_up_until_somebody_asks_for_it_again(local_api: ApiServer, receiver: Receiver) -> None:
    receiver.status = 503
    made = ordered(local_api, receiver)
    hastened(local_api, lambda: row_of(local_api, made).tries > 0, what="a first try")
    local_api.books.sql("UPDATE batch_webhooks SET failing_since = now() - interval '25 hours'")
    hastened(local_api, lambda: row_of(local_api, made).given_up_at is not None, what="the end of patience")
    receiver.status = 200
    webhook_delivery.replay(local_api.resources, made["id"])
    hastened(local_api, lambda: ends(receiver) == 2, what="both ends")
    first = list(receiver.taken)
    webhook_delivery.replay(local_api.resources, made["id"])
    hastened(local_api, lambda: ends(receiver) == 4, what="both ends again")
    assert {one for one, _ in receiver.taken} == {one for one, _ in first}, "a repetition is known by its id"


def test_a_replay_that_is_asked_for_while_an_event_is_on_its_way_is_done(
    local_api: ApiServer, receiver: Receiver
) -> None:
    made = ordered(local_api, receiver)
    hastened(local_api, lambda: ends(receiver) == 2, what="both ends")
    claimed = webhook_delivery.replay(local_api.resources, made["id"])

    def send(*_: Any, **__: Any) -> None:
        webhook_delivery.replay(local_api.resources, made["id"])

    assert webhook_delivery.deliver(local_api.resources, claimed, send=send) <= 2, "the rest is left to the replay"
    hastened(local_api, lambda: ends(receiver) >= 4, what="all of them once more")


def test_nothing_is_sent_into_a_private_network(api: ApiServer, receiver: Receiver) -> None:
    made = ordered(api, receiver)
    hastened(api, lambda: row_of(api, made).tries > 0, what="a try")
    assert "private network" in row_of(api, made).last_error
    assert (receiver.taken, receiver.refused) == ([], 0)
    public = WebhookSender()
    for address in ("http://127.0.0.1:1/", "http://10.0.0.1/", "http://169.254.169.254/", "http://[::1]/"):
        with pytest.raises(ProviderDown, match="private network"):
            public.send(address, secret=new_secret(), message_id="msg_1", content=b"{}")
    public.close()


@pytest.mark.parametrize("url", ["ftp://example.com/", "https://user@example.com/", "https:///x", "https://x/#y", "x"])
def test_an_address_that_can_be_no_receiver_is_refused(url: str) -> None:
    with pytest.raises(BadInput):
        check_url(url)
