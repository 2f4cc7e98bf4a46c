"""A channel of the broker sends with one client, and events leave in groups."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tasks.app import make_app
from tasks.consumer import LaneConsumer
from tasks.transport import Channel
from tests.support.worker_cluster import OTHER, Cluster


def test_a_channel_sends_with_one_client_until_its_pool_is_another(redis_url: str) -> None:
    app = make_app(redis_url)
    with app.connection_for_write() as connection:
        assert connection.as_uri().startswith("redis://"), "a worker shows what it is connected to"
        channel = connection.default_channel
        assert isinstance(channel, Channel)
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
            first.set("said", "by the first")
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.get("said") == b"by the first"
        # The loop waits on sockets of its own.
        assert channel.client is not third
    app.close()


def test_events_of_a_moment_ask_for_one_departure() -> None:
    consumer: Any = LaneConsumer.__new__(LaneConsumer)
    planned: list[tuple[Any, ...]] = []
    consumer._events_due = 0.0
    consumer._flush_events = object()
    consumer.timer = SimpleNamespace(call_after=object())
    consumer.hub = SimpleNamespace(call_soon=lambda *what: planned.append(what))
    for _ in range(30):
        consumer.on_send_event_buffered()
    assert [what[0] for what in planned] == [consumer.timer.call_after]
    consumer._events_due = 0.0
    consumer.on_send_event_buffered()
    assert len(planned) == 2, "those that come after it ask for the next"


def test_a_worker_that_is_stopped_sends_the_events_of_its_last_moment(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    succeeded: list[str] = []
    listening = threading.Event()
    handlers = {
        "task-succeeded": lambda event: succeeded.append(event["uuid"]),
        "worker-heartbeat": lambda _: listening.set(),
    }

    try:
        cluster.start_worker("one")
        cluster.app.control.enable_events()
        with cluster.app.connection_for_read() as connection:
            receiver = cluster.app.events.Receiver(connection, handlers=handlers)
            thread = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=60, wakeup=False))
            thread.start()
            assert listening.wait(30)
            for number in range(5):
                cluster.other.delay(number)
            cluster.until(lambda: len(cluster.numbers(OTHER)) == 5)
            assert cluster.stop_worker("one") == 0
            cluster.until(lambda: len(succeeded) == 5, deadline_s=10)
            receiver.should_stop = True
            thread.join()
    finally:
        cluster.close()
