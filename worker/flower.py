"""The `flower` role: Celery's monitor on loopback; its memory is bounded and kept. Run as `python -m worker.flower`.

Flower reads its own variables (`FLOWER_BASIC_AUTH`, ...); whoever reaches it can stop workers, so beyond loopback it
listens only behind a password.
"""

import os
from ipaddress import ip_address
from pathlib import Path

from celery import Celery

from domain.errors import BadInput
from runtime.lanes import lane_plans
from runtime.resources import server_urls
from runtime.settings import Settings, read_settings
from tasks import names
from tasks.app import make_app
from worker.start import main_of

_ADDRESS = "127.0.0.1"
_PORT = "5555"
#: Flower keeps 100,000 tasks in memory by itself; a prompt has about four.
_TASKS_KEPT = 20_000
#: Flower answers nobody while it writes them, for a second at most; it also does when it ends.
_WRITTEN_EVERY_S = 300


def flower() -> None:
    address = os.environ.get("FLOWER_ADDRESS", _ADDRESS)
    port = os.environ.get("FLOWER_PORT", _PORT)
    if not (_is_loopback(address) or os.environ.get("FLOWER_BASIC_AUTH")):
        raise BadInput(f"Flower would listen on {address} without a password; set FLOWER_BASIC_AUTH=USER:PASSWORD")
    settings = read_settings()
    _, redis_url = server_urls(settings)
    app = make_app(redis_url)
    _name_submissions(app, settings)
    app.start(
        argv=[
            "flower",
            f"--address={address}",
            f"--port={port}",
            f"--max_tasks={_TASKS_KEPT}",
            "--purge_offline_workers=60",
            "--persistent=true",
            f"--db={_kept_in(settings)}",
            f"--state_save_interval={1000 * _WRITTEN_EVERY_S}",
            # A message is known by the ids in it.
            "--tasks_columns=name,state,args,kwargs,received,runtime,worker",
            "--logging=warning",
        ]
    )


def _kept_in(settings: Settings) -> Path:
    """Where Flower keeps what it has seen; a restart forgets no prompt's life."""
    path = Path(os.environ.get("FLOWER_DB") or settings.home / "flower" / "tasks")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _name_submissions(app: Celery, settings: Settings) -> None:
    """Flower changes the rate of no task that its own application does not know; it runs none of them."""
    for plan in lane_plans(settings):
        app.task(name=names.submit(plan.name), shared=False)(_runs_in_workers)


def _runs_in_workers(attempt_id: str, *, generation_id: str) -> None:
    raise NotImplementedError(f"attempt {attempt_id} of generation {generation_id} is carried out by an io worker")


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


if __name__ == "__main__":
    main_of(flower)
