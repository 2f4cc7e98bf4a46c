"""Reads of one generation, the most frequent request by far: those of a moment share one statement and one thread.

The first read goes at once and alone; those that come while it is under way, and for a moment after it, form the next
group. So a process that is asked seldom answers without delay, and one that is asked often pays for a hundred groups a
second at most, however many reads there are. The document of a generation is kept beside the rows that it was made
of, and is made anew only when these differ: who asks again and again how far a generation is costs one comparison.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api import documents
from api.callers import Recognised, bearer_of
from api.problems import problem_of
from domain.access import Scope as Right
from domain.errors import LikenessError
from pipeline.resources import Resources
from pipeline.views import team
from pipeline.views.team import FoundGeneration

_PATH: Final = "/api/generate/"
_MOST: Final = 50
#: From the end of a group to the start of the next: a read waits for so long at most, and a group costs 1 ms of CPU.
_APART_S: Final = 0.01
#: Some 8 KB each.
_DOCUMENTS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationDocument:
    """A generation as it is sent, and who may see it.

    Args:
        deleted_at: when somebody deleted it; None where nobody did.
    """

    team: str
    deleted_at: datetime | None
    content: bytes


class GenerationReads:
    """The reads of this process. `find` is called in one event loop; no database is asked there."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._waiting: list[tuple[UUID, asyncio.Future[GenerationDocument | None]]] = []
        self._serving: asyncio.Task[None] | None = None
        # Its own, so that no slow write holds up who only wants to look; and one, so that what is kept has one writer.
        self._thread = CapacityLimiter(1)
        self._kept: OrderedDict[UUID, tuple[str, bytes]] = OrderedDict()

    async def find(self, wanted: UUID) -> GenerationDocument | None:
        """The generation as it is now, of whatever team; None where there is none.

        Raises:
            DatabaseAway: Postgres does not answer.
        """
        future: asyncio.Future[GenerationDocument | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, future))
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._answer(group)
                await asyncio.sleep(_APART_S)
        finally:
            self._serving = None

    async def _answer(self, group: Sequence[tuple[UUID, asyncio.Future[GenerationDocument | None]]]) -> None:
        try:
            found = await to_thread.run_sync(self._read, list({wanted for wanted, _ in group}), limiter=self._thread)
        except Exception as failure:  # noqa: BLE001 -- it is the failure of each who asked, and is told to each
            for _, future in group:
                if not future.done():
                    future.set_exception(failure)
            return
        for wanted, future in group:
            if not future.done():  # whose request has ended waits no more
                future.set_result(found.get(wanted))

    def _read(self, ids: Sequence[UUID]) -> dict[UUID, GenerationDocument]:
        return {
            found.id: GenerationDocument(team=found.team, deleted_at=found.deleted_at, content=self._content(found))
            for found in team.find_generations(self._resources, ids)
        }

    def _content(self, found: FoundGeneration) -> bytes:
        kept = self._kept.get(found.id)
        if kept is None or kept[0] != found.rows:
            kept = found.rows, documents.generation(found.details()).model_dump_json(by_alias=True).encode()
            self._kept[found.id] = kept
        self._kept.move_to_end(found.id)
        if len(self._kept) > _DOCUMENTS:
            self._kept.popitem(last=False)
        return kept[1]


class DirectReads:
    """ASGI middleware that answers the usual read of a generation before it reaches the routes.

    A quarter of a read's cost was the database, most of the rest the way through the framework to one function and
    back. Whatever is not usual (another method, a wish to wait, a key that is not known or has a limit of speed, a
    generation that is not there) goes on to the route, which says what is wrong; the route also stands in the OpenAPI
    document, and answers the same.
    """

    def __init__(self, app: ASGIApp, *, resources: Resources, reads: GenerationReads, recognised: Recognised) -> None:
        self._app = app
        self._resources = resources
        self._reads = reads
        self._recognised = recognised

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith(_PATH):
            try:
                content = await self._usual(scope["path"], Headers(scope=scope))
            except LikenessError as failure:
                await problem_of(failure)(scope, receive, send)
                return
            if content is not None:
                await Response(content, media_type="application/json")(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _usual(self, path: str, headers: Headers) -> bytes | None:
        """The document; None where the route must answer."""
        wanted, token = team.read_id(path.removeprefix(_PATH)), bearer_of(headers.get("authorization"))
        if wanted is None or token is None or "prefer" in headers:
            return None
        key = await self._recognised.find(self._resources, token)
        if key is None or key.rate_limit is not None or not key.scope.includes(Right.READ):
            return None
        found = await self._reads.find(wanted)
        if found is None or found.team != key.team or found.deleted_at is not None:
            return None
        return found.content
