"""Ticks on a real Redis, round after round: each of them while it has work, a fifth of them while it has none."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import celery
import pytest
import redis
from sqlalchemy import text

from db.moves import rescue
from db.reads import pending_work
from db.session import Database
from pipeline.operator import heartbeat
from pipeline.resources import Resources
from tasks import names
from tasks.app import make_app
from tasks.tick_schedule import IDLE_FACTOR, RARE_FACTOR, IdleScheduler, schedule_of
from tests.support.books import Books
from tests.support.steps import StepRunner


class Rounds:
    """A scheduler all of whose ticks are due in each round."""

    def __init__(self, resources: Resources, redis_url: str) -> None:
        self.app = make_app(redis_url)
        self.app.conf.beat_schedule = schedule_of({"sandbox": resources.lanes["sandbox"]})
        self._scheduler = IdleScheduler(app=self.app, look=partial(heartbeat.waiting, resources), look_lasts_s=-1.0)
        self._redis = redis.Redis.from_url(redis_url)

    def play(self, rounds: int) -> Counter[str]:
        """How often each task was sent."""
        for _ in range(rounds):
            for entry in self._scheduler.schedule.values():
                self._scheduler.apply_entry(entry, producer=self._scheduler.producer)
        return self._sent()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """A Redis that is full."""
        usual: Any = self._redis.config_get("maxmemory")
        self._redis.config_set("maxmemory", "1")
        try:
            yield
        finally:
            self._redis.config_set("maxmemory", usual["maxmemory"])

    def _sent(self) -> Counter[str]:
        sent = Counter[str]()
        for queue in (names.QUEUE_TICK, names.QUEUE_POLL):
            messages: Any = self._redis.lrange(queue, 0, -1)
            sent.update(json.loads(message)["headers"]["task"] for message in messages)
            self._redis.delete(queue)
        return sent

    def close(self) -> None:
        self._redis.close()
        self.app.close()


@pytest.fixture
def rounds(redis_url: str, runner: StepRunner) -> Iterator[Rounds]:
    made = Rounds(runner.resources, redis_url)
    yield made
    made.close()


ALWAYS = {names.UPLOAD, names.AUDIT}


def test_an_idle_system_sends_few_ticks(rounds: Rounds, books: Books) -> None:
    books.lane()
    sent = rounds.play(RARE_FACTOR)
    assert {task: sent[task] for task in ALWAYS} == dict.fromkeys(ALWAYS, RARE_FACTOR)
    often, rare = {names.ADMIT, names.ACCOUNT}, {names.RESCUE, names.POLL, names.DOUBTS}
    assert {task: sent[task] for task in often} == dict.fromkeys(often, RARE_FACTOR // IDLE_FACTOR)
    assert {task: sent[task] for task in rare} == dict.fromkeys(rare, 1)


def test_what_waits_for_admission_is_looked_at_in_every_round(rounds: Rounds, books: Books) -> None:
    books.lane()
    books.batch(1)
    sent = rounds.play(IDLE_FACTOR)
    assert (sent[names.ADMIT], sent[names.RESCUE], sent[names.POLL]) == (IDLE_FACTOR, 0, 0)


@pytest.mark.parametrize("data", ["{}", '{"prepare": {"routing": {}}}'])
def test_a_generation_that_is_prepared_is_looked_at_in_every_round(rounds: Rounds, books: Books, data: str) -> None:
    books.lane()
    books.batch(1)
    books.sql("UPDATE generations SET state = 'preparing', pipeline_data = CAST(:data AS jsonb)", data=data)
    sent = rounds.play(IDLE_FACTOR)
    assert sent[names.ADMIT] == IDLE_FACTOR


def test_no_table_is_read_whole_to_see_what_waits(books: Books) -> None:
    """A look every second must cost the same with a million generations."""
    with books.database.transaction() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(text(f"EXPLAIN {pending_work._BY_LANE.text}")).scalars().all()
    scanned = {line.partition(" on ")[2].split()[0] for line in plan if "Seq Scan on" in line}
    assert scanned <= {"lanes"}, plan


def test_a_job_at_its_provider_is_polled_and_rescued_in_every_round(rounds: Rounds, books: Books) -> None:
    books.generating()
    sent = rounds.play(IDLE_FACTOR)
    assert (sent[names.ADMIT], sent[names.RESCUE], sent[names.POLL]) == (1, IDLE_FACTOR, IDLE_FACTOR)


def test_a_doubt_is_looked_into_in_every_round(rounds: Rounds, books: Books) -> None:
    books.submitting()
    books.lapse()
    with books.database.transaction() as connection:
        assert rescue.doubt_the_silent(connection, call_total=timedelta(0))
    sent = rounds.play(IDLE_FACTOR)
    assert (sent[names.DOUBTS], sent[names.POLL]) == (IDLE_FACTOR, 0)


def test_every_tick_is_sent_while_postgres_is_away(redis_url: str, runner: StepRunner) -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/nothing")
    lost = Rounds(replace(runner.resources, database=nowhere), redis_url)
    sent = lost.play(2)
    lost.close()
    nowhere.close()
    assert set(sent.values()) == {2}


def test_every_tick_is_sent_where_a_look_fails(
    redis_url: str, runner: StepRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that ends in an error of no known kind must not end beat."""

    def broken(_: object) -> None:
        raise ValueError("not a state")

    monkeypatch.setattr(pending_work, "read", broken)
    rounds = Rounds(runner.resources, redis_url)
    sent = rounds.play(2)
    rounds.close()
    assert set(sent.values()) == {2}


def test_a_broker_that_refuses_is_named_once_and_once_when_it_takes_ticks_again(
    rounds: Rounds, books: Books, caplog: pytest.LogCaptureFixture
) -> None:
    books.lane()
    with rounds.refusing():
        assert rounds.play(3) == {}
    assert rounds.play(1)[names.UPLOAD] == 1
    said = [record for record in caplog.records if record.name in {"tasks.tick_schedule", "celery.beat"}]
    assert ["takes no ticks" in said[0].message, "takes ticks again" in said[1].message, len(said)] == [True, True, 2]
    assert "maxmemory" in said[0].message
    assert not any(record.exc_info for record in said)


def test_an_idle_beat_does_not_look_again_and_again_before_a_tick_is_due() -> None:
    """Celery makes some eighty rounds for each tick (`findings/celery-beat-spins-before-each-tick.sh`)."""
    app = celery.Celery(broker="memory://")
    app.conf.beat_schedule = {"tick": {"task": names.ADMIT, "schedule": 0.2}}
    rounds = 0

    def count() -> None:
        nonlocal rounds
        rounds += 1

    idle = IdleScheduler(
        app=app,
        look=lambda: pending_work.PendingWork(queued=False, live=False, generating=frozenset(), doubted=frozenset()),
        every_round=count,
    )
    due = 0
    while due < IDLE_FACTOR - 1:  # the next one would be sent
        wait_s = idle.tick()
        due = idle._left_out["tick"]
        time.sleep(wait_s or 0.0)
    assert rounds <= 4 * due
