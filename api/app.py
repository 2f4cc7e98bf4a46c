"""The application: its routes, what stands before them, and the document that describes them.

A route reads a request, calls one step and answers. Routes are plain functions, which run in threads, since every step
is synchronous; only what waits for something else than a step is a coroutine.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi

from api.background import Background
from api.batch_wire import BatchOrder
from api.body_limits import Bodies
from api.callers import USUAL, Installation, Recognised
from api.event_stream import Hub
from api.generation_reads import DirectReads, GenerationReads
from api.page import forms, pages
from api.page.error_pages import answer_with_pages
from api.problems import Problem, answer_with_problems
from api.routes import (
    batch_routes,
    character_routes,
    event_routes,
    finish,
    from_image,
    generate,
    health,
    hooks,
    overview,
    scrape,
    taste,
)
from api.wire import FromImage
from pipeline.resources import Resources
from providers.transport.outgoing import WebhookSender

_ROUTES: Final = (
    hooks,
    health,
    scrape,
    generate,
    from_image,
    batch_routes,
    finish,
    character_routes,
    event_routes,
    overview,
    taste,
    pages,
    forms,
)
_ABOUT: Final = (
    "Prompts become checked, paid-for, stored pictures. Send a key as `Authorization: Bearer lk_...`; a key sees its"
    " own team's data. Every error is a problem document (RFC 9457). See docs/api.md."
)


def _in_background(
    resources: Resources, hub: Hub, *, local_webhooks: bool
) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    """What runs beside the routes for as long as the application does."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background = Background(resources, hub, sender=WebhookSender(local=local_webhooks))
        background.start()
        try:
            yield
        finally:
            await run_in_threadpool(background.stop)

    return lifespan


def create_app(
    resources: Resources,
    *,
    metrics_token: str | None = None,
    local_webhooks: bool = False,
    installation: Installation = USUAL,
) -> FastAPI:
    """The application over the resources of one process; what it remembers may vanish at any moment.

    Args:
        metrics_token: opens `/metrics`; None: there is no such route.
        installation: what the settings say to routes and pages.
        local_webhooks: whether receivers of webhooks may be on this machine; in tests alone.
    """
    hub = Hub(resources)
    # A redirect loses a webhook: its sender follows none. No page of FastAPI's own: it loads scripts from elsewhere.
    app = FastAPI(
        title="Likeness",
        description=_ABOUT,
        version=version("likeness"),
        lifespan=_in_background(resources, hub, local_webhooks=local_webhooks),
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        # Told apart by what they do, as a client library names them.
        generate_unique_id_function=lambda route: f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}",
    )
    app.state.resources = resources
    app.state.installation = installation
    app.state.recognised = Recognised()
    app.state.metrics_token = metrics_token
    app.state.held = 0
    app.state.hub = hub
    for module in _ROUTES:
        app.include_router(module.router)
    answer_with_problems(app)
    answer_with_pages(app)
    reads = GenerationReads(resources)
    # The last one that is added is the first that a request meets.
    app.add_middleware(DirectReads, resources=resources, reads=reads, recognised=app.state.recognised)
    app.add_middleware(Bodies)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's own way to change it
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with problems instead of FastAPI's own errors of validation."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
        )
        schemas = document["components"]["schemas"]
        for named in (Problem, BatchOrder, FromImage):
            # Referred to by hand, where FastAPI does not look.
            schema = named.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[named.__name__] = schema
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema
