"""The `api` role: the API, the page, and the providers' webhooks; without torch. Run as `python -m api.main`.

It listens on loopback unless told otherwise: TLS, the public name and a limit of speed are a reverse proxy's work.
"""

import gc
import ipaddress
import logging
import resource
import signal
import socket
import sys
from typing import Final

import uvicorn
from anyio import to_thread
from fastapi import FastAPI

from api.app import create_app
from api.callers import Installation
from domain.errors import ServiceMissing
from pipeline.attempts import webhooks
from pipeline.operator import keys
from pipeline.resources import Resources
from runtime.process import main_of
from runtime.resources import open_producer
from runtime.settings import Settings, read_settings

log = logging.getLogger(__name__)

#: Connections at once, listeners to events included; more are answered 503, and their senders try again.
_CONNECTIONS: Final = 4096
#: Routes at once. A request that spends holds a connection to Postgres for its answer and one for its money, and works
#: on a third, so that there are somewhat more connections than twice as many.
_THREADS: Final = 8
_CONNECTIONS_KEPT: Final = 12
#: New objects before a collection of the young, and collections before one of the older: a request makes hundreds.
_COLLECTIONS: Final = (20_000, 20, 50)
#: A listener that was cut off comes back with `Last-Event-ID`.
_TAKES_NOTHING_S: Final = 60
#: Webhooks that are being taken when the process is told to end.
_GRACE_S: Final = 10


class _Server(uvicorn.Server):
    """Limits its threads to the connections that the resources have."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        to_thread.current_default_thread_limiter().total_tokens = _THREADS
        await super().startup(sockets)
        # What stands now stands for good, and half a million objects need not be looked through again and again: with
        # a thousand listeners that took a third of the process.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_COLLECTIONS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams of events have no end of their own, and would be waited for.
        assert isinstance(self.config.app, FastAPI)
        self.config.app.state.hub.end()
        await super().shutdown(sockets)


def server_of(app: FastAPI) -> uvicorn.Server:
    """A server for sockets that are bound already; no line of its log holds an address with a token in it."""
    return _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            # Said twice: whoever adds a handler of his own to the access log still gets no line of it.
            log_level="warning",
            server_header=False,
            lifespan="on",
            ws="none",
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_S,
            # Nobody here asks where a request comes from, and what a stranger claims about it is not read.
            proxy_headers=False,
        )
    )


def _allow_open_files() -> None:
    """A connection is an open file, and many systems allow a process 1,024 or 256 of them unless it asks for more."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _CONNECTIONS if most == resource.RLIM_INFINITY else min(2 * _CONNECTIONS, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def bound(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        ServiceMissing: the address is taken, or is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=256)
    except OSError as failure:
        raise ServiceMissing(
            f"the API cannot listen at {host} port {port} ({failure.strerror or failure});"
            " set LIKENESS_API_HOST and LIKENESS_API_PORT"
        ) from None
    # Expected: asyncio switches Nagle's algorithm off for what it accepts. It does so only where the listener names its
    # protocol, which `create_server` leaves at 0; an answer in two packets then waits 40 ms for the peer. What is
    # accepted inherits the option from the listener.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        # Whoever takes nothing of what is sent for so long is cut off, be it gone or only not reading; without this the
        # kernel waits a quarter of an hour for the one, and for the other as long as it lives. Inherited likewise.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_TAKES_NOTHING_S * 1000))
    return listener


def _say_first_key(settings: Settings, resources: Resources, address: str) -> None:
    """On loopback nobody needs a ceremony: an installation without keys gets one, which a terminal shows this once.

    Where nobody looks on it would stay in a log; whoever starts this process, as `likeness up`, makes the key first.
    """
    host = address.rpartition(":")[0].removeprefix("http://").strip("[]")
    if not sys.stderr.isatty() or not ipaddress.ip_address(host).is_loopback:
        return
    token = keys.first_key(resources, user_id=settings.user)
    if token is not None:
        sys.stderr.write(f"the first key, shown this once: {token}\nthe page: {address}/#key={token}\n")


def api() -> None:
    """Serve until told to end by SIGTERM or SIGINT."""
    settings = read_settings()
    _allow_open_files()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn hands the signal on when it has ended; what is open here is closed on the way out.
        signal.signal(number, lambda *_: sys.exit(0))
    with (
        bound(settings.api_host, settings.api_port) as listener,
        open_producer(settings, application="likeness api", threads=_CONNECTIONS_KEPT) as resources,
    ):
        webhooks.prepare(resources)
        host, port = listener.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        log.info("listening at %s", address)
        _say_first_key(settings, resources, address)
        secret = settings.metrics_token
        token = None if secret is None else secret.get_secret_value()
        installation = Installation(
            core=settings.clip_threshold_core, style=settings.clip_threshold_style, flower_url=settings.flower_url
        )
        server_of(create_app(resources, metrics_token=token, installation=installation)).run(sockets=[listener])


if __name__ == "__main__":
    main_of(api)
