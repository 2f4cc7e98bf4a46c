"""Events on their way to listeners: one reader of the database for all of them, and no thread for any.

What is new is kept in memory for a while, per team, as the bytes that are sent. A listener is a number, the last one it
was sent; who fell behind what is in memory reads the rest from the database, so no listener slows another down.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from fastapi.concurrency import run_in_threadpool

from pipeline.operator import events, keys
from pipeline.operator.events import Event
from pipeline.operator.keys import KeyRow
from pipeline.resources import Resources

MOST_LISTENERS: Final = 3000
_REMEMBERED: Final = 2000
#: A line now and then, so that whoever sits between knows that the connection lives, and we learn that it does not.
_ALIVE_S: Final = 15.0
_ALIVE: Final = b": alive\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An event as it is sent."""

    number: int
    batch_id: UUID
    content: bytes


@dataclass(slots=True)
class _Channel:
    """What a team's listeners wait for.

    Args:
        last: number of the newest event that was read.
        lines: the newest ones, without a gap, up to `last`.
    """

    last: int
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    news: asyncio.Event = field(default_factory=asyncio.Event)
    listeners: int = 0


class Hub:
    """All listeners of this process. Its coroutines run in one event loop; `read` is called from a thread."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._channels: dict[str, _Channel] = {}
        self._keys: dict[UUID, int] = {}
        self._revoked: frozenset[UUID] = frozenset()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False

    @property
    def listeners(self) -> int:
        return sum(channel.listeners for channel in self._channels.values())

    @property
    def is_full(self) -> bool:
        return self.listeners >= MOST_LISTENERS

    def read(self) -> None:
        """Number what happened, and read what the teams that listen have not seen. Called from one thread."""
        while events.number(self._resources):
            pass
        loop = self._loop
        if loop is None:
            return
        for team, channel in list(self._channels.items()):
            while found := events.after(self._resources, team, channel.last):
                lines = [line_of(event) for event in found]
                asyncio.run_coroutine_threadsafe(self._add(team, lines), loop).result(timeout=10)

    def look_for_revoked(self) -> None:
        """Find out which of the keys that listen are worth nothing any more. Called from one thread."""
        self._revoked = keys.revoked_among(self._resources, list(self._keys))

    def end(self) -> None:
        """Let every stream come to its end; called in the event loop."""
        self._ended = True
        for channel in self._channels.values():
            channel.news.set()

    async def _add(self, team: str, lines: Sequence[Line]) -> None:
        channel = self._channels[team]
        new = [line for line in lines if line.number > channel.last]
        channel.lines.extend(new)
        channel.last = max((line.number for line in new), default=channel.last)
        channel.news.set()
        channel.news = asyncio.Event()

    async def listen(self, key: KeyRow, *, last: int | None, batch_id: UUID | None) -> AsyncIterator[bytes]:
        """The team's events after number `last`, from now on where it is None, until the client goes or we end.

        Args:
            batch_id: of this batch alone.
        """
        self._loop = asyncio.get_running_loop()
        channel = await self._channel(key.team)
        channel.listeners += 1
        self._keys[key.id] = self._keys.get(key.id, 0) + 1
        try:
            newest = await run_in_threadpool(events.last_number, self._resources, key.team)
            last = newest if last is None else min(last, newest)
            yield f'retry: 2000\nid: {last}\ndata: {{"type": "listening", "after": {last}}}\n\n'.encode()
            async for content in self._follow(channel, key, last, batch_id):
                yield content
        finally:
            self._leave(channel, key)

    async def _follow(self, channel: _Channel, key: KeyRow, last: int, batch_id: UUID | None) -> AsyncIterator[bytes]:
        while not self._ended and key.id not in self._revoked:
            news = channel.news
            lines = await self._after(channel, key.team, last)
            for line in lines:
                last = line.number
                if batch_id is None or line.batch_id == batch_id:
                    yield line.content
            if lines:
                continue
            try:
                await asyncio.wait_for(news.wait(), _ALIVE_S)
            except TimeoutError:
                yield _ALIVE

    async def _after(self, channel: _Channel, team: str, last: int) -> Sequence[Line]:
        if last >= channel.last:
            return ()
        if channel.lines and channel.lines[0].number <= last + 1:
            return [line for line in channel.lines if line.number > last]
        found = await run_in_threadpool(events.after, self._resources, team, last)
        return [line_of(event) for event in found]

    async def _channel(self, team: str) -> _Channel:
        if team not in self._channels:
            last = await run_in_threadpool(events.last_number, self._resources, team)
            self._channels.setdefault(team, _Channel(last=last))
        return self._channels[team]

    def _leave(self, channel: _Channel, key: KeyRow) -> None:
        channel.listeners -= 1
        self._keys[key.id] -= 1
        if not self._keys[key.id]:
            del self._keys[key.id]


def line_of(event: Event) -> Line:
    data = {"type": event.type, "at": event.at.isoformat(), **event.data}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Line(number=event.number, batch_id=event.batch_id, content=f"id: {event.number}\ndata: {text}\n\n".encode())
