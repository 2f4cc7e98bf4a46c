"""A channel of the broker sends with one client, and events leave in groups."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu.asynchronous import Hub, get_event_loop, set_event_loop
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


@pytest.fixture
def channel(redis_url: str) -> Iterator[Any]:
    """A channel whose worker has a loop, which never turns here."""
    app = make_app(redis_url)
    before = set_event_loop(Hub(timer=Timer()))
    try:
        with app.connection_for_write() as connection:
            yield connection.default_channel
    finally:
        set_event_loop(before)
        app.close()


def _noted(channel: Any) -> list[bytes]:
    """What Redis keeps until it is done."""
    kept = sorted(channel.client.hkeys(channel.unacked_key))
    assert kept == sorted(channel.client.zrange(channel.unacked_index_key, 0, -1))
    return kept


def test_what_is_taken_and_done_in_a_moment_is_never_noted(channel: Any) -> None:
    for number in range(3):
        channel.qos.append(_message(), str(number))
    for number in range(2):
        channel.qos.ack(str(number))
    assert _noted(channel) == [], "not yet"
    assert len(get_event_loop().timer) == 1, "one departure for all"
    channel.qos.settle()
    assert _noted(channel) == [b"2"]


def test_what_is_done_later_is_taken_off_together(channel: Any) -> None:
    for number in range(3):
        channel.qos.append(_message(), str(number))
    channel.qos.settle()
    assert _noted(channel) == [b"0", b"1", b"2"]
    channel.qos.ack("0")
    channel.qos.reject("1")
    assert _noted(channel) == [b"0", b"1", b"2"], "not yet"
    channel.qos.settle()
    assert _noted(channel) == [b"2"]


@pytest.mark.parametrize("noted", [True, False])
def test_what_is_sent_back_is_in_its_queue_again(channel: Any, noted: bool) -> None:  # noqa: FBT001 -- a case
    channel.qos.append(_message(), "one")
    if noted:
        channel.qos.settle()
    channel.qos.reject("one", requeue=True)
    assert channel.client.llen("elsewhere") == 1
    assert _noted(channel) == []


def test_a_channel_that_is_closed_leaves_nothing_that_is_done_and_sends_back_the_rest(
    channel: Any, redis_url: str
) -> None:
    for number in range(3):
        channel.qos.append(_message(), str(number))
    channel.qos.settle()
    channel.qos.ack("0")
    channel.qos.append(_message(), "3")
    channel.qos.append(_message(), "4")
    channel.qos.ack("4")
    channel.close()
    with redis.Redis.from_url(redis_url) as client:
        assert client.hlen("unacked") == 0
        assert client.llen("elsewhere") == 3, "those that nobody has done"


def test_a_message_that_dies_with_its_worker_is_given_out_again_once_it_is_noted(channel: Any) -> None:
    channel.qos.append(_message(), "one")
    channel.qos.settle()
    channel.visibility_timeout = 0
    channel.qos.restore_visible(num=10, interval=1)
    assert channel.client.llen("elsewhere") == 1
    channel.qos.ack("one")


@pytest.mark.parametrize("trouble", [exceptions.ConnectionError("gone"), exceptions.ResponseError("out of memory")])
def test_what_redis_would_not_take_it_is_told_with_the_next(channel: Any, trouble: Exception) -> None:
    channel.qos.append(_message(), "one")
    channel.qos.settle()
    channel.qos.ack("one")
    channel.qos.append(_message(), "two")
    channel.qos.append(_message(), "three")

    def fail() -> Any:
        raise trouble

    channel.qos.pipe_or_acquire = fail
    channel.qos.settle()
    del channel.qos.pipe_or_acquire
    channel.qos.ack("three")
    assert _noted(channel) == [b"one"]
    channel.qos.settle()
    assert _noted(channel) == [b"two"]


def test_what_is_done_when_the_loop_has_ended_is_not_noted_afterwards(channel: Any) -> None:
    """As in a soft shutdown, where tasks end after it."""
    channel.qos.append(_message(), "one")
    channel.qos.append(_message(), "two")
    loop = set_event_loop(None)
    channel.qos.ack("one")
    set_event_loop(loop)
    channel.qos.settle()
    assert _noted(channel) == [b"two"]


def _message() -> Any:
    info = {"exchange": "", "routing_key": "elsewhere"}
    return SimpleNamespace(delivery_info=info, _raw={"body": "", "headers": {}, "properties": {"delivery_info": info}})


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
            cluster.until(lambda: len(succeeded) == 5)
            receiver.should_stop = True
            thread.join()
    finally:
        cluster.close()
