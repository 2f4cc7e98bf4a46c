"""A plain Celery app for the same work, written as a careful engineer would without asking for any of our promises.

Submit, poll by `self.retry`, download, check: a task each, with Celery's usual acknowledgement; threads, one connection
pool per process, one HTTP client per process, a warm model, one picture per forward, one row update per step. No
ledger, no leases, no intent: a worker that dies may pay twice or forget a picture.
Run as `python -m benchmarks.whole_path_plain_app ROLE`; the environment names the servers.
"""

import hashlib
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from celery import Celery, Task
from PIL import Image
from psycopg_pool import ConnectionPool

TABLE = """
CREATE TABLE plain_generations (
    id uuid PRIMARY KEY, prompt text NOT NULL, state text NOT NULL DEFAULT 'queued', job_id text, picture text,
    score double precision, updated_at timestamptz NOT NULL DEFAULT now()
)
"""
THREADS = 16
_POLL_S = float(os.environ.get("PLAIN_POLL_S", "0.3"))


def app_of(redis_url: str) -> Celery:
    app = Celery("plain", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        worker_send_task_events=True,
        task_send_sent_event=True,
        broker_connection_retry_on_startup=True,
        task_routes={"plain.check": {"queue": "plain.gpu"}, "plain.*": {"queue": "plain.io"}},
        worker_hijack_root_logger=False,
    )
    return app


class _Process:
    """What the tasks of one process share."""

    def __init__(self) -> None:
        self.pool = ConnectionPool(os.environ["DATABASE_URL"], min_size=2, max_size=THREADS, open=True)
        self.http = httpx2.Client(timeout=30)
        self.provider = os.environ["PLAIN_PROVIDER_URL"]
        self.pictures = Path(os.environ["PLAIN_PICTURES"])

    def set(self, generation_id: str, **values: Any) -> None:
        names = ", ".join(f"{name} = %s" for name in values)
        with self.pool.connection() as connection:
            connection.execute(
                f"UPDATE plain_generations SET {names}, updated_at = now() WHERE id = %s",
                (*values.values(), generation_id),
            )


def register_io(app: Celery, process: _Process) -> None:
    @app.task(name="plain.submit")  # type: ignore[untyped-decorator]
    def submit(generation_id: str, prompt: str) -> None:
        answer = process.http.post(
            f"{process.provider}/v1/models/any/model/predictions", json={"input": {"prompt": prompt}}
        )
        job = answer.raise_for_status().json()["id"]
        process.set(generation_id, state="generating", job_id=job)
        app.send_task("plain.poll", (generation_id, job))

    @app.task(name="plain.poll", bind=True)  # type: ignore[untyped-decorator]
    def poll(self: Task, generation_id: str, job: str) -> None:
        body = process.http.get(f"{process.provider}/v1/predictions/{job}").raise_for_status().json()
        if body["status"] != "succeeded":
            raise self.retry(countdown=_POLL_S, max_retries=None)
        process.set(generation_id, state="made")
        app.send_task("plain.collect", (generation_id, body["output"][0]))

    @app.task(name="plain.collect")  # type: ignore[untyped-decorator]
    def collect(generation_id: str, url: str) -> None:
        content = process.http.get(url).raise_for_status().content
        Image.open(io.BytesIO(content)).verify()
        name = f"{hashlib.sha256(content).hexdigest()}.png"
        (process.pictures / name).write_bytes(content)
        process.set(generation_id, state="stored", picture=name)
        app.send_task("plain.check", (generation_id, name))


def register_gpu(app: Celery, process: _Process) -> None:
    import torch
    from transformers import CLIPImageProcessor, CLIPModel

    folder = os.environ["CLIP_MODEL"]
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPImageProcessor.from_pretrained(folder)
    one_at_a_time = threading.Lock()

    def embed(picture: Path) -> Any:
        pixels = processor(images=Image.open(picture).convert("RGB"), return_tensors="pt")
        with one_at_a_time, torch.inference_mode():
            found = model.visual_projection(model.vision_model(**pixels).pooler_output)
        return torch.nn.functional.normalize(found, dim=-1)

    reference = embed(Path(os.environ["PLAIN_REFERENCE"]))

    @app.task(name="plain.check")  # type: ignore[untyped-decorator]
    def check(generation_id: str, name: str) -> None:
        score = float(embed(process.pictures / name) @ reference.T)
        process.set(generation_id, state="completed", score=score)


def enqueue(count: int) -> None:
    """Insert the prompts and send a task for each."""
    process, app = _Process(), app_of(os.environ["REDIS_URL"])
    for number in range(count):
        generation_id, prompt = str(uuid4()), f"a small pig in field number {number}"
        with process.pool.connection() as connection:
            connection.execute("INSERT INTO plain_generations (id, prompt) VALUES (%s, %s)", (generation_id, prompt))
        app.send_task("plain.submit", (generation_id, prompt))
    process.pool.close()


def work(role: str) -> None:
    app, process = app_of(os.environ["REDIS_URL"]), _Process()
    (register_io if role == "io" else register_gpu)(app, process)
    app.worker_main(
        [
            *("--quiet", "worker", "--pool=threads", f"--concurrency={THREADS}", f"--queues=plain.{role}"),
            *(f"--hostname=plain-{role}@bench", "--without-mingle", "--without-gossip"),
            *("--task-events", "--loglevel=WARNING"),
        ]
    )


if __name__ == "__main__":
    if sys.argv[1] == "enqueue":
        enqueue(int(sys.argv[2]))
    elif sys.argv[1] == "flower":
        app_of(os.environ["REDIS_URL"]).start(argv=["flower", "--address=127.0.0.1", "--port=0", "--logging=warning"])
    else:
        work(sys.argv[1])
