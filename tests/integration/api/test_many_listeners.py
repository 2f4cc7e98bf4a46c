"""Many listeners at once: none misses an event, and none takes a thread or a connection to Postgres for itself."""

import asyncio
import socket
import threading
import time

import pytest
from sqlalchemy import QueuePool

import api.main
from api.main import bound
from benchmarks.listener_clients import Listener
from pipeline.operator import events
from tests.support.api_server import ApiServer
from tests.support.sandbox_client import until

#: More than there are threads for routes (8) or connections to Postgres (16).
_MANY = 50


def test_no_event_is_missed_and_no_thread_and_no_connection_is_taken(api: ApiServer) -> None:
    request = f"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api.key()}\r\n".encode()
    listeners = [Listener(request, timed=False) for _ in range(_MANY)]
    asyncio.run(asyncio.wait_for(_while_listening(api, listeners), 300))
    assert [(one.gaps, one.dropped) for one in listeners] == [(0, 0)] * _MANY
    assert {one.seen for one in listeners[1:]} == {listeners[1].last}, "who listened all the time saw all from 1 on"


async def _while_listening(api: ApiServer, listeners: list[Listener]) -> None:
    port = int(api.base.rpartition(":")[2])
    before = _threads()
    for one in listeners:
        await one.connect("127.0.0.1", port)
    for one in listeners:
        await one.greeted.wait()
    assert _threads() == before
    pool = api.resources.database.engine.pool
    assert isinstance(pool, QueuePool)
    # What numbers events has one now and then.
    await asyncio.to_thread(until, lambda: not pool.checkedout(), what="a moment without a connection in use")
    await asyncio.to_thread(_generate, api)
    await listeners[0].hang_up()
    last = await asyncio.to_thread(_generate, api)
    await listeners[0].connect("127.0.0.1", port)
    for one in listeners:
        await one.reached(last)
        await one.hang_up()


def _generate(api: ApiServer) -> int:
    """Have a generation made; returns the number of its last event."""
    made = api.generate()
    api.work()
    while True:
        found = events.after(api.resources, "local", 0)
        if any(one.type == "generation.completed" and one.data["generationId"] == made["id"] for one in found):
            return found[-1].number
        time.sleep(0.05)


def _threads() -> set[str]:
    """Those that are there whoever asks: routes run in 8 more, and this test in some."""
    return {one.name for one in threading.enumerate() if not one.name.startswith(("AnyIO", "asyncio"))}


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_who_takes_nothing_of_what_is_sent_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.main, "_TAKES_NOTHING_S", 0.5)
    with bound("127.0.0.1", 0) as listener, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(listener.getsockname())
        accepted, _ = listener.accept()
        with accepted, pytest.raises(TimeoutError):
            accepted.sendall(bytes(50_000_000))
