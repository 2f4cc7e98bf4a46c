"""Rescue on a real queue: what merely waits is sent once, and what is missing in the queue is sent again."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from pipeline.attempts import rescue
from pipeline.resources import Resources
from tasks import names
from tasks.dispatch import CeleryDispatch
from tests.support.books import Books
from tests.support.steps import StepRunner

WAITING = 5


class Queue:
    """Attempts that wait for admission's tasks to be taken, by nobody, and the queue with their messages."""

    def __init__(self, resources: Resources, redis_url: str) -> None:
        self.dispatch = CeleryDispatch(redis_url)
        self.resources = replace(resources, dispatch=self.dispatch)
        self.redis = redis.Redis.from_url(redis_url)
        self.name = names.submit_queue("sandbox")

    def length(self) -> Any:
        return self.redis.llen(self.name)


@pytest.fixture
def queue(runner: StepRunner, books: Books, redis_url: str) -> Iterator[Queue]:
    made = Queue(runner.resources, redis_url)
    books.lane()
    books.batch(WAITING)
    for one in books.admit():
        made.dispatch.submit(lane=one.lane, attempt_id=one.attempt_id, generation_id=one.generation_id)
    yield made
    made.redis.close()
    made.dispatch.close()


def test_a_queue_that_nobody_empties_does_not_grow(queue: Queue) -> None:
    assert [rescue.take_over(queue.resources) for _ in range(3)] == [0, 0, 0]
    assert queue.length() == WAITING


def test_after_redis_forgot_everything_all_of_it_is_sent_again_once(queue: Queue) -> None:
    queue.redis.delete(queue.name)
    assert [rescue.take_over(queue.resources) for _ in range(3)] == [WAITING, 0, 0]
    assert queue.length() == WAITING


def test_what_redis_forgot_is_sent_again_although_newer_messages_wait(queue: Queue, books: Books) -> None:
    queue.redis.delete(queue.name)
    books.batch(2)
    for one in books.admit():
        queue.dispatch.submit(lane=one.lane, attempt_id=one.attempt_id, generation_id=one.generation_id)
    assert [rescue.take_over(queue.resources) for _ in range(2)] == [WAITING, 0]
    assert queue.length() == WAITING + 2


def test_one_lost_message_is_one_message_more(queue: Queue) -> None:
    queue.redis.rpop(queue.name)
    assert [rescue.take_over(queue.resources) for _ in range(2)] == [1, 0]
    assert queue.length() == WAITING


@pytest.mark.parametrize(("waited_s", "published"), [(40, 0), (60, WAITING)])
def test_what_a_worker_holds_until_a_slow_lane_lets_it_go_is_not_lost(
    queue: Queue, books: Books, waited_s: int, published: int
) -> None:
    """Five at nine a minute wait for 33 s at most; each copy would take a token, and the next attempt wait for that."""
    books.sql("UPDATE lanes SET rate_limit = '9/m'")
    queue.redis.delete(queue.name)  # as where a worker has taken all of them
    books.sql(f"UPDATE attempts SET published_at = now() - interval '{waited_s} seconds'")
    assert rescue.take_over(queue.resources) == published
