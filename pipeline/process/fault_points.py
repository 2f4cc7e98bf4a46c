"""Named moments in the steps at which a test may end the process, so that every death is tried and not imagined.

Unarmed, a point costs one call that does nothing. A name is `step.moment`, after what has just happened.
"""

import os
import signal
from pathlib import Path
from typing import Final, Protocol

#: Every point there is; a test kills a worker at each of them and compares the books with the provider's bill.
POINTS: Final = (
    "admit.committed",
    "submit.looked",
    "submit.intent",
    "submit.answered",
    "submit.stored",
    "poll.claimed",
    "poll.answered",
    "poll.made",
    "collect.claimed",
    "collect.fetched",
    "collect.committed",
    "validate.claimed",
    "validate.scored",
    "validate.judged",
    "rescue.buried",
    "rescue.published",
    "by_listing.listed",
    "by_listing.settled",
)

#: Reached where a prompt is prepared.
PREPARING_POINTS: Final = (
    "prepare.claimed",
    "prepare.recorded",
    "prepare.handed_over",
    "prepare.queued",
    "word_calls.intent",
    "word_calls.answered",
    "word_calls.stored",
)

#: Reached where an accepted picture is finished.
FINISHING_POINTS: Final = ("finishing.admitted",)

#: Reached where a reply is the result itself.
SYNCHRONOUS_POINTS: Final = ("submit.kept",)

#: Reached where a rejected generation tries again.
CLOSED_LOOP_POINTS: Final = ("validate.queued_again",)

#: Reached where a person gives a job up that its provider can stop.
STOPPING_POINTS: Final = ("poll.stop_asked",)

#: Reached where a request with an `Idempotency-Key` is carried out and its answer not kept yet.
REQUEST_POINTS: Final = ("kept_answers.carried_out",)


class FaultPoints(Protocol):
    """What a step reports to as it goes."""

    def reach(self, name: str) -> None: ...


class Unarmed:
    """Nobody is listening."""

    def reach(self, name: str) -> None:
        pass


class DieOnce:
    """Ends the process the hard way, the first time that one of the armed points is reached by any process.

    Args:
        folder: shared by the processes; a file in it says that a point has had its death.
        names: the armed points.

    Raises:
        ValueError: a name is no point.
    """

    def __init__(self, folder: Path, names: frozenset[str]) -> None:
        further = {*SYNCHRONOUS_POINTS, *STOPPING_POINTS, *CLOSED_LOOP_POINTS, *REQUEST_POINTS, *PREPARING_POINTS}
        further |= set(FINISHING_POINTS)
        unknown = names - {*POINTS, *further}
        if unknown:
            raise ValueError(f"no such fault points: {', '.join(sorted(unknown))}")
        self._folder = folder
        self._names = names

    def reach(self, name: str) -> None:
        if name not in self._names:
            return
        try:
            (self._folder / name).touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
