"""A channel of the broker sends with one client, and events leave in groups."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kombu.asynchronous import Hub, set_event_loop
from kombu.asynchronous.timer import Timer
from redis import exceptions

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


def test_what_is_done_in_a_moment_is_acknowledged_together(redis_url: str) -> None:
    app = make_app(redis_url)
    loop = Hub(timer=Timer())
    before = set_event_loop(loop)
    try:
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            for number in range(3):
                channel.qos.append(_message(), str(number))
            for number in range(2):
                channel.qos.ack(str(number))
            assert channel.client.hlen(channel.unacked_key) == 3, "not yet"
            assert len(loop.timer) == 1, "one departure for both"
            channel.qos.settle()
            assert channel.client.hkeys(channel.unacked_key) == [b"2"]
            assert channel.client.zrange(channel.unacked_index_key, 0, -1) == [b"2"]
            channel.qos.ack("2")
        with app.connection_for_write() as connection:
            channel = connection.default_channel
            assert channel.client.hlen(channel.unacked_key) == 0, "a channel that is closed leaves nothing that is done"
            assert channel.client.llen("elsewhere") == 0
    finally:
        set_event_loop(before)
        app.close()


def test_a_broker_that_is_lost_costs_acknowledgements_and_no_worker(redis_url: str) -> None:
    app = make_app(redis_url)
    before = set_event_loop(Hub(timer=Timer()))
    try:
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            channel.qos.append(_message(), "one")
            channel.qos.ack("one")
            channel.qos.pipe_or_acquire = _lost
            channel.qos.settle()
            del channel.qos.pipe_or_acquire
            assert channel.client.hkeys(channel.unacked_key) == [b"one"], "it is given out again"
            channel.client.delete(channel.unacked_key, channel.unacked_index_key)
    finally:
        set_event_loop(before)
        app.close()


def _message() -> Any:
    info = {"exchange": "", "routing_key": "elsewhere"}
    return SimpleNamespace(delivery_info=info, _raw={"body": "", "headers": {}, "properties": {"delivery_info": info}})


def _lost() -> Any:
    raise exceptions.ConnectionError("the broker is gone")


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
