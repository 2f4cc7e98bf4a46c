"""Traces of this process, sent to an OpenTelemetry collector by OTLP over HTTP; imported only where one is named.

The id of a trace is the id of its generation, so that every process finds the trace without asking anybody, and so does
a person who has the id. Its first span has the last eight bytes of that id.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Final
from uuid import UUID

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from domain.errors import LikenessError
from domain.ids import BatchId, GenerationId
from pipeline.process.traces import TRACEPARENT, Traceable, Traces

log = logging.getLogger(__name__)

#: A process that ends gives its last spans so long to be delivered.
_FAREWELL_S: Final = 3.0
_EIGHT_BYTES: Final = (1 << 64) - 1
_W3C: Final = TraceContextTextMapPropagator()
_root: ContextVar[UUID | None] = ContextVar("root", default=None)


class _Ids(RandomIdGenerator):
    """The ids of a generation's first span are those of the generation; all others are random."""

    def generate_trace_id(self) -> int:
        root = _root.get()
        return super().generate_trace_id() if root is None else root.int

    def generate_span_id(self) -> int:
        root = _root.get()
        return super().generate_span_id() if root is None else root.int & _EIGHT_BYTES


class _Telling(SpanExporter):
    """Sends, and says in one line when a collector begins to take nothing, and in another when it takes again."""

    def __init__(self, inner: SpanExporter, address: str) -> None:
        self._inner = inner
        self._address = address
        self._away = False
        self._ended = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        away = result is not SpanExportResult.SUCCESS
        if away and not self._away:
            log.warning("the collector at %s takes no traces; they are thrown away until it does", self._address)
        elif self._away and not away:
            log.warning("the collector at %s takes traces again", self._address)
        self._away = away
        return result

    def shutdown(self) -> None:
        if self._ended.acquire(blocking=False):
            self._inner.shutdown()


class _OpenTelemetry:
    """Implements `Traces`."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def now(self) -> int:
        return time.time_ns()

    def batch(self, batch_id: BatchId, *, rows: int, since: int) -> None:
        said: dict[str, AttributeValue] = {"likeness.batch_id": str(batch_id), "likeness.rows": rows}
        self._tracer.start_span("enqueue batch", context.Context(), attributes=said, start_time=since).end()

    def enqueued(self, about: Traceable) -> None:
        token = _root.set(about.generation_id)
        try:
            began = _made_at(about.generation_id)
            self._tracer.start_span("enqueue", context.Context(), attributes=_said(about), start_time=began).end()
        finally:
            _root.reset(token)

    @contextlib.contextmanager
    def step(self, name: str, about: Traceable, *, since: int | None = None) -> Iterator[None]:
        before = trace.get_current_span().get_span_context()
        follows = before.is_valid and before.trace_id == about.generation_id.int
        parent = None if follows else _context_of(about.generation_id)
        span = self._tracer.start_span(name, parent, attributes=_said(about), start_time=since)
        # Neither the text of an exception nor its traceback: both may repeat what a span must not say.
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except Exception as failure:
                _end_badly(span, failure)
                raise

    def failed(self, failure: LikenessError) -> None:
        _end_badly(trace.get_current_span(), failure)

    @contextlib.contextmanager
    def continuing(self, traceparent: str | None) -> Iterator[None]:
        said = {} if traceparent is None else {TRACEPARENT: traceparent}
        token = context.attach(_W3C.extract(said, context.Context()))
        try:
            yield
        finally:
            context.detach(token)

    def traceparent(self) -> str | None:
        header: dict[str, str] = {}
        _W3C.inject(header)
        return header.get(TRACEPARENT)


def _end_badly(span: trace.Span, failure: Exception) -> None:
    span.set_attribute("error.type", type(failure).__name__)
    span.set_status(trace.StatusCode.ERROR)


def _said(about: Traceable) -> dict[str, AttributeValue]:
    return {
        "likeness.generation_id": str(about.generation_id),
        "likeness.attempt_id": str(about.attempt_id),
        "likeness.lane": about.lane,
        "likeness.provider": about.provider,
        "likeness.model": about.model,
    }


def _made_at(generation_id: GenerationId) -> int:
    """When the generation was made, in nanoseconds: the first six bytes of a UUIDv7 say it in milliseconds."""
    return (generation_id.int >> 80) * 1_000_000 if generation_id.version == 7 else time.time_ns()


def _context_of(generation_id: GenerationId) -> context.Context:
    """The place of the generation's first span, whoever sends it."""
    first = trace.SpanContext(
        trace_id=generation_id.int,
        span_id=generation_id.int & _EIGHT_BYTES,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(first), context.Context())


@contextlib.contextmanager
def exporting(address: str, *, process: str) -> Iterator[Traces]:
    """Traces that are sent until the block ends; a collector that is away delays no step.

    Further settings, such as headers and certificates, are the exporter's own variables (`OTEL_EXPORTER_OTLP_...`).

    Args:
        address: of the collector, such as http://127.0.0.1:4318.
        process: names this kind of process among the services.
    """
    # What it says about each try is said once by `_Telling`.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    endpoint = address if address.endswith("/v1/traces") else f"{address}/v1/traces"
    exporter = _Telling(OTLPSpanExporter(endpoint=endpoint), address)
    provider = TracerProvider(
        # A share of the traces is the collector's to choose: the times in our ids are no luck, as samplers believe.
        sampler=ALWAYS_ON,
        resource=Resource.create({"service.name": process.replace(" ", "-"), "service.namespace": "likeness"}),
        id_generator=_Ids(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=8192))
    give_up = threading.Timer(_FAREWELL_S, exporter.shutdown)
    give_up.daemon = True
    try:
        yield _OpenTelemetry(provider.get_tracer("likeness"))
    finally:
        give_up.start()
        provider.shutdown()
        give_up.cancel()
