"""A whole system of a test's own: the stand-in with its three wires, and real workers over the test's servers."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from celery import Celery
from pydantic import SecretStr
from sqlalchemy import text

from domain.ids import BatchId
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import rows_of
from pipeline.operator import lanes
from pipeline.resources import Resources
from pipeline.views import status
from pipeline.views.status import BatchStatus
from runtime.crew import role
from runtime.resources import open_resources
from runtime.sandbox_settings import sandbox_settings
from runtime.settings import Settings
from runtime.supervisor import Supervisor
from tasks import names
from tests.support.commands import SMALL_MODEL, wait_for

#: A model of each provider that costs the stand-in little to draw.
CHEAP = {"ttapi": "midjourney-v7", "replicate": "black-forest-labs/flux-2-pro", "openai": "gpt-image-2.5-flare"}


def settings_of(home: Path, *, database_url: str, redis_url: str, sandbox: str, **more: Any) -> Settings:
    """Settings with a lane to each wire of the sandbox, in servers of the test."""
    given = sandbox_settings(Settings(), sandbox)
    return given.model_copy(
        update={
            "home": home,
            "database_url": SecretStr(database_url),
            "redis_url": SecretStr(redis_url),
            "clip_model": SMALL_MODEL,
            **more,
        }
    )


@dataclass(slots=True)
class System:
    """Real workers at work, and a producer beside them."""

    resources: Resources
    app: Celery
    log: Path

    def enqueue(
        self, name: str, prompts: Sequence[str], *, provider: str, ahead: timedelta | None = None, **settings: Any
    ) -> BatchId:
        """A new batch.

        Args:
            ahead: as in `Timing`, for this call alone: how much of the lane's rate is published at once.
        """
        timing = self.resources.timing
        resources = dataclasses.replace(
            self.resources, timing=dataclasses.replace(timing, ahead=ahead) if ahead is not None else timing
        )
        order = Order(
            name=name,
            user_id="local",
            provider=provider,
            prompts=rows_of(prompts),
            model=CHEAP.get(provider),
            settings=settings,
        )
        return commit(resources, prepare(resources, order)).batch_id

    def limit(self, lane: str, *, rate: str | None = None, concurrency: int | None = None) -> None:
        if rate is not None:
            lanes.set_rate_limit(self.resources, lane, rate)
        if concurrency is not None:
            lanes.set_concurrency(self.resources, lane, concurrency)

    def progress(self, batch_id: BatchId) -> BatchStatus:
        return status.of_batch(self.resources, batch_id)

    def until(self, holds: Callable[[], bool], *, what: str, timeout_s: float) -> None:
        try:
            wait_for(holds, what=what, timeout_s=timeout_s)
        except AssertionError:
            print(self.log.read_text()[-20_000:])
            raise

    def until_final(self, *batches: BatchId, timeout_s: float) -> None:
        def final() -> bool:
            return all(self.progress(one).progress.unfinished == 0 for one in batches)

        self.until(final, what="the end of every generation", timeout_s=timeout_s)

    def submitted_by(self, lane: str) -> dict[str, int]:
        """How many submissions to the lane each worker has carried out, by the worker's name."""
        stats = self.app.control.inspect(timeout=10).stats() or {}
        counted = {name: int(one["total"].get(names.submit(lane), 0)) for name, one in stats.items()}
        return {name: number for name, number in counted.items() if number}

    def attempts(self, batch_id: BatchId) -> list[Any]:
        """Rows of the batch's attempts; moments as seconds since 1970."""
        statement = text(
            "SELECT state, lane, job_id, extract(epoch FROM created_at) AS created_s,"
            " extract(epoch FROM intent_at) AS intent_s, extract(epoch FROM made_at) AS made_s"
            " FROM attempts WHERE batch_id = :batch_id ORDER BY id"
        )
        with self.resources.database.transaction() as connection:
            return list(connection.execute(statement, {"batch_id": batch_id}).all())


@contextmanager
def system_of(settings: Settings, *roles: str, log: Path) -> Iterator[System]:
    """Workers of these roles, ticking by the time the block begins, until it ends; a role named twice runs twice."""
    named = [f"{name}-{number}" for number, name in enumerate(roles)]
    with ExitStack() as stack:
        resources, app = stack.enter_context(open_resources(settings, application="likeness acceptance test"))
        lines = stack.enter_context(log.open("a", encoding="utf-8"))
        crew = stack.enter_context(
            Supervisor(
                lambda name, line: print(f"{time.time():.2f} {name} | {line}", file=lines, flush=True),
                lambda report: print(f"{report.name}: {report.happening} {report.status}", file=lines, flush=True),
                # All at once: each takes seconds to end.
                stop_order=[named],
            )
        )
        for role_name, name in zip(roles, named, strict=True):
            crew.start(dataclasses.replace(role(role_name, settings), name=name))
        yield System(resources=resources, app=app, log=log)
