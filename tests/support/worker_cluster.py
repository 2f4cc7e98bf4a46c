"""Real Celery workers with our consumer on a real Redis. Run as a program, this file is such a worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, Task
from kombu import pools
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from runtime.embedded.binaries import redis_server
from tasks.rate_limit import open_token_store, token_taken_at

SUBMIT = "generation.submit.ttapi"
OTHER = "attempt.collect"
CONCURRENCY = 4
_DEADLINE_S = 90
ROOT = Path(__file__).parents[2]


def build_app(url: str) -> Celery:
    """An app with one lane, whose limit is the key `limit:ttapi` and whose tasks write down when they ran."""
    app = Celery("limited", broker=url, amqp="tasks.transport:Messages", set_as_current=False)
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
    # A test that ends all connections ends one with a question under way now and then; it is asked again.
    asking = redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 20))

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
        while number < 0 and not asking.exists("go on"):
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
        self._port = port
        self._redis = self._start_redis()
        self.client = redis.Redis.from_url(self.url)
        self.app = build_app(self.url)
        self.until(self._answers)

    def _start_redis(self) -> subprocess.Popen[bytes]:
        script = '"$0" "$@" >/dev/null & cat; kill $!; wait'
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        return subprocess.Popen(
            ["sh", "-c", script, str(redis_server()), *options, "--dir", str(self.folder)],
            stdin=subprocess.PIPE,
        )

    def lose_redis(self) -> None:
        """Redis is killed in the middle of whatever it does, and started again with what its file holds."""
        os.kill(int(self.client.info()["process_id"]), signal.SIGKILL)
        self._end_redis()
        self._redis = self._start_redis()
        self.until(self._answers)
        self.forget_connections()

    def forget_connections(self) -> None:
        """Those of this process that are gone."""
        pools.reset()
        self.app.close()
        self.app = build_app(self.url)

    @property
    def submit(self) -> Task:
        return self.app.tasks[SUBMIT]

    @property
    def other(self) -> Task:
        return self.app.tasks[OTHER]

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _DEADLINE_S
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
        self._end_redis()

    def _end_redis(self) -> None:
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


def serve(url: str, name: str) -> None:
    """Runs a worker until it is told to stop, or until the process that started it is gone."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    options = ["--pool", "threads", "--concurrency", str(CONCURRENCY), "-Q", "submit,other", "-l", "INFO"]
    build_app(url).worker_main(["worker", "-n", f"{name}@test", *options, "--without-gossip", "--without-mingle"])


if __name__ == "__main__":
    serve(*sys.argv[1:])
