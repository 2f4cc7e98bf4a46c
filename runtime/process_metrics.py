"""A Prometheus endpoint of one worker process: what it measures of its own calls and waits.

Each process has a registry and a port of its own, so that none shares a file or a counter with another, and one that
dies takes nothing of the others with it. Off unless `LIKENESS_WORKER_METRICS` is set; then nothing is imported here.
"""

import contextlib
import errno
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from domain.errors import BadInput, ServiceMissing
from pipeline.process.measures import Measures, Unmeasured

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

#: Processes of one host that each take the next free port.
_PORTS: Final = 32
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_PICTURES: Final = (1, 2, 4, 8, 16, 32, 64)


class _Prometheus:
    """Implements `Measures`; labels are lanes, calls and classes of failures, whose number is small and fixed."""

    def __init__(self, registry: "CollectorRegistry") -> None:
        from prometheus_client import Counter, Histogram

        self._calls = Histogram(
            "likeness_process_call_seconds",
            "Calls of a provider by this process; the outcome is ok, or the class of the failure.",
            ("lane", "call", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Histogram(
            "likeness_process_token_wait_seconds",
            "From a submission's arrival in this worker to its token.",
            ("lane",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._rescued = Counter(
            "likeness_process_rescued", "Attempts that this process put back on their way.", registry=registry
        )
        self._pictures = Histogram(
            "likeness_process_batch_pictures", "Pictures of one batch.", buckets=_PICTURES, registry=registry
        )
        self._waits = Histogram(
            "likeness_process_batch_wait_seconds", "How long a batch waited.", buckets=_SECONDS, registry=registry
        )
        self._forwards = Histogram(
            "likeness_process_batch_forward_seconds", "How long a batch ran.", buckets=_SECONDS, registry=registry
        )

    def called(self, lane: str, call: str, *, seconds: float, outcome: str) -> None:
        self._calls.labels(lane, call, outcome).observe(seconds)

    def waited_for_token(self, lane: str, *, seconds: float) -> None:
        self._tokens.labels(lane).observe(seconds)

    def rescued(self, attempts: int) -> None:
        self._rescued.inc(attempts)

    def batch(self, pictures: int, *, waited_s: float, took_s: float) -> None:
        self._pictures.observe(pictures)
        self._waits.observe(waited_s)
        self._forwards.observe(took_s)


@contextlib.contextmanager
def measuring(address: str | None) -> Iterator[Measures]:
    """What this process measures, served until the block ends.

    Args:
        address: HOST:PORT; where another process has the port, the next free one is taken. None: nothing is measured.

    Raises:
        BadInput: the address cannot be read.
        ServiceMissing: this process may listen on none of the ports.
    """
    if address is None:
        yield Unmeasured()
        return
    from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, start_http_server

    host, _, number = address.rpartition(":")
    if not host or not number.isdecimal():
        raise BadInput(f"LIKENESS_WORKER_METRICS is {address!r}; write it like 127.0.0.1:9200")
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    measures = _Prometheus(registry)
    for port in range(int(number), int(number) + _PORTS):
        try:
            server, thread = start_http_server(port, addr=host, registry=registry)
        except OSError as failure:
            if failure.errno != errno.EADDRINUSE:
                raise ServiceMissing(f"metrics cannot be served at {host}:{port}: {failure.strerror}") from failure
            continue
        break
    else:
        raise ServiceMissing(f"metrics cannot be served: the {_PORTS} ports from {address} on are taken")
    log.info("metrics of this process are at http://%s:%d/metrics", host, port)
    try:
        yield measures
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
