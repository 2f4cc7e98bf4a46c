"""What every worker process does around its tasks: the shared limits of lanes, and Celery's own main loop."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from celery import Celery, bootsteps

from domain.errors import LikenessError
from pipeline.intake import live_models
from pipeline.operator import lanes
from pipeline.resources import Resources
from runtime.process import main_of
from runtime.signs_of_life import EVERY_S, SignOfLife

__all__ = ["Retirement", "consume", "main_of", "share_lane_limits"]


def share_lane_limits(app: Celery, resources: Resources) -> None:
    """Let the shared bucket read a lane's limit from its row, and write what `control rate_limit` says to it.

    How long submissions wait in it is told to the process's measures.
    """
    # `tasks.consumer` looks for these attributes; Celery's own class does not declare them.
    vars(app).update(
        lane_limits=lambda lane: lanes.rate_limit(resources, lane),
        # Celery's remote control names nobody; Flower has its own log of who signed in.
        store_lane_limit=lambda lane, limit: lanes.set_rate_limit(resources, lane, limit, by="remote control"),
        token_waited=lambda lane, seconds: resources.measures.waited_for_token(lane, seconds=seconds),
    )


def say_what_ends(resources: Resources) -> None:
    """Log what the services of this worker say about models that end, or are gone."""
    for found in live_models.look(resources, on=datetime.now(UTC).date()):
        if found.said:
            logging.getLogger("likeness").warning("%s, %s: %s", found.provider, found.model, found.said)


def consume(app: Celery, *, role: str, queues: Sequence[str], threads: int, home: Path) -> None:
    """Take tasks from `queues` until told to stop: SIGTERM finishes what runs and gives the rest back."""
    sign = SignOfLife(home=home, role=role)
    app.steps["consumer"].add(_giving(sign))
    try:
        app.worker_main(_arguments(role, queues, threads))
    finally:
        sign.withdraw()


def _giving(sign: SignOfLife) -> type[Any]:
    """A step of Celery's consumer: its timer is emptied with each lost connection and filled anew with the next."""

    class SignsOfLife(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer.connection:Connection",)

        def start(self, parent: Any) -> None:
            sign.give()
            parent.timer.call_repeatedly(EVERY_S, sign.give)

    return SignsOfLife


def _arguments(role: str, queues: Sequence[str], threads: int) -> list[str]:
    return [
        "--quiet",
        "worker",
        "--pool=threads",
        f"--concurrency={threads}",
        f"--queues={','.join(queues)}",
        # Two workers of one role on one machine need two names.
        f"--hostname={role}-{os.getpid()}@{socket.gethostname()}",
        "--without-mingle",
        "--without-gossip",
        "--task-events",
        "--loglevel=WARNING",
    ]


class Retirement:
    """The way out of a worker that has found out that it can do its work no more; thread-safe.

    It stops as if somebody had sent SIGTERM: what runs comes to its end, the rest goes back to the broker. Then the
    reason is raised, so that the process ends as a failure and whoever runs it starts another.
    """

    def __init__(self) -> None:
        self._reason: LikenessError | None = None
        self._lock = threading.Lock()

    def __call__(self, reason: LikenessError) -> None:
        """Begin to stop; only the first reason counts."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
        # In Celery's own words: a flag set from a thread of the pool would be its private affair.
        os.kill(os.getpid(), signal.SIGTERM)

    def settle(self) -> None:
        """Raise the reason, if there is one; to be called when the worker has stopped."""
        if self._reason is not None:
            raise self._reason
