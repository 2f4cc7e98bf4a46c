"""Does the shared bucket deliver a lane's limit, no more and hardly less, and leave the other tasks alone?

Hypothesis: stock Celery 5.7 on Redis delivers about 1/s of a limit of 20/s once more than ten limited tasks are held,
applies a limit per worker, and lets held tasks fill the prefetch; the shared bucket delivers 98 % of the limit over any
number of workers and holds nothing else up. Control: the same app, Redis and machine with Celery's own consumer.
Part 1: 100 waiting tasks, limit 20/s, one, two and four workers, until all have run or 10 s have passed. A closed
window of one second may hold 20 starts. Part 2: 100 waiting tasks, limit 6/m, then 200 tasks without a limit for the
same worker, until all have run or 10 s have passed. Prefetch as Celery has it.
Command: `python benchmarks/bench_rate_limit.py`; appends one line to benchmarks/results/rate_limit.jsonl.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import celery
import redis

from runtime.embedded.binaries import redis_server as redis_program

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "rate_limit.jsonl"
CONSUMERS = {"stock": "celery.worker.consumer:Consumer", "shared": "tasks.consumer:LaneConsumer"}
SUBMIT = "generation.submit.ttapi"
OTHER = "attempt.collect"


def build_app(url: str, *, consumer: str, limit: str) -> celery.Celery:
    app = celery.Celery("bench", broker=url, set_as_current=False)
    app.conf.update(
        worker_consumer=CONSUMERS[consumer],
        task_acks_late=True,
        task_ignore_result=True,
        task_routes={SUBMIT: {"queue": "submit"}, OTHER: {"queue": "other"}},
        broker_connection_retry_on_startup=True,
    )
    client = redis.Redis.from_url(url)

    def note(task: Any) -> None:
        client.rpush(task.name, time.monotonic())

    app.task(name=SUBMIT, bind=True, rate_limit=limit, shared=False)(note)
    app.task(name=OTHER, bind=True, shared=False)(note)
    return app


def serve(url: str, consumer: str, limit: str, name: str) -> None:
    """Is a worker, until the benchmark tells it to end or is gone."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
    app = build_app(url, consumer=consumer, limit=limit)
    options = ["--pool", "threads", "--concurrency", "4", "-Q", "submit,other", "--without-gossip", "--without-mingle"]
    app.worker_main(["-q", "worker", "-n", f"{name}@bench", "-l", "ERROR", *options])


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    )
    try:
        yield
    finally:
        assert process.stdin
        process.stdin.close()
        process.wait()


@contextmanager
def redis_server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script = '"$0" "$@" >/dev/null & cat; kill $!; wait'
    options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir()]
    url = f"redis://127.0.0.1:{port}/0"
    with running(["sh", "-c", script, str(redis_program()), *options]):
        client = redis.Redis.from_url(url)
        reached(client.ping, within_s=10)
        yield url


def reached(holds: Callable[[], Any], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except redis.ConnectionError:
            pass
        time.sleep(0.02)
    return False


def worst_window(starts: list[float], *, window_s: float = 1.0) -> int:
    """The most starts in any closed window."""
    return max(sum(first <= start <= first + window_s for start in starts) for first in starts)


def measure(consumer: str, *, workers: int, limit: str, others: int, within_s: float) -> dict[str, Any]:
    with redis_server() as url:
        app = build_app(url, consumer=consumer, limit=limit)
        client = redis.Redis.from_url(url)
        for _ in range(100):
            app.tasks[SUBMIT].delay()
        names = [f"w{number}" for number in range(workers)]
        commands = [[sys.executable, __file__, url, consumer, limit, name] for name in names]
        with ExitStack() as stack:
            for command in commands:
                stack.enter_context(running(command))
            if not reached(lambda: len(app.control.ping(timeout=0.5)) == workers, within_s=90):
                raise TimeoutError(f"{workers} workers of {consumer} did not all begin in 90 s")
            asked_at = time.monotonic()
            for _ in range(others):
                app.tasks[OTHER].delay()
            awaited, wanted = (OTHER, others) if others else (SUBMIT, 100)
            reached(lambda: client.llen(awaited) == wanted, within_s=within_s)
            elapsed_s = time.monotonic() - asked_at
            starts = sorted(float(start) for start in client.lrange(SUBMIT, 0, -1))
            others_run = client.llen(OTHER)
    result = {"consumer": consumer, "workers": workers, "limit": limit, "submitted": len(starts)}
    if others:
        return {**result, "others_run": others_run, "others_sent": others, "others_s": round(elapsed_s, 2)}
    per_s = (len(starts) - 1) / (starts[-1] - starts[0]) if len(starts) > 1 else 0.0
    return {**result, "per_s": round(per_s, 2), "most_in_a_closed_second": worst_window(starts) if starts else 0}


def main() -> None:
    cases = [(consumer, workers) for consumer in CONSUMERS for workers in (1, 2, 4)]
    measured = [measure(name, workers=count, limit="20/s", others=0, within_s=10) for name, count in cases]
    measured += [measure(name, workers=1, limit="6/m", others=200, within_s=10) for name in ("stock", "shared")]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    server = subprocess.run([redis_program(), "--version"], capture_output=True, text=True, check=True)
    line = {
        "question": "20/s with 100 waiting tasks: delivered rate and fullest closed second; 6/m: other tasks held up?",
        "command": "python benchmarks/bench_rate_limit.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
        "load": os.getloadavg()[0],
        "versions": {
            "python": platform.python_version(),
            "celery": celery.__version__,
            "redis-py": redis.__version__,
            "redis": server.stdout.strip(),
        },
        "commit": commit.stdout.strip(),
        "result": measured,
    }
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=2))


if __name__ == "__main__":
    serve(*sys.argv[1:]) if len(sys.argv) > 1 else main()
