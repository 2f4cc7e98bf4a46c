"""Send a task after the commit that made it lawful.

A message is a hint: one that cannot be sent now is sent again by rescue.
"""

import logging
from datetime import timedelta
from functools import cached_property
from typing import Any

import celery

from domain.errors import ServiceMissing
from domain.ids import AttemptId, GenerationId
from domain.preparation import Place
from domain.states import AttemptState
from tasks import names
from tasks.app import make_app

log = logging.getLogger(__name__)

_POLICY = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5}


class CeleryDispatch:
    """Sends by wire name; it needs no task body, so a producer imports none.

    The application is made when it is first needed: most commands only look, and Celery takes a quarter of a second.
    """

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url

    @cached_property
    def app(self) -> "celery.Celery":
        return make_app(self._broker_url)

    def close(self) -> None:
        """Give the connections back, if there were any."""
        if "app" in vars(self):
            self.app.close()

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
        from kombu.exceptions import OperationalError

        generation = str(generation_id)
        options: dict[str, Any] = {"countdown": wait.total_seconds()} if wait else {}
        try:
            self.app.send_task(
                name,
                args=() if attempt_id is None else (str(attempt_id),),
                # As a keyword, so that Flower's search by `kwargs:generation_id=...` shows a prompt's whole story.
                kwargs={"generation_id": generation},
                queue=queue,
                root_id=generation,
                retry=True,
                retry_policy=_POLICY,
                **options,
            )
        except (OperationalError, ConnectionError, TimeoutError) as error:
            of = f"generation {generation}" if attempt_id is None else f"attempt {attempt_id}"
            log.warning("%s for %s could not be sent now and will be sent again: %s", name, of, error)
