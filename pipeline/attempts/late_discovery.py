"""Adopt jobs and replies that turn up after their doubt was settled as lost; `db.moves.late_discovery` writes it.

Three ways lead here: the provider's list, which is read again for a day; the reply of a worker that was stopped; and
whoever finds a job by its token. How the books take it is in `db.moves.late_discovery`.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from db.moves import late_discovery
from db.moves.late_discovery import FoundLate
from db.reads.work import Work
from db.records import history
from domain.errors import LostRace, PictureLost
from domain.ids import AttemptId
from domain.states import AttemptKind
from pipeline.attempts import job_times
from pipeline.resources import Resources

__all__ = ["FoundLate", "adopt", "charge", "list_found_late", "looked"]

log = logging.getLogger(__name__)


def adopt(resources: Resources, work: Work, *, job_id: str, actor: str = history.THE_LIST) -> bool:
    """Whether the job was taken up by this attempt, now or before.

    False where the attempt's doubt was not settled as lost, or another attempt owns the job.

    Args:
        actor: who found it.
    """
    lane = resources.lanes.get(work.lane)
    try:
        kind = resources.database.insist(
            lambda connection: late_discovery.adopt(
                connection,
                work.attempt_id,
                job_id=job_id,
                first_look=timedelta(0),
                deadline=job_times.deadline(resources, lane, work),
                actor=actor,
            ),
            seconds=60,
        )
    except LostRace as race:
        log.warning("job %s of attempt %s is not adopted: %s", job_id, work.attempt_id, race)
        return False
    _say(work, job_id, kind)
    return True


def _say(work: Work, name: str, kind: AttemptKind) -> None:
    beside = "; its generation has gone on, so this one is paid beside it" if kind is AttemptKind.LATE else ""
    log.warning("job %s of attempt %s turned up after its doubt was settled as lost%s", name, work.attempt_id, beside)


def charge(resources: Resources, attempt_id: AttemptId, *, call: str, amount_usd: Decimal | None) -> None:
    """A person has found a call on the bill whose doubt was settled as lost, and there is nothing to fetch.

    Raises:
        LostRace: the attempt's doubt was not settled as lost.
    """
    lost = PictureLost(f"a person has found call {call!r} on the bill, and its reply was lost with its picture")
    with resources.database.transaction() as connection:
        late_discovery.paid_for_nothing(
            connection, attempt_id, call=call, amount=amount_usd, said_by=_said(call), failure=lost
        )


def _said(call: str) -> str:
    return f"said by a person: {call}"[:500]


def looked(resources: Resources, works: Sequence[Work]) -> None:
    """The jobs of these did not show; each is looked for again, less and less often."""
    if not works:
        return
    with resources.database.transaction() as connection:
        late_discovery.looked(
            connection, works, least=resources.timing.listings_apart, window=resources.timing.late_window
        )


def list_found_late(resources: Resources, *, user_id: str) -> list[FoundLate]:
    """What turned up late in a user's batches, the latest first."""
    with resources.database.transaction() as connection:
        return late_discovery.list_found_late(connection, user_id=user_id)
