"""Send a task after the commit that made it lawful.

A message is a hint: one that cannot be sent now is sent again by rescue. What threads send at the same time leaves in
one round trip, as Celery would have written it (`tasks/message_templates.py`).
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
from tasks.message_templates import MessageWriter, TaskMessage

log = logging.getLogger(__name__)

#: Messages in one round trip.
_PIPELINE = 5_000
_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sending:
    """A message that is to be sent, at once or when `wait` is over."""

    message: TaskMessage
    wait: timedelta | None

    def __str__(self) -> str:
        told = self.message
        of = f"generation {told.generation_id}" if told.attempt_id is None else f"attempt {told.attempt_id}"
        return f"{told.name} for {of}"


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

    @cached_property
    def _writer(self) -> MessageWriter:
        return MessageWriter(self.app)

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
        kept: list[_Sending] = []
        self._of_thread.kept = kept
        try:
            yield
        finally:
            self._of_thread.kept = None
        if kept:
            self._combiner.do(kept)

    @property
    def _kept(self) -> list[_Sending] | None:
        kept: list[_Sending] | None = getattr(self._of_thread, "kept", None)
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
        task = self.app.current_worker_task
        message = TaskMessage(
            name=name,
            queue=queue,
            attempt_id=None if attempt_id is None else str(attempt_id),
            generation_id=str(generation_id),
            # Read here: another thread may send it.
            traceparent=self._traces.traceparent(),
            parent_id=task.request.id if task else None,
        )
        sending = _Sending(message=message, wait=wait)
        if self._kept is not None:
            self._kept.append(sending)
        else:
            self._combiner.do([sending])

    def _send_group(self, group: Sequence[Sequence[_Sending]]) -> Sequence[None]:
        self._send_all([message for messages in group for message in messages])
        return [None] * len(group)

    def _send_one_by_one(self, messages: Sequence[_Sending]) -> None:
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

    def _send_all(self, sendings: Sequence[_Sending]) -> None:
        """By one pipeline; where it fails, each by itself, since a second copy of a message does nothing."""
        from kombu.exceptions import KombuError
        from redis.exceptions import RedisError

        later = [one for one in sendings if one.wait]
        try:
            with self.app.producer_or_acquire() as producer:
                self._send_now(producer, [one.message for one in sendings if not one.wait])
                with producer.batch(max_size=_PIPELINE):
                    for one in later:
                        self._publish(one, producer=producer)
        except (KombuError, RedisError, OSError) as error:
            log.info("%d messages are sent one by one: %s", len(sendings), error)
            self._send_one_by_one(sendings)

    def _send_now(self, producer: Any, messages: Sequence[TaskMessage]) -> None:
        for first in range(0, len(messages), _PIPELINE):
            with (
                producer.channel.conn_or_acquire() as client,
                client.pipeline(transaction=False) as pipeline,
            ):
                for command in self._writer.commands(messages[first : first + _PIPELINE]):
                    pipeline.execute_command(*command)
                pipeline.execute()

    def _publish(self, sending: _Sending, **options: Any) -> None:
        message = sending.message
        if sending.wait:
            options["countdown"] = sending.wait.total_seconds()
        if message.traceparent is not None:
            options["headers"] = {TRACEPARENT: message.traceparent}
        self.app.send_task(
            message.name,
            args=() if message.attempt_id is None else (message.attempt_id,),
            kwargs={"generation_id": message.generation_id},
            queue=message.queue,
            root_id=message.generation_id,
            parent_id=message.parent_id,
            retry=True,
            retry_policy=_POLICY,
            declare=[],
            **options,
        )
