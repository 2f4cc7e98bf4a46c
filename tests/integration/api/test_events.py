"""Events over HTTP: in order, without a gap, resumed where a listener left off, and of its own team alone."""

import json
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from api import event_stream
from tests.support.api_server import ApiServer
from tests.support.sandbox_client import until


class Listener:
    """What a client of server-sent events has seen."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.events: list[dict[str, Any]] = []

    def read(self, lines: Iterator[str], enough: threading.Event) -> None:
        number = 0
        for line in lines:
            if enough.is_set():
                return
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                event = json.loads(line[6:])
                self.events.append(event)
                if event["type"] != "listening":
                    self.ids.append(number)

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]


@contextmanager
def listening(api: ApiServer, token: str, *, query: str = "", **headers: str) -> Iterator[Listener]:
    seen, enough, sockets = Listener(), threading.Event(), list[socket.socket]()
    client = httpx2.Client(trust_env=False, timeout=30)
    given = {"Authorization": f"Bearer {token}", **headers}

    def run() -> None:
        with client.stream("GET", f"{api.base}/api/events{query}", headers=given) as reply:
            assert reply.headers["content-type"].startswith("text/event-stream")
            sockets.append(reply.extensions["network_stream"].get_extra_info("socket"))
            try:
                seen.read(reply.iter_lines(), enough)
            except (httpx2.HTTPError, httpx2.StreamError):
                assert enough.is_set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until(lambda: bool(seen.events), what="the first line")
    try:
        yield seen
    finally:
        enough.set()
        for one in sockets:  # a read that waits for the next event ends now, and not with the next sign of life
            one.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=20)
        client.close()


def test_a_generation_is_told_step_by_step_without_a_gap(api: ApiServer) -> None:
    # Events get their numbers a moment after they happened, and "from now on" means after the last number.
    with listening(api, api.key()) as earlier:
        api.generate()
        api.work()
        until(lambda: "generation.completed" in earlier.types, what="the end of the first")
    with listening(api, api.key()) as seen:
        made = api.generate()
        api.work()
        until(lambda: "generation.completed" in seen.types, what="the end")
    assert seen.types[:3] == ["listening", "batch.created", "generation.admitted"]
    assert seen.ids == list(range(seen.ids[0], seen.ids[0] + len(seen.ids)))
    last = seen.events[-1]
    assert (last["generationId"], last["status"], last["costUsd"]) == (made["id"], "completed", "0.15")


def test_a_listener_goes_on_where_it_left_off(api: ApiServer) -> None:
    with listening(api, api.key()) as first:
        api.generate()
        api.work()
        until(lambda: "generation.completed" in first.types, what="the end")
    api.generate()
    api.work()
    with listening(api, api.key(), **{"Last-Event-ID": str(first.ids[2])}) as second:
        until(lambda: second.types.count("generation.completed") == 2, what="both ends")
    assert second.ids == list(range(first.ids[3], second.ids[-1] + 1))
    with listening(api, api.key(), query="?after=0") as third:
        until(lambda: third.types.count("generation.completed") == 2, what="both ends")
    assert third.ids == list(range(1, second.ids[-1] + 1))


def test_nothing_of_another_team_is_heard(api: ApiServer) -> None:
    with listening(api, api.key("others")) as others, listening(api, api.key()) as ours:
        made = api.generate()
        theirs = api.generate(token=api.key("others"))
        api.work()
        until(lambda: "generation.completed" in ours.types, what="our end")
        until(lambda: "generation.completed" in others.types, what="their end")
    assert {event.get("generationId") for event in ours.events} <= {None, made["id"]}
    assert {event.get("generationId") for event in others.events} <= {None, theirs["id"]}
    assert others.ids == list(range(1, len(others.ids) + 1)), "numbers say nothing about another team either"


def test_one_batch_can_be_listened_to(api: ApiServer) -> None:
    first, second = api.generate(), api.generate()
    with listening(api, api.key(), query=f"?after=0&batchId={second['batchId']}") as seen:
        api.work()
        until(lambda: "generation.completed" in seen.types, what="the end")
    assert {event.get("batchId") for event in seen.events} == {None, second["batchId"]}
    assert first["batchId"] != second["batchId"]
    http = api.as_()
    assert http.get("/api/events", params={"batchId": str(uuid.uuid4())}).status_code == 404
    assert http.get("/api/events", headers={"Last-Event-ID": "x"}).status_code == 422


def test_a_listener_with_a_revoked_key_hears_no_more(api: ApiServer) -> None:
    from pipeline.operator import keys

    token = api.key(rate_limit="100/s")
    client = httpx2.Client(trust_env=False, timeout=60)
    with client.stream("GET", f"{api.base}/api/events", headers={"Authorization": f"Bearer {token}"}) as reply:
        lines = reply.iter_lines()
        assert next(lines)
        keys.revoke(api.resources, token[:11])
        assert all(not line.startswith("id: 9") for line in lines), "the stream ends by itself"
    client.close()


def test_who_hears_of_nothing_hears_that_the_connection_lives(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "_ALIVE_S", 0.2)
    with api.as_().stream("GET", "/api/events") as reply:
        said = (line for line in reply.iter_lines() if line.startswith(":"))
        assert [next(said) for _ in range(3)] == [": alive"] * 3
