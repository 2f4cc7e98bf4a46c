"""Flower on loopback, with a memory that is bounded. Run as `python -m worker.flower`."""

import os

from runtime.resources import server_urls
from runtime.settings import read_settings
from tasks.app import make_app
from worker.start import main_of

_PORT = "5555"
#: Flower keeps 100,000 tasks in memory by itself; a prompt has about four.
_TASKS_KEPT = 20_000


def flower() -> None:
    settings = read_settings()
    _, redis_url = server_urls(settings)
    app = make_app(redis_url)
    port = os.environ.get("FLOWER_PORT", _PORT)
    app.start(
        argv=[
            "flower",
            "--address=127.0.0.1",
            f"--port={port}",
            f"--max_tasks={_TASKS_KEPT}",
            "--purge_offline_workers=60",
            "--logging=warning",
        ]
    )


if __name__ == "__main__":
    main_of(flower)
