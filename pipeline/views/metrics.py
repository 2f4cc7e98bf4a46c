"""The state of the queue and the books as metrics: each with its name, what it says, and its labels.

All are gauges, read from the rows at the moment of a scrape: whatever process is asked gives the same answer, and none
is lost when a worker dies.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from db.reads import monitoring
from db.reads.monitoring import Measured
from pipeline.resources import Resources

__all__ = ["DESCRIPTIONS", "Measured", "Metric", "read"]

_PROVIDER, _LANE, _STATE = ("provider",), ("lane",), ("lane", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of the exporter.

    Args:
        labels: all that it carries. Values are names of lanes, providers and our own states, so their number is that
            of the accounts times the states and never grows with the work.
    """

    says: str
    labels: Sequence[str] = ()


DESCRIPTIONS: Final[Mapping[str, Metric]] = {
    "generations_preparing": Metric(says="Generations whose prompt is being prepared, or waits for that."),
    "oldest_preparing_seconds": Metric(says="Age of the oldest generation that is being prepared."),
    "preparing_expired_leases": Metric(says="Preparations whose worker died and that nobody has taken over yet."),
    "generations_queued": Metric(says="Generations that wait for admission.", labels=_PROVIDER),
    "oldest_queued_seconds": Metric(says="Age of the oldest generation that waits for admission.", labels=_PROVIDER),
    "admission_lag_seconds": Metric(
        says="Since nothing was sent although work may go and an open lane has a free place; 0 where that is not so.",
        labels=_PROVIDER,
    ),
    "attempts": Metric(says="Live attempts; in_doubt: the reply was lost, and the job may be paid.", labels=_STATE),
    "oldest_attempt_seconds": Metric(says="Since the last step of the attempt that has stood longest.", labels=_STATE),
    "expired_leases": Metric(says="Attempts whose worker died and that rescue has not taken yet.", labels=_STATE),
    "worker_deaths": Metric(says="Workers that died over attempts that are still live.", labels=_STATE),
    "lane_concurrency": Metric(says="Jobs that may be in flight.", labels=_LANE),
    "lane_in_flight": Metric(says="Attempts that occupy one of the lane's places.", labels=_LANE),
    "lane_closed": Metric(says="1 while admission skips the lane.", labels=_LANE),
    "lane_balance_usd": Metric(says="Money left by the provider's word, where it gives one.", labels=_LANE),
    "lane_charged_day_usd": Metric(says="Charged in the last 24 hours.", labels=_LANE),
    "lane_open_usd": Metric(says="Held for live attempts, or in doubt.", labels=("lane", "kind")),
    "spend_usd": Metric(says="All batches: charged, held and in doubt.", labels=("kind",)),
    "overdue_jobs": Metric(says="Jobs that the provider still works on after our deadline.", labels=_LANE),
    "provider_faults_hour": Metric(says="Jobs that the provider failed in the last hour.", labels=_LANE),
    "provider_seconds": Metric(
        says="From a job's acceptance to its end, of jobs that ended in the last hour.", labels=("lane", "quantile")
    ),
    "verdict_seconds": Metric(
        says="From stored pictures to the verdict, of jobs that ended in the last hour.", labels=("lane", "quantile")
    ),
    "queue_to_verdict_seconds": Metric(
        says="From a row's arrival to its verdict, of jobs that ended in the last hour.", labels=("lane", "quantile")
    ),
    "verdicts_day": Metric(says="Attempts that were judged, of the last 24 hours.", labels=("lane", "outcome")),
    "uploads_waiting": Metric(says="Stored pictures that are not in the bucket yet."),
    "tick_age_seconds": Metric(says="Since the last tick of admission: beat sends it and an io worker takes it."),
    "audit_age_seconds": Metric(says="Since the daily audit of the books."),
    "audit_findings": Metric(says="Differences that the last audit found; anything but 0 is a defect."),
}


def read(resources: Resources) -> Mapping[str, Sequence[Measured]]:
    """The values of every metric by its name; a metric without a value has an empty list."""
    found = defaultdict[str, list[Measured]](list)
    with resources.database.transaction() as connection:
        for measured in monitoring.measure(connection):
            found[measured.name].append(measured)
    return {name: found[name] for name in DESCRIPTIONS}
