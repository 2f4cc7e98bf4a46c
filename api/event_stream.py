"""Events on their way to listeners: one reader of the database for all of them, and no thread for any.

What is new is kept in memory for a while, per team, as the bytes that are sent, and all who have read as far share the
same ones. A listener is a number, the last one it was sent; who fell behind what is in memory reads the rest from the
database, two at a time, so that listeners who come back together leave threads and connections to everybody else.
The database is asked four times a second instead of notifying: a pooler that lends connections passes on no NOTIFY.
"""

import asyncio
import json
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
#: Events that are sent in one piece, about 40 KB: what a listener that reads slowly makes the process keep for it.
_PIECE: Final = 100
#: Pieces that are kept for the others who have read as far.
_SHARED: Final = 64
_CATCHING_UP: Final = 2
#: Listeners that are woken together, and the rest until the next of them are. Telling a thousand takes a tenth of a
#: second of CPU; spread over the quarter until the next look, it leaves requests their turn.
_WOKEN_TOGETHER: Final = 8
_WOKEN_APART_S: Final = 0.001
#: A line now and then, so that whoever sits between knows that the connection lives, and we learn that it does not: to
#: a listener that was told nothing for half of this or longer.
_ALIVE_S: Final = 15.0
_ALIVE: Final = b": alive\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An event as it is sent."""

    number: int
    batch_id: UUID
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Some events together, up to number `last`; no bytes where none of them is wanted."""

    last: int
    content: bytes


@dataclass(slots=True)
class _Channel:
    """What a team's listeners wait for.

    Args:
        last: number of the newest event that was read; None before the first reading.
        lines: the newest ones, without a gap, up to `last`.
        reminding: wakes them now and then also where nothing happens.
    """

    last: int | None = None
    lines: list[Line] = field(default_factory=list)
    listeners: int = 0
    reminding: asyncio.Task[None] | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _shared: dict[tuple[int, UUID | None], _Piece] = field(default_factory=dict)

    def open(self, newest: int, found: Sequence[Event]) -> None:
        """Begin with what was found, up to event number `newest` or beyond."""
        self.add(found)
        self.last = found[-1].number if found else newest

    def add(self, found: Sequence[Event]) -> None:
        new = [line_of(event) for event in found if self.last is None or event.number > self.last]
        if not new:
            return
        self.lines = (self.lines + new)[-_REMEMBERED:]
        self.last = new[-1].number
        self._shared.clear()

    async def news(self) -> None:
        """Come back when listeners are woken next."""
        # One future and no timer of its own: a timer for each wait was a quarter of what a listener cost.
        self._waiting.append(asyncio.get_running_loop().create_future())
        await self._waiting[-1]

    async def wake(self) -> None:
        """Let all who wait look for what is new."""
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), _WOKEN_TOGETHER):
            if first:
                await asyncio.sleep(_WOKEN_APART_S)
            for one in waiting[first : first + _WOKEN_TOGETHER]:
                if not one.done():  # whose client has gone waits no more
                    one.set_result(None)

    async def remind(self) -> None:
        """Wake them as often as each may have to send a sign of life; it is canceled with the last of them."""
        while True:
            await asyncio.sleep(_ALIVE_S)
            await self.wake()

    @property
    def before(self) -> int:
        """Number of the event before those in memory."""
        return self.lines[0].number - 1 if self.lines else self.last or 0

    def after(self, last: int, batch_id: UUID | None) -> _Piece:
        """Some of what came after number `last`, which is not before what is in memory."""
        piece = self._shared.get((last, batch_id))
        if piece is None:
            at = last - self.before
            piece = _joined(self.lines[at : at + _PIECE], last, batch_id)
            if len(self._shared) < _SHARED:
                self._shared[last, batch_id] = piece
        return piece


class Hub:
    """All listeners of this process. Its coroutines run in one event loop; `read` is called from a thread."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._channels: dict[str, _Channel] = {}
        self._keys: dict[UUID, int] = {}
        self._revoked: frozenset[UUID] = frozenset()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._catching_up = asyncio.Semaphore(_CATCHING_UP)
        self._ended = False
        self._ending: list[asyncio.Task[None]] = []

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
        read = {team: channel.last for team, channel in list(self._channels.items()) if channel.last is not None}
        if self._loop is None or not read:
            return
        for team, newest in events.last_numbers(self._resources, list(read)).items():
            last = read[team]
            while last < newest and (found := events.after(self._resources, team, last)):
                last = found[-1].number
                asyncio.run_coroutine_threadsafe(self._add(team, found), self._loop).result(timeout=10)

    def look_for_revoked(self) -> None:
        """Find out which of the keys that listen are worth nothing any more. Called from one thread."""
        self._revoked = keys.revoked_among(self._resources, list(self._keys))

    def end(self) -> None:
        """Let every stream come to its end; called in the event loop."""
        self._ended = True
        self._ending = [asyncio.create_task(channel.wake()) for channel in self._channels.values()]

    async def _add(self, team: str, found: Sequence[Event]) -> None:
        # The last of its listeners may have gone meanwhile.
        if (channel := self._channels.get(team)) is not None:
            channel.add(found)
            await channel.wake()

    async def listen(self, key: KeyRow, *, last: int | None, batch_id: UUID | None) -> AsyncIterator[bytes]:
        """The team's events after number `last`, from now on where it is None, until the client goes or we end.

        Args:
            batch_id: of this batch alone.
        """
        self._loop = asyncio.get_running_loop()
        channel = self._channels.setdefault(key.team, _Channel())
        channel.listeners += 1
        if channel.reminding is None:
            channel.reminding = asyncio.create_task(channel.remind())
        self._keys[key.id] = self._keys.get(key.id, 0) + 1
        try:
            last = await self._start(channel, key.team, last)
            yield f'retry: 2000\nid: {last}\ndata: {{"type": "listening", "after": {last}}}\n\n'.encode()
            async for content in self._follow(channel, key, last, batch_id):
                yield content
        finally:
            self._leave(channel, key)

    async def _start(self, channel: _Channel, team: str, last: int | None) -> int:
        """The number after which a listener is told; no event that has come has a larger one."""
        async with channel.opening:
            if channel.last is None:
                newest = await run_in_threadpool(events.last_number, self._resources, team)
                first = max(0, newest - _REMEMBERED)
                found = await run_in_threadpool(events.after, self._resources, team, first, limit=_REMEMBERED)
                channel.open(newest, found)
        newest = channel.last or 0
        if last is None or last <= newest:
            return newest if last is None else last
        # Another process may have told it what this one has not read yet.
        return min(last, await run_in_threadpool(events.last_number, self._resources, team))

    async def _follow(self, channel: _Channel, key: KeyRow, last: int, batch_id: UUID | None) -> AsyncIterator[bytes]:
        now = asyncio.get_running_loop().time
        told_at = now()
        while not self._ended and key.id not in self._revoked:
            if last < channel.before:
                piece = await self._earlier(channel, key.team, last, batch_id)
            else:
                piece = channel.after(last, batch_id)
            content = piece.content or (_ALIVE if now() - told_at > _ALIVE_S / 2 else b"")
            if content:
                yield content
                told_at = now()
            elif piece.last == last:
                # Nothing was waited for since it looked, so that nothing can have come meanwhile.
                await channel.news()
            last = piece.last

    async def _earlier(self, channel: _Channel, team: str, last: int, batch_id: UUID | None) -> _Piece:
        """What is in memory no more."""
        async with self._catching_up:
            found = await run_in_threadpool(events.after, self._resources, team, last, limit=_PIECE)
        # Nothing: it is older than events are kept.
        return _joined([line_of(event) for event in found], last if found else channel.before, batch_id)

    def _leave(self, channel: _Channel, key: KeyRow) -> None:
        channel.listeners -= 1
        if not channel.listeners:
            del self._channels[key.team]
            if channel.reminding is not None:
                channel.reminding.cancel()
        self._keys[key.id] -= 1
        if not self._keys[key.id]:
            del self._keys[key.id]


def _joined(lines: Sequence[Line], last: int, batch_id: UUID | None) -> _Piece:
    wanted = lines if batch_id is None else [line for line in lines if line.batch_id == batch_id]
    return _Piece(
        last=lines[-1].number if lines else last,
        content=b"".join(line.content for line in wanted),
    )


def line_of(event: Event) -> Line:
    data = {"type": event.type, "at": event.at.isoformat(), **event.data}
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Line(number=event.number, batch_id=event.batch_id, content=f"id: {event.number}\ndata: {text}\n\n".encode())
