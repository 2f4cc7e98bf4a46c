"""Messages sent together: the same, in the same order, in one round trip, and none lost by a dead connection."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from db.ids import new_id
from domain.ids import AttemptId, GenerationId
from tasks import names
from tasks.dispatch import CeleryDispatch

MANY = 20


class Sending:
    """A dispatcher, and the queue that it sends to."""

    def __init__(self, redis_url: str) -> None:
        self.dispatch = CeleryDispatch(redis_url)
        self.redis = redis.Redis.from_url(redis_url)

    def send(self) -> AttemptId:
        attempt_id = AttemptId(new_id())
        self.dispatch.collect(attempt_id=attempt_id, generation_id=GenerationId(new_id()))
        return attempt_id

    def waiting(self) -> list[Any]:
        """The messages, oldest first."""
        found: Any = self.redis.lrange(names.QUEUE_COLLECT, 0, -1)
        return [json.loads(each) for each in reversed(found)]

    def attempts(self) -> list[str]:
        return [each["headers"]["argsrepr"].split("'")[1] for each in self.waiting()]


@pytest.fixture
def sending(redis_url: str) -> Iterator[Sending]:
    made = Sending(redis_url)
    yield made
    made.redis.close()
    made.dispatch.close()


def test_messages_sent_together_leave_at_the_end_in_their_order(sending: Sending) -> None:
    with sending.dispatch.together():
        wanted = [str(sending.send()) for _ in range(MANY)]
        assert sending.waiting() == []
    assert sending.attempts() == wanted


def test_they_are_the_messages_that_would_have_been_sent_one_by_one(sending: Sending) -> None:
    sending.send()
    with sending.dispatch.together():
        sending.send()
        sending.send()
    alone, *together = sending.waiting()
    for each in together:
        assert each.keys() == alone.keys()
        assert each["headers"].keys() == alone["headers"].keys()
        assert each["properties"].keys() == alone["properties"].keys()


def test_they_need_one_round_trip(sending: Sending) -> None:
    sending.send()  # the connection and its greeting
    before: Any = sending.redis.info("stats")
    with sending.dispatch.together():
        for _ in range(MANY):
            sending.send()
    after: Any = sending.redis.info("stats")
    # One read of a socket by Redis each: the pipeline, perhaps in two pieces, and this question.
    assert after["total_reads_processed"] - before["total_reads_processed"] < MANY / 2


def test_a_block_in_a_block_sends_with_the_outer_one(sending: Sending) -> None:
    with sending.dispatch.together():
        with sending.dispatch.together():
            sending.send()
        assert sending.waiting() == []
    assert len(sending.waiting()) == 1


def test_a_block_that_fails_sends_nothing(sending: Sending) -> None:
    def fail() -> None:
        with sending.dispatch.together():
            sending.send()
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        fail()
    assert sending.waiting() == []


def test_a_connection_that_died_meanwhile_loses_no_message(sending: Sending) -> None:
    sending.send()
    with sending.dispatch.together():
        wanted = {str(sending.send()) for _ in range(MANY)}
        sending.redis.client_kill_filter(_type="normal", skipme=True)
    assert wanted <= set(sending.attempts())


def test_without_redis_the_block_ends_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    dispatch = CeleryDispatch("redis://127.0.0.1:1/0")
    with dispatch.together():
        for _ in range(2):
            dispatch.collect(attempt_id=AttemptId(new_id()), generation_id=GenerationId(new_id()))
    assert sum("will be sent again" in record.message for record in caplog.records) == 2
    dispatch.close()


@contextmanager
def _nobody_at_home() -> Iterator[tuple[str, list[str]]]:
    """A Redis that hangs up on everybody, and who has called."""
    callers: list[str] = []

    class HangsUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            callers.append(str(self.client_address))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), HangsUp) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0", callers
        server.shutdown()
        thread.join()


def test_while_redis_is_away_one_message_is_tried_for_all(caplog: pytest.LogCaptureFixture) -> None:
    """Half a second for each of some hundred would be a minute in which no thread of the process can go on."""
    with _nobody_at_home() as (url, callers):
        tried = []
        for number in (1, MANY):
            callers.clear()
            dispatch = CeleryDispatch(url)
            with dispatch.together():
                for _ in range(number):
                    dispatch.collect(attempt_id=AttemptId(new_id()), generation_id=GenerationId(new_id()))
            dispatch.close()
            tried.append(len(callers))
    assert tried[0] == tried[1] > 0
    assert sum("will be sent again" in record.message for record in caplog.records) == 1 + MANY
