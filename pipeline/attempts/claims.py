"""A step that Postgres left in the lurch: its worker lives, so that no death is counted."""

import logging
from datetime import timedelta
from typing import Final

from db.moves.rows import hand_back
from db.reads.work import Lease
from db.session import DatabaseAway
from domain.ids import AttemptId
from pipeline.attempts.outcome import Again
from pipeline.resources import Resources

log = logging.getLogger(__name__)

_KEEP_TRYING_S: Final = 60.0
#: Postgres is back by then; others are taken up before.
_WAIT: Final = timedelta(seconds=2)


def let_go(resources: Resources, attempt_id: AttemptId, lease: Lease, away: DatabaseAway) -> Again:
    """Give the claimed attempt back as soon as Postgres answers again; the same step again after a moment.

    A lease that is left to run out counts as a death, and three of them end a paid attempt as poison. Harmless where
    the claim never stood, or where what the step had written was committed and only the answer got lost.

    Raises:
        DatabaseAway: it stays away for longer than anybody waits here; rescue takes over.
    """
    log.warning("attempt %s is let go: %s", attempt_id, away)
    resources.database.insist(
        lambda connection: hand_back(connection, attempt_id, token=lease.token, failure=away, wait=_WAIT),
        seconds=_KEEP_TRYING_S,
    )
    return Again(_WAIT)
