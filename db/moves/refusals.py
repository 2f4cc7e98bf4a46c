"""A submission that was certainly not accepted: the move and what its lane is told of it, in one transaction.

The lane first: everywhere else its row is locked before any other. Each may be written again where only the answer to
an earlier commit got lost: it then loses its race and writes nothing.
"""

from datetime import timedelta

from sqlalchemy import Connection

from db.moves import submission
from db.reads.work import Work
from db.records import faults, lanes
from domain.errors import LikenessError
from domain.ids import LeaseToken


def again(connection: Connection, work: Work, *, token: LeaseToken, failure: LikenessError, wait: timedelta) -> bool:
    """The same attempt tries again; as `submission.again`."""
    lanes.note_error(connection, work.lane, failure)
    return submission.again(connection, work.attempt_id, token=token, failure=failure, wait=wait)


def failed_try(
    connection: Connection, work: Work, *, token: LeaseToken, failure: LikenessError, wait: timedelta | None
) -> None:
    """The provider will not have this request; as `submission.refuse`, unless it fails everybody at the moment.

    Args:
        wait: as `submission.refuse`, where the failure is this request's own.
    """
    lanes.note_error(connection, work.lane, failure)
    outage = faults.weigh(connection, work, failure)
    submission.refuse(
        connection,
        work.attempt_id,
        token=token,
        failure=failure,
        wait=wait if outage is None else outage,
        counts=outage is None,
    )


def close_lane(
    connection: Connection, work: Work, *, token: LeaseToken, failure: LikenessError, reason: str, wait: timedelta
) -> None:
    """The lane can't take it now; it is closed for `wait`, since an open one would be given the same again at once."""
    lanes.note_error(connection, work.lane, failure)
    lanes.close(connection, work.lane, reason=reason, wait=wait)
    submission.give_back(connection, work.attempt_id, token=token, failure=failure)
