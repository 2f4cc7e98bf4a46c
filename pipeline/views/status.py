"""The status of a batch, as commands print it and scripts read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from db.reads import generations, jobs
from db.reads import recent_failures as failures
from db.reads.generations import BatchProgress
from db.reads.jobs import OverdueJob
from db.reads.recent_failures import RecentFailure
from db.records import batches
from db.records.batches import BatchRow
from domain.ids import BatchId
from domain.money import show
from domain.states import GenerationState
from pipeline.resources import Resources

__all__ = [
    "BatchStatus",
    "OverdueJob",
    "RecentFailure",
    "find",
    "jobs_of_other_batches",
    "latest",
    "of_batch",
    "overdue_jobs",
    "recent_failures",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """A batch with its balances and the number of generations per state."""

    batch: BatchRow
    progress: BatchProgress

    @property
    def accepted(self) -> int:
        return self.progress.counts[GenerationState.COMPLETED]

    @property
    def remaining_usd(self) -> Decimal | None:
        """What may still be held; None without a limit, never below zero."""
        if self.batch.limit_usd is None:
            return None
        used = self.batch.charged_usd + self.batch.held_usd + self.batch.in_doubt_usd
        return max(self.batch.limit_usd - used, Decimal(0))

    @property
    def avg_cost_per_image_usd(self) -> Decimal | None:
        """Charged per accepted generation; None before the first."""
        return self.batch.charged_usd / self.accepted if self.accepted else None

    @property
    def usd_per_call(self) -> Decimal | None:
        """Charged per charged call, whatever became of it; None before the first."""
        return self.batch.charged_usd / self.progress.paid if self.progress.paid else None

    @property
    def over(self) -> bool:
        """Whether nothing happens any more by itself: all final and finished, stopped, or paused with nothing live."""
        if self.progress.unfinished == 0 and self.progress.finishing == 0:
            return True
        halted = self.batch.stopped_reason is not None or self.batch.paused_reason is not None
        return halted and self.progress.live == 0

    @property
    def idle(self) -> bool:
        """Whether generations wait and none is being worked on."""
        return self.progress.live == 0 and (
            self.progress.counts[GenerationState.QUEUED] > 0 or self.progress.finishing > 0
        )

    @property
    def all_accepted(self) -> bool:
        return self.accepted == self.progress.total

    def as_json(self) -> dict[str, Any]:
        """The document of `--json`; money is a decimal string."""
        return {
            "batch_id": str(self.batch.id),
            "name": self.batch.name,
            "total": self.progress.total,
            "counts": self.progress.counts,
            "accepted": self.accepted,
            "finishing": self.progress.finishing,
            "charged_usd": show(self.batch.charged_usd),
            "held_usd": show(self.batch.held_usd),
            "in_doubt_usd": show(self.batch.in_doubt_usd),
            "limit_usd": show(self.batch.limit_usd),
            "remaining_usd": show(self.remaining_usd),
            "avg_cost_per_image_usd": show(self.avg_cost_per_image_usd),
            "usd_per_call": show(self.usd_per_call),
            "wall_s": round(self.progress.wall_s, 3),
            "stopped": self.batch.stopped_reason,
            "paused": self.batch.paused_reason,
            "report": None,
        }


def of_batch(resources: Resources, batch_id: BatchId) -> BatchStatus:
    with resources.database.transaction() as connection:
        return BatchStatus(batch=batches.get(connection, batch_id), progress=generations.progress(connection, batch_id))


def find(resources: Resources, name_or_id: str, *, user_id: str) -> BatchStatus:
    """The batch of that name or id.

    Raises:
        UnknownThing: there is none.
    """
    with resources.database.transaction() as connection:
        batch = batches.find(connection, name_or_id, user_id=user_id)
        return BatchStatus(batch=batch, progress=generations.progress(connection, batch.id))


def latest(resources: Resources, *, user_id: str, limit: int = 20) -> list[BatchStatus]:
    with resources.database.transaction() as connection:
        return [
            BatchStatus(batch=batch, progress=generations.progress(connection, batch.id))
            for batch in batches.latest_batches(connection, user_id=user_id, limit=limit)
        ]


def jobs_of_other_batches(resources: Resources, batch_id: BatchId) -> set[str]:
    """Ids of the jobs that belong to attempts of other batches."""
    with resources.database.transaction() as connection:
        return generations.jobs_of_other_batches(connection, batch_id)


def overdue_jobs(resources: Resources, batch_id: BatchId | None = None) -> list[OverdueJob]:
    """Jobs of a batch, or of all, that take longer than they should, the oldest first; they are still asked about."""
    with resources.database.transaction() as connection:
        return jobs.overdue(connection, batch_id=batch_id)


def recent_failures(resources: Resources, batch_ids: Sequence[BatchId], *, limit: int) -> list[RecentFailure]:
    """Failed generations of these batches, the latest first."""
    with resources.database.transaction() as connection:
        return failures.recent_failures(connection, batch_ids, limit=limit)
