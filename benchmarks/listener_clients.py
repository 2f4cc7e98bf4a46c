"""The clients of `bench_listeners`: listeners to server-sent events, and readers that ask at a fixed pace.

On bare connections of uvloop, so that they take little of the machine that they share with what is measured. Run as a
program: it prints `ready` once it is at work, goes on until a line comes on its standard input (for listeners: the
number of the last event to wait for), and prints what it saw as JSON.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import random
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast

import uvloop

TOKEN: Final = "LISTENER_TOKEN"
_EVENT: Final = re.compile(rb"\nid: (\d+)\ndata: ")
_AT: Final = re.compile(rb'\nid: \d+\ndata: \{"type":"[a-z._]+","at":"([^"]+)"')
_LENGTH: Final = re.compile(rb"content-length: (\d+)")
#: No event's beginning is longer.
_BEGINNING: Final = 120
#: Every so manieth listener looks at its clock; one of them hangs up and comes back every so often.
_SAMPLE: Final = 20
_HANGS_UP_S: Final = 0.5
_LAST_EVENTS_S: Final = 20.0


class Listener(asyncio.Protocol):
    """Reads the numbers of events as they come, and counts what is missing between them."""

    def __init__(self, request: bytes, *, timed: bool) -> None:
        self._request = request
        self._timed = timed
        self._kept = b""
        self._transport: asyncio.Transport | None = None
        self.last: int | None = None
        self.seen = self.gaps = self.dropped = 0
        self.delays_ms: list[float] = []
        self.greeted = asyncio.Event()
        self._news = asyncio.Event()
        self._lost = asyncio.Event()

    async def connect(self, host: str, port: int) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, host, port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one by what it does, not by its class.
        self._transport, self._kept = cast("asyncio.Transport", transport), b""
        self._lost.clear()
        resumed = b"" if self.last is None else b"Last-Event-ID: %d\r\n" % self.last
        transport.write(self._request + resumed + b"\r\n")

    def data_received(self, data: bytes) -> None:
        buffer = self._kept + data
        end = 0
        for found in _EVENT.finditer(buffer):
            number, end = int(found[1]), found.end()
            if self.greeted.is_set():
                self.seen += 1
                self.gaps += number != (self.last or 0) + 1
            else:  # the number after which it listens
                self.gaps += self.last is not None and number != self.last
                self.greeted.set()
            self.last = number
        if self._timed:
            now = time.time()
            for at in _AT.finditer(buffer):
                self.delays_ms.append(1000 * (now - datetime.fromisoformat(at[1].decode()).timestamp()))
        self._news.set()
        self._kept = buffer[max(end - 1, len(buffer) - _BEGINNING, 0) :]

    async def reached(self, number: int) -> None:
        """Come back once the event of that number is here."""
        while (self.last or 0) < number:
            self._news.clear()
            await self._news.wait()

    def connection_lost(self, _: Exception | None) -> None:
        self.dropped += self._transport is not None
        self._lost.set()

    async def hang_up(self) -> None:
        """As a client does whose network goes away."""
        assert self._transport is not None
        transport, self._transport = self._transport, None
        self.greeted.clear()
        transport.abort()
        await self._lost.wait()


async def listen(host: str, port: int, *, count: int) -> dict[str, Any]:
    made = [Listener(_request("/api/events"), timed=number % _SAMPLE == 0) for number in range(count)]
    for some in range(0, count, 50):
        for one in made[some : some + 50]:
            await one.connect(host, port)
        for one in made[some : some + 50]:
            await asyncio.wait_for(one.greeted.wait(), 60)
    print("ready", flush=True)
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    returned = 0
    while not told.done():
        await asyncio.wait([told], timeout=_HANGS_UP_S)
        one = made[returned % count]
        await one.hang_up()
        await one.connect(host, port)
        returned += 1
    last = int(told.result())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_EVENTS_S):
            for one in made:
                await one.reached(last)
    delays = [delay for one in made for delay in one.delays_ms]
    return {
        "listeners": count,
        "events_received": sum(one.seen for one in made),
        "gaps": sum(one.gaps for one in made),
        "behind_at_the_end": sum((one.last or 0) < last for one in made),
        "dropped_by_the_server": sum(one.dropped for one in made),
        "hung_up_and_resumed": returned,
        "delay_ms": percentiles(delays),
    }


class Connection(asyncio.Protocol):
    """Asks one question at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._kept = b""
        self._answer: asyncio.Future[str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, request: bytes) -> str:
        """The first line of the answer, once the whole of it is here.

        Raises:
            ConnectionError: the server has closed the connection.
        """
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._kept += data
        head, ended, body = self._kept.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if ended and len(body) >= (int(length[1]) if length else 0):
            assert self._answer is not None
            self._kept = b""
            self._answer.set_result(head.partition(b"\r\n")[0].decode())

    def connection_lost(self, _: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError())


async def read(host: str, port: int, *, per_s: float, ids: Sequence[str]) -> dict[str, Any]:
    """Ask at fixed moments, whether or not earlier answers have come: a slow answer delays no question."""
    free: list[Connection] = []
    took_ms: list[float] = []
    failed: list[str] = []

    async def ask(due: float) -> None:
        request = _request(f"/api/generate/{random.choice(ids)}") + b"\r\n"
        while True:
            kept = free.pop() if free else None
            connection = kept or (await loop.create_connection(Connection, host, port))[1]
            try:
                answer = await connection.ask(request)
                break
            except ConnectionError:
                # The server closes what nobody used for some seconds; every client asks such a question again.
                if kept is None:
                    raise
        took_ms.append(1000 * (loop.time() - due))
        if not answer.startswith("HTTP/1.1 200"):
            failed.append(answer)
        free.append(connection)

    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    began, asked = loop.time(), 0
    async with asyncio.TaskGroup() as group:
        while not told.done():
            due = began + asked / per_s
            await asyncio.sleep(max(0.0, due - loop.time()))
            group.create_task(ask(due))
            asked += 1
        wall_s = loop.time() - began
    return {
        "reads": asked,
        "reads_per_s": round(asked / wall_s, 1),
        "failed": len(failed),
        "first_failure": failed[0] if failed else None,
        "read_ms": percentiles(took_ms),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    if not ordered:
        return {}
    return {
        name: round(ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)], 1)
        for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    }


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {os.environ[TOKEN]}\r\n".encode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Clients of the API.")
    parser.add_argument("port", type=int)
    parser.add_argument("--listeners", type=int)
    parser.add_argument("--reads", type=float, help="a second; the ids of generations come on standard input first")
    asked = parser.parse_args()
    if asked.listeners:
        told = uvloop.run(listen("127.0.0.1", asked.port, count=asked.listeners))
    else:
        ids = sys.stdin.readline().split()
        told = uvloop.run(read("127.0.0.1", asked.port, per_s=asked.reads, ids=ids))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
