"""How fast do prompts get into the queue, checked, priced and durable, and with how much memory?

Hypothesis: with one check per kind of row and a COPY straight into the table, enqueuing costs a small multiple of a
bare COPY of the same rows, and at least twenty times less than publishing a Celery task for each; a million prompts
from a generator need no more memory than a thousand.
Controls in the same run: `task.delay()` in a loop to a Redis of our own; a bare COPY of the same lines into a table of
the same columns without index, constraint or key. Both servers are embedded, with fsync as the embedded servers of an
installation have it (`durable`).
Command: `python benchmarks/bench_enqueue.py [PROMPTS] [MILLION]`; appends one line to benchmarks/results/enqueue.jsonl.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import celery
import psycopg
from pydantic import SecretStr

from pipeline.intake.commit import commit, writing_ahead
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import rows_of
from pipeline.resources import Resources
from runtime.embedded.stack import Servers, shared
from runtime.resources import open_producer
from runtime.settings import Settings

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "enqueue.jsonl"
DELAYED = 5_000


def prompts(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"Lulu Pig number {number} building a sandcastle at the beach, storybook illustration, soft light"


def order(name: str, count: int) -> Order:
    return Order(
        name=name, user_id="bench", provider="sandbox", prompts=rows_of(prompts(count)), max_image_cost=Decimal(1)
    )


@contextmanager
def measured(found: dict[str, Any], name: str, count: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    took = time.perf_counter() - wall
    found[f"{name}_s"] = round(took, 3)
    found[f"{name}_cpu_s"] = round(time.process_time() - cpu, 3)
    found[f"{name}_per_s"] = round(count / took)


def likeness(resources: Resources, count: int, found: dict[str, Any]) -> Any:
    asked = order("likeness", count)
    with measured(found, "enqueue", count), writing_ahead(resources) as ahead:
        with measured(found, "prepare", count):
            plan = prepare(resources, asked, ahead=ahead)
        with measured(found, "commit", count):
            written = commit(resources, plan)
    assert written.new == count
    return plan


def bare_copy(servers: Servers, plan: Any, found: dict[str, Any]) -> None:
    """The same lines into a table of text columns."""
    with psycopg.connect(servers.libpq_url) as connection:
        width = next(iter(plan.lines))[1].count("\t") + 1
        columns = ", ".join(f"c{number} text" for number in range(width))
        connection.execute(f"CREATE TABLE bare ({columns})")
        connection.commit()
        with measured(found, "bare_copy", plan.total):
            with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN") as copy:
                for _, line in plan.lines:
                    copy.write(line)
            connection.commit()


def delayed(servers: Servers, found: dict[str, Any]) -> None:
    app = celery.Celery("bench", broker=servers.redis_url, set_as_current=False)
    app.conf.task_ignore_result = True

    @app.task(name="bench.generate", shared=False)
    def generate(prompt: str) -> None:
        """Never run: only publishing is measured."""

    generate.delay("the first one opens the connection")
    with measured(found, "delay", DELAYED):
        for prompt in prompts(DELAYED):
            generate.delay(prompt)
    app.close()


def memory(resources: Resources, count: int, found: dict[str, Any]) -> None:
    """The highest resident memory while `count` prompts of a generator are prepared and committed, above the start."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asked = order("memory", count)
    with writing_ahead(resources) as ahead:
        commit(resources, prepare(resources, asked, ahead=ahead))
    found["memory_prompts"] = count
    found["memory_mb"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    found: dict[str, Any] = {"prompts": count, "load_before": round(os.getloadavg()[0], 1)}
    with tempfile.TemporaryDirectory(prefix="bench-enqueue-") as home, shared(Path(home)) as servers:
        settings = Settings(
            home=Path(home),
            database_url=SecretStr(servers.libpq_url),
            redis_url=SecretStr(servers.redis_url),
            sandbox_base_url="http://127.0.0.1:9",
        )
        with open_producer(settings, application="bench enqueue") as resources:
            commit(resources, prepare(resources, order("warm", 1_000)))
            bare_copy(servers, likeness(resources, count, found), found)
            delayed(servers, found)
            if most:
                memory(resources, most, found)
    found["times_delay"] = round(found["enqueue_per_s"] / found["delay_per_s"], 1)
    found["share_of_bare_copy"] = round(found["enqueue_per_s"] / found["bare_copy_per_s"], 3)
    found["load_after"] = round(os.getloadavg()[0], 1)
    found["revision"] = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    found |= {"machine": platform.machine(), "cores": os.cpu_count()}
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
