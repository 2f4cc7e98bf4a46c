"""A channel of the broker sends with one client, and events leave in groups."""

from types import SimpleNamespace
from typing import Any

from tasks.app import make_app
from tasks.consumer import LaneConsumer
from tasks.transport import Channel


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
