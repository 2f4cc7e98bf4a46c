"""A consumer lets go of a connection that kombu cannot close any more."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection

from tasks.consumer import LaneConsumer

_GONE = AttributeError("'NoneType' object has no attribute 'hostname'")


class _Broken(Connection):  # type: ignore[misc]  # kombu has no type information, so its classes are Any
    """As kombu 5.7 leaves a connection to Redis that broke off in a close: its transport knows no address any more."""

    def collect(self, socket_timeout: Any = None) -> None:
        pass

    def close(self) -> None:
        raise _GONE


@pytest.fixture
def consumer() -> Any:
    """Without the worker around it: only what Celery reads when a connection is lost."""
    made = LaneConsumer.__new__(LaneConsumer)
    conf = SimpleNamespace(
        worker_cancel_long_running_tasks_on_connection_loss=False, worker_enable_prefetch_count_reduction=True
    )
    made.app, made.pool, made.hub = SimpleNamespace(conf=conf), SimpleNamespace(num_processes=4), None
    made.prefetch_multiplier, made.qos_global, made.max_prefetch = 1, None, 4
    made.connection = _Broken("memory://")
    return made


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_a_lost_connection_that_cannot_be_closed_is_let_go(consumer: Any) -> None:
    consumer.on_connection_error_after_connected(ConnectionError("lost"))
    assert consumer.connection is None


def test_a_message_that_cannot_be_settled_any_more_ends_nobody(consumer: Any, caplog: pytest.LogCaptureFixture) -> None:
    soon: list[Callable[[], None]] = []
    consumer.hub = SimpleNamespace(call_soon=soon.append)

    def settle(*_: Any) -> None:
        raise _GONE

    consumer.call_soon_ack(settle)
    soon[0]()
    assert "could not settle a message" in caplog.text
