"""Redis as Celery's broker for less of the main loop; set as `Celery(amqp="tasks.transport:Messages")`.

kombu 5.7 makes a client for every message that it sends, takes or acknowledges alone, and redis-py fills each with a
table of some three hundred answers: a tenth of what an io worker computes. It notes each message that it takes, and
acknowledges it, in transactions of their own, for which the main loop waits: more than another tenth.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import kombu
from celery.app.amqp import AMQP
from kombu.asynchronous import Hub, get_event_loop
from kombu.transport import redis, virtual
from kombu.utils.json import dumps

logger = logging.getLogger(__name__)

#: How long a note of a message that was taken, or is done, may wait for others. A worker that dies meanwhile leaves
#: messages that are given out again after the visibility timeout, and find their row moved on; what it has just taken
#: dies with it, and rescue sends it anew long before that.
NOTES_APART_S: Final = 0.1


class QoS(redis.QoS):
    """Notes what was taken, and what is done, without transactions, and what comes in a moment together.

    What is taken and done within that moment needs no note: most messages are. Of the two keys that a message stands
    in, a server that dies between them keeps one: then the message is given out again or lost, as one is that dies on
    its way to a worker, and rescue sends it anew.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Threads that end a task say so themselves.
        self._lock = threading.Lock()
        self._taken: dict[str, tuple[float, Any]] = {}
        self._settled: list[str] = []
        self._settling_due = 0.0

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        if pipe is not None:
            yield pipe
            return
        with self.channel.conn_or_acquire(client) as found:  # type: ignore[attr-defined]  # not in the stubs
            yield found.pipeline(transaction=False)

    def append(self, message: Any, delivery_tag: str) -> None:
        if (loop := get_event_loop()) is None:  # nobody would come back to it
            super().append(message, delivery_tag)
            return
        virtual.QoS.append(self, message, delivery_tag)
        with self._lock:
            self._taken[delivery_tag] = (time.time(), message)
        self._settle_soon(loop)

    def ack(self, delivery_tag: str) -> None:
        with self._lock:
            untold = self._taken.pop(delivery_tag, None) is not None
        loop = get_event_loop()
        if untold:
            self._quick_ack(delivery_tag)  # type: ignore[attr-defined]  # not in the stubs
        elif loop is None:
            super().ack(delivery_tag)
        else:
            self._quick_ack(delivery_tag)  # type: ignore[attr-defined]  # not in the stubs
            with self._lock:
                self._settled.append(delivery_tag)
            self._settle_soon(loop)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 -- kombu's signature
        if requeue:
            # It goes back from where it is noted.
            self.settle()
            super().reject(delivery_tag, requeue=True)
        else:
            self.ack(delivery_tag)

    def _settle_soon(self, loop: Hub) -> None:
        now = time.monotonic()
        if now >= self._settling_due:
            self._settling_due = now + NOTES_APART_S
            loop.call_later(NOTES_APART_S, self.settle)

    def settle(self) -> None:
        """Tell Redis what was taken and what is done since the last time."""
        # A timer that comes a moment early leaves nothing behind that nobody comes back to.
        self._settling_due = 0.0
        with self._lock:
            taken, self._taken = self._taken, {}
            tags, self._settled = self._settled, []
        if not (taken or tags):
            return
        try:
            with self.pipe_or_acquire() as pipe:
                if taken:
                    pipe.zadd(self.unacked_index_key, {tag: at for tag, (at, _) in taken.items()})
                    pipe.hset(self.unacked_key, mapping={tag: _as_kept(message) for tag, (_, message) in taken.items()})
                if tags:
                    pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags)
                pipe.execute()
        except self._troubles as failure:
            logger.warning(
                "Redis is told later of %d messages that were taken and %d that are done: %s",
                len(taken),
                len(tags),
                failure,
            )
            with self._lock:
                # With the next ones, or when the channel is closed; what is done meanwhile is taken out again.
                self._taken = {**taken, **self._taken}
                self._settled = [*tags, *self._settled]

    @property
    def _troubles(self) -> tuple[type[BaseException], ...]:
        channel: Any = self.channel
        return (*channel.connection_errors, *channel.connection.channel_errors)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """When the channel is closed: what is done must not come back, and what is not must."""
        self.settle()
        super().restore_unacked_once(stderr=stderr)


def _as_kept(message: Any) -> str:
    """A message as kombu keeps it until it is done."""
    info = message.delivery_info
    return dumps([message._raw, info["exchange"], info["routing_key"]])  # noqa: SLF001 -- as kombu's QoS does


class Channel(redis.Channel):
    """Keeps the client that it sends with; a client holds no connection of its own, and threads may share it.

    A message can be written and not sent.
    """

    QoS = QoS

    #: Where set, it takes the commands that would send a message (`tasks/message_templates.py`).
    recorder: Any = None

    _kept: tuple[Any, Any] | None = None

    def basic_publish(self, message: Any, exchange: str, routing_key: str, **options: Any) -> Any:
        if self.recorder is not None:
            options["_publish_batch"] = self.recorder
        return super().basic_publish(message, exchange, routing_key, **options)

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
