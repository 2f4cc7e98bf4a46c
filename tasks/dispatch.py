"""Send a task after the commit that made it lawful.

A message is a hint: one that cannot be sent now is sent again by rescue. What threads send at the same time leaves in
one round trip: kombu makes a client for each message that is published alone, which costs more than the message.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import celery

from domain.combining import Combiner
from domain.errors import ServiceMissing
from domain.ids import AttemptId, GenerationId
from domain.preparation import Place
from domain.states import AttemptState
from pipeline.process.traces import TRACEPARENT, Traces, Untraced
from tasks import names
from tasks.app import make_app

log = logging.getLogger(__name__)

#: Redis commands in one round trip: a message is one, and the event that says so to Flower another.
_PIPELINE = 10_000
_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A task that is to be sent."""

    name: str
    queue: str
    attempt_id: AttemptId | None
    generation_id: GenerationId
    wait: timedelta | None
    traceparent: str | None

    def __str__(self) -> str:
        of = f"generation {self.generation_id}" if self.attempt_id is None else f"attempt {self.attempt_id}"
        return f"{self.name} for {of}"


class CeleryDispatch:
    """Sends by wire name; it needs no task body, so a producer imports none.

    The application is made when it is first needed: most commands only look, and Celery takes a quarter of a second.
    """

    def __init__(self, broker_url: str, *, traces: Traces | None = None) -> None:
        self._broker_url = broker_url
        self._traces = traces or Untraced()
        self._of_thread = threading.local()
        self._combiner = Combiner(self._send_group, most=_PIPELINE)

    @cached_property
    def app(self) -> "celery.Celery":
        return make_app(self._broker_url)

    def close(self) -> None:
        """Give the connections back, if there were any."""
        if "app" in vars(self):
            self.app.close()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what this thread sends inside the block at its end and in one round trip.

        A block that fails sends nothing of it.
        """
        if self._kept is not None:
            yield
            return
        kept: list[_Message] = []
        self._of_thread.kept = kept
        try:
            yield
        finally:
            self._of_thread.kept = None
        if kept:
            self._combiner.do(kept)

    @property
    def _kept(self) -> list[_Message] | None:
        kept: list[_Message] | None = getattr(self._of_thread, "kept", None)
        return kept

    def prepare(self, *, generation_id: GenerationId, place: Place) -> None:
        queue = names.QUEUE_GPU if place is Place.GPU else names.QUEUE_PREPARE
        self._send(names.PREPARE, queue, attempt_id=None, generation_id=generation_id, wait=None)

    def submit(
        self, *, lane: str, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None
    ) -> None:
        self._send(
            names.submit(lane),
            names.submit_queue(lane),
            attempt_id=attempt_id,
            generation_id=generation_id,
            wait=wait,
        )

    def collect(self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None) -> None:
        self._send(names.COLLECT, names.QUEUE_COLLECT, attempt_id=attempt_id, generation_id=generation_id, wait=wait)

    def rebuild_inputs(
        self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None
    ) -> None:
        self._send(
            names.REBUILD_INPUTS, names.QUEUE_COLLECT, attempt_id=attempt_id, generation_id=generation_id, wait=wait
        )

    def validate(self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None) -> None:
        self._send(names.VALIDATE, names.QUEUE_GPU, attempt_id=attempt_id, generation_id=generation_id, wait=wait)

    def waiting(self, step: AttemptState, lane: str | None) -> int:
        """How many messages are in the queue of that step; those that a worker has taken already are not counted.

        Raises:
            ServiceMissing: Redis does not answer.
        """
        from kombu.exceptions import OperationalError
        from redis.exceptions import RedisError

        queue = names.queue_of(step, lane)
        try:
            with self.app.producer_pool.acquire(block=True) as producer:
                channel: Any = producer.channel  # of Redis, the one broker there is
                number: int = channel.client.llen(queue)
        except (OperationalError, RedisError, OSError) as error:
            raise ServiceMissing(f"Redis cannot say how much waits in {queue!r}: {error}") from error
        return number

    def _send(
        self,
        name: str,
        queue: str,
        *,
        attempt_id: AttemptId | None,
        generation_id: GenerationId,
        wait: timedelta | None,
    ) -> None:
        message = _Message(
            name=name,
            queue=queue,
            attempt_id=attempt_id,
            generation_id=generation_id,
            wait=wait,
            # Read here: another thread may publish it.
            traceparent=self._traces.traceparent(),
        )
        if self._kept is not None:
            self._kept.append(message)
        else:
            self._combiner.do([message])

    def _send_group(self, group: Sequence[Sequence[_Message]]) -> Sequence[None]:
        self._send_all([message for messages in group for message in messages])
        return [None] * len(group)

    def _send_one_by_one(self, messages: Sequence[_Message]) -> None:
        """Until Redis takes one not even alone: all threads that send would wait while each of the others is tried."""
        from kombu.exceptions import OperationalError

        away: Exception | None = None
        for message in messages:
            try:
                if away is None:
                    self._publish(message)
            except (OperationalError, ConnectionError, TimeoutError) as error:
                away = error
            if away is not None:
                log.warning("%s could not be sent now and will be sent again: %s", message, away)

    def _send_all(self, messages: Sequence[_Message]) -> None:
        """By one pipeline; where it fails, each by itself, since a second copy of a message does nothing."""
        from kombu.exceptions import KombuError

        try:
            with self.app.producer_or_acquire() as producer, producer.batch(max_size=_PIPELINE):
                for message in messages:
                    self._publish(message, producer=producer)
        except (KombuError, ConnectionError, TimeoutError) as error:
            log.info("%d messages are sent one by one: %s", len(messages), error)
            self._send_one_by_one(messages)

    def _publish(self, message: _Message, **options: Any) -> None:
        generation = str(message.generation_id)
        if message.wait:
            options["countdown"] = message.wait.total_seconds()
        if message.traceparent is not None:
            options["headers"] = {TRACEPARENT: message.traceparent}
        self.app.send_task(
            message.name,
            args=() if message.attempt_id is None else (str(message.attempt_id),),
            # As a keyword, so that Flower's search by `kwargs:generation_id=...` shows a prompt's whole story.
            kwargs={"generation_id": generation},
            queue=message.queue,
            root_id=generation,
            retry=True,
            retry_policy=_POLICY,
            # A worker declares the queues that it consumes; a list in Redis needs no declaration.
            declare=[],
            **options,
        )
