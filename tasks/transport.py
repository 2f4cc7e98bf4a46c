"""Redis as Celery's broker, with one client for each channel; set as `Celery(amqp="tasks.transport:Messages")`.

kombu 5.7 makes a client for every message that it sends, takes or acknowledges alone, and redis-py fills each with a
table of some three hundred answers: a tenth of what an io worker computes.
"""

from typing import Any

import kombu
from celery.app.amqp import AMQP
from kombu.transport import redis


class Channel(redis.Channel):
    """Keeps the client that it sends with; a client holds no connection of its own, and threads may share it."""

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
