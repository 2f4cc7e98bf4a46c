"""Messages sent together: the same, in the same order, in one round trip, and none lost by a dead connection."""

import base64
import json
import re
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from db.ids import new_id
from domain.ids import AttemptId, GenerationId
from domain.preparation import Place
from pipeline.process.traces import TRACEPARENT, Untraced
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


class _Traced(Untraced):
    def traceparent(self) -> str | None:
        return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _as_read(payload: bytes, events: bool = False) -> Any:  # noqa: FBT001, FBT002 -- a case
    """A payload with the ids numbered in the order in which they come, and without times."""
    envelope = json.loads(payload)
    body = json.loads(base64.b64decode(envelope["body"]))
    if events:
        (body,) = body if isinstance(body, list) else [body]
        assert abs(body.pop("timestamp") - time.time()) < 60
        assert isinstance(body.pop("clock"), int)
    numbers: dict[str, str] = {}
    written = json.dumps([{**envelope, "body": None}, body])
    return json.loads(_UUID.sub(lambda found: numbers.setdefault(found[0], f"id {len(numbers)}"), written))


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("submit", names.submit("ttapi"), {"lane": "ttapi"}),
    ("collect", names.COLLECT, {}),
    ("validate", names.VALIDATE, {}),
    ("prepare", names.PREPARE, {"place": Place.GPU}),
]


@pytest.mark.parametrize("traces", [Untraced(), _Traced()], ids=["untraced", "traced"])
@pytest.mark.parametrize(("method", "task", "options"), _KINDS, ids=[kind[0] for kind in _KINDS])
def test_a_message_and_its_event_are_those_that_celery_sends(
    redis_url: str, method: str, task: str, options: dict[str, Any], traces: Untraced
) -> None:
    dispatch = CeleryDispatch(redis_url, traces=traces)
    generation, attempt = GenerationId(new_id()), {"attempt_id": AttemptId(new_id())} if method != "prepare" else {}
    with redis.Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as heard:
        heard.psubscribe("*celeryev*")
        heard.get_message(timeout=5)
        getattr(dispatch, method)(generation_id=generation, **attempt, **options)
        (queue,) = [key for key in client.keys() if client.type(key) == b"list"]  # noqa: SIM118 -- a command
        dispatch.app.send_task(
            task,
            args=tuple(str(one) for one in attempt.values()),
            kwargs={"generation_id": str(generation)},
            queue=queue.decode(),
            root_id=str(generation),
            headers={TRACEPARENT: found} if (found := traces.traceparent()) else None,
            declare=[],
        )
        celerys, ours = client.lrange(queue, 0, -1)
        events = [heard.get_message(timeout=5) for _ in range(2)]
    assert _as_read(ours) == _as_read(celerys)
    assert _as_read(events[0]["data"], events=True) == _as_read(events[1]["data"], events=True)
    assert events[0]["channel"] == events[1]["channel"]
    dispatch.close()


def test_every_message_has_ids_of_its_own(sending: Sending) -> None:
    with sending.dispatch.together():
        for _ in range(MANY):
            sending.send()
    waiting = sending.waiting()
    for key in (lambda one: one["headers"]["id"], lambda one: one["properties"]["delivery_tag"]):
        assert len({key(each) for each in waiting}) == MANY
    assert all(each["headers"]["id"] == each["properties"]["correlation_id"] for each in waiting)
    assert "gap:" not in json.dumps([*waiting, *(base64.b64decode(each["body"]).decode() for each in waiting)])


def test_a_message_that_a_task_sends_has_it_as_its_parent(sending: Sending) -> None:
    """Although another thread sends it, and another task has sent the first of its kind."""

    @sending.dispatch.app.task(shared=False)
    def send() -> None:
        sending.send()

    for parent in ("one", "two"):
        send.apply(task_id=parent)
    sending.send()
    assert [each["headers"]["parent_id"] for each in sending.waiting()] == ["one", "two", None]


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
