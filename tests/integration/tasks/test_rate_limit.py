"""The arithmetic of the tokens on a real Redis, with time as an argument."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.embedded.binaries import redis_server
from tasks.rate_limit import (
    Held,
    LimitReader,
    SharedBucket,
    TokenBucket,
    ensure_fresh_token,
    made_up_us,
    open_token_store,
    period_us,
)

START_US = 1_800_000_000_000_000
LIMITS = {"20/s": (20, 1), "3/s": (3, 1), "600/m": (600, 60), "6/m": (6, 60), "100/h": (100, 3600)}
"""Each limit with what it allows in how many seconds."""


class RedisServer:
    """A Redis of our own without persistence; it ends when the test run ends, however that ends."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        # The shell waits for the end of its input, which comes when this process is gone, and stops the server.
        script = '"$0" "$@" >/dev/null & cat; kill $!; wait'
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._process = subprocess.Popen(["sh", "-c", script, str(redis_server()), *options], stdin=subprocess.PIPE)
        self.client = open_token_store(self.url)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        self.client.close()
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.client
    server.stop()


def bucket_of(store: redis.Redis) -> TokenBucket:
    return TokenBucket(store, f"lane-{uuid4()}")


def period_of(limit: str) -> int:
    period = period_us(limit)
    assert period is not None
    return period


@settings(max_examples=60, deadline=None)
@given(
    limit=st.sampled_from(sorted(LIMITS)),
    workers=st.integers(1, 3),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=120),
)
def test_no_closed_window_ever_holds_more_tokens_than_the_limit(
    store: redis.Redis, limit: str, workers: int, pauses: list[float]
) -> None:
    period, made_up, lane = period_of(limit), made_up_us(limit), f"lane-{uuid4()}"
    buckets = [TokenBucket(store, lane) for _ in range(workers)]
    now_us, taken_us = START_US, list[int]()
    for turn, pause in enumerate(pauses):
        now_us += int(pause * period)
        if buckets[turn % workers].take(period, made_up=made_up, now_us=now_us) == 0:
            taken_us.append(now_us)
    allowed, window_s = LIMITS[limit]
    starts = zip(taken_us, taken_us[allowed:], strict=False)
    assert all(later - earlier > window_s * 1_000_000 for earlier, later in starts)


@settings(max_examples=60, deadline=None)
@given(limit=st.sampled_from(sorted(LIMITS)), early=st.floats(0, 0.999))
def test_the_wait_that_is_told_is_enough_and_not_too_long(store: redis.Redis, limit: str, early: float) -> None:
    period, bucket = period_of(limit), bucket_of(store)
    assert bucket.take(period, now_us=START_US) == 0
    now_us = START_US + int(early * period)
    wait_us = round(bucket.take(period, now_us=now_us) * 1_000_000)
    assert bucket.take(period, now_us=now_us + wait_us - 1) > 0
    assert bucket.take(period, now_us=now_us + wait_us) == 0


def test_a_caller_that_waits_as_told_gets_98_percent_of_the_limit(store: redis.Redis) -> None:
    period, bucket = period_of("20/s"), bucket_of(store)
    now_us, taken = START_US, 0
    while now_us < START_US + 60_000_000:
        wait_s = bucket.take(period, now_us=now_us)
        taken += wait_s == 0
        now_us += round(wait_s * 1_000_000)
    assert taken == 1176


@pytest.mark.parametrize(("limit", "late_us"), [("600/m", 20_000), ("600/m", 50_000), ("20/s", 9_000)])
def test_a_caller_that_is_a_little_late_every_time_loses_nothing(store: redis.Redis, limit: str, late_us: int) -> None:
    period, made_up, bucket = period_of(limit), made_up_us(limit), bucket_of(store)
    now_us, taken = START_US, 0
    while now_us < START_US + 60_000_000:
        wait_s = bucket.take(period, made_up=made_up, now_us=now_us)
        taken += wait_s == 0
        now_us += round(wait_s * 1_000_000) + late_us * (wait_s > 0)
    allowed, window_s = LIMITS[limit]
    assert 0.975 * allowed * 60 / window_s <= taken <= allowed * 60 / window_s


@pytest.mark.parametrize("limit", sorted(LIMITS))
def test_an_idle_lane_saves_no_tokens_up(store: redis.Redis, limit: str) -> None:
    period, made_up, bucket = period_of(limit), made_up_us(limit), bucket_of(store)
    idle_us = START_US + 3_600_000_000
    assert bucket.take(period, made_up=made_up, now_us=START_US) == 0
    assert bucket.take(period, made_up=made_up, now_us=idle_us) == 0
    assert bucket.take(period, made_up=made_up, now_us=idle_us + period // 2 - 1) > 0


def test_lanes_do_not_share_their_tokens(store: redis.Redis) -> None:
    period = period_of("6/m")
    assert [bucket_of(store).take(period, now_us=START_US) for _ in range(5)] == [0, 0, 0, 0, 0]


def test_a_changed_limit_holds_from_the_next_token_on(store: redis.Redis) -> None:
    slow, fast, bucket = period_of("6/m"), period_of("20/s"), bucket_of(store)
    assert bucket.take(slow, now_us=START_US) == 0
    assert bucket.take(slow, now_us=START_US + 60_000) > 10
    assert bucket.take(fast, now_us=START_US + 60_000) == 0
    assert bucket.take(slow, now_us=START_US + 120_000) > 10


def test_a_clock_set_back_costs_one_period_and_not_the_step(store: redis.Redis) -> None:
    period, bucket = period_of("20/s"), bucket_of(store)
    assert bucket.take(period, now_us=START_US) == 0
    back_us = START_US - 3_600_000_000
    assert bucket.take(period, now_us=back_us) * 1_000_000 == pytest.approx(period)
    assert bucket.take(period, now_us=back_us + period - 1) > 0
    assert bucket.take(period, now_us=back_us + period) == 0


def test_the_time_of_redis_counts_and_the_key_goes_away_by_itself(store: redis.Redis) -> None:
    bucket = bucket_of(store)
    assert bucket.take(period_of("6/m")) == 0
    assert 9 < bucket.take(period_of("6/m")) < 10.3
    ttl_s = store.ttl(f"likeness:token:{bucket.lane}")
    assert isinstance(ttl_s, int)
    assert 60 < ttl_s <= 71


def test_a_stale_token_is_replaced_by_one_from_the_shared_bucket(store: redis.Redis) -> None:
    lane, stale = f"lane-{uuid4()}", time.monotonic() - 1.1
    assert ensure_fresh_token(store, lane, limit="6/m", taken_at=stale) == 0
    assert ensure_fresh_token(store, lane, limit="6/m", taken_at=stale) > 9
    assert ensure_fresh_token(store, lane, limit="6/m", taken_at=None) > 9


def test_without_redis_nothing_is_let_through_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    caplog.set_level("INFO", logger="tasks.rate_limit")
    bucket = SharedBucket(TokenBucket(server.client, "ttapi"), limits=LimitReader(lambda lane: "1000/s"))
    deadline = time.monotonic() + 30
    while bucket.take() != 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    server.stop()
    told = list[float]()
    while told.count(1.0) < 3:  # a limit that has become a second old is read again in between
        assert time.monotonic() < deadline
        told.append(bucket.take())
        time.sleep(0.01)
    assert 0.0 not in told
    assert [record.message.split(",")[0] for record in caplog.records] == ["Redis does not answer"]


def test_a_message_is_a_copy_of_one_about_the_same_attempt_alone() -> None:
    client = redis.Redis()  # asked for nothing
    bucket = SharedBucket(TokenBucket(client, "ttapi"), limits=LimitReader(lambda lane: "1000/s"))
    bucket.contents += [Held(request=SimpleNamespace(argsrepr=held)) for held in ("('an-attempt',)", "()")]
    about = ("('an-attempt',)", "('another',)", "()")
    assert [one for one in about if bucket.holds_copy_of(SimpleNamespace(argsrepr=one))] == ["('an-attempt',)"]
