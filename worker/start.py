"""What every worker process does around its tasks: logs, the shared limits of lanes, and Celery's own main loop."""

import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence

from celery import Celery

from domain.errors import LikenessError
from pipeline import lanes
from pipeline.resources import Resources
from runtime.children import die_with_parent


def main_of(role: Callable[[], None]) -> None:
    """Run a role as a process: it ends with its parent, and a failure to start is one sentence, not a trace."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # A line per request, migration or task says nothing that the rows do not say better.
    for chatty in ("httpx2", "httpcore2", "alembic", "celery", "kombu"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        role()
    except LikenessError as failure:
        logging.getLogger("likeness").error("%s", failure)  # noqa: TRY400 -- the sentence says it all
        raise SystemExit(failure.exit_code) from None


def share_lane_limits(app: Celery, resources: Resources) -> None:
    """Let the shared bucket read a lane's limit from its row, and write what `control rate_limit` says to it."""
    app.lane_limits = lambda lane: lanes.rate_limit(resources, lane)
    app.store_lane_limit = lambda lane, limit: lanes.set_rate_limit(resources, lane, limit)


def consume(app: Celery, *, role: str, queues: Sequence[str], threads: int) -> None:
    """Take tasks from `queues` until told to stop: SIGTERM finishes what runs and gives the rest back."""
    app.worker_main(
        [
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
    )
