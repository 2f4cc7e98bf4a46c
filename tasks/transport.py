"""Redis as Celery's broker for less of the main loop; set as `Celery(amqp="tasks.transport:Messages")`.

kombu 5.7 makes a client for every message that it sends, takes or acknowledges alone, and redis-py fills each with a
table of some three hundred answers: a tenth of what an io worker computes. It notes and acknowledges each message in a
transaction of its own: another tenth.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import kombu
from celery.app.amqp import AMQP
from kombu.asynchronous import get_event_loop
from kombu.transport import redis

logger = logging.getLogger(__name__)

#: How long an acknowledgement may wait for others. A worker that is killed meanwhile leaves messages that are given out
#: again after the visibility timeout, and find their row moved on.
ACKS_APART_S: Final = 0.1


class QoS(redis.QoS):
    """Notes what was taken, and acknowledges it, without transactions, and what is done in a moment together.

    Of the two keys that a message stands in, a server that dies between them keeps one: then the message is given out
    again or lost, as one is that dies on its way to a worker, and rescue sends it anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settled: list[str] = []
        self._settling_due = 0.0

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        if pipe is not None:
            yield pipe
            return
        with self.channel.conn_or_acquire(client) as found:  # type: ignore[attr-defined]  # not in the stubs
            yield found.pipeline(transaction=False)

    def ack(self, delivery_tag: str) -> None:
        loop = get_event_loop()
        if loop is None:  # nobody would come back to it
            super().ack(delivery_tag)
            return
        self._quick_ack(delivery_tag)  # type: ignore[attr-defined]  # not in the stubs
        self._settled.append(delivery_tag)
        now = time.monotonic()
        if now >= self._settling_due:
            self._settling_due = now + ACKS_APART_S
            loop.call_later(ACKS_APART_S, self.settle)

    def settle(self) -> None:
        """Remove what was acknowledged since the last time from Redis."""
        # A timer that comes a moment early leaves nothing behind that nobody comes back to.
        self._settling_due = 0.0
        tags, self._settled = self._settled, []
        if not tags:
            return
        try:
            with self.pipe_or_acquire() as pipe:
                pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()
        except self.channel.connection_errors as failure:  # type: ignore[attr-defined]  # not in the stubs
            logger.warning("%d messages that are done will be given out again: %s", len(tags), failure)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """When the channel is closed: what is done must not come back, and what is not must."""
        self.settle()
        super().restore_unacked_once(stderr=stderr)


class Channel(redis.Channel):
    """Keeps the client that it sends with; a client holds no connection of its own, and threads may share it."""

    QoS = QoS

    _kept: tuple[Any, Any] | None = None

    def _create_client(self, asynchronous: bool = False) -> Any:  # noqa: FBT001, FBT002 -- the signature is kombu's
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # not in the stubs
        pool, kept = self.pool, self._kept
        if kept is None or kept[0] is not pool:
            # A channel that lost its broker has a new pool.
            self._kept = kept = (pool, super()._create_client())  # type: ignore[misc]  # not in the stubs
        return kept[1]


class Transport(redis.Transport):
    """kombu's own but for the channel."""

    Channel = Channel


class Connection(kombu.Connection):
    """Chosen here rather than by `broker_transport`, which would stand in every address that a worker shows."""

    def get_transport_cls(self) -> Any:
        found = super().get_transport_cls()
        return Transport if found is redis.Transport else found


class Messages(AMQP):
    """What an application opens its connections by."""

    Connection = Connection
