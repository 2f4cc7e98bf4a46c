"""When beat sends which tick: each at its interval while there is work for it, and seldom while there is none."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from celery.beat import ScheduleEntry, Scheduler

from pipeline.operator.heartbeat import PendingWork
from providers.contract import Lane
from tasks import names

log = logging.getLogger(__name__)

#: Of the ticks without work, one in so many is sent all the same. That of admission shows that beat and a worker live,
#: of which ten seconds of silence are a warning (`pipeline.operator.heartbeat`); an account may change without us.
IDLE_FACTOR: Final = 5
#: The others, for which a look at the rows says exactly whether there is work.
RARE_FACTOR: Final = 30
_OFTEN: Final = (names.ADMIT, names.ACCOUNT)


def schedule_of(lanes: Mapping[str, Lane]) -> dict[str, object]:
    """What beat sends. A tick that nobody took within five periods is dropped: the next one says the same."""

    def every(seconds: float, task: str, queue: str, *args: str) -> dict[str, object]:
        return {
            "task": task,
            "schedule": seconds,
            "args": args,
            "options": {"queue": queue, "expires": 5 * seconds, "ignore_result": True},
        }

    schedule: dict[str, object] = {
        "admit": every(1.0, names.ADMIT, names.QUEUE_TICK),
        "rescue": every(2.0, names.RESCUE, names.QUEUE_TICK),
        "upload": every(10.0, names.UPLOAD, names.QUEUE_TICK),
        # The row says whether a day has gone by since the last one.
        "audit": every(600.0, names.AUDIT, names.QUEUE_POLL),
        # What was fitted to the same choices before is not fitted again.
        "train": every(600.0, names.TRAIN, names.QUEUE_POLL),
    }
    for name, lane in lanes.items():
        if not lane.synchronous:
            schedule[f"poll {name}"] = every(1.0, names.POLL, names.QUEUE_POLL, name)
            # Soon after a start; the row remembers when the account was last asked about.
            schedule[f"account {name}"] = every(5.0, names.ACCOUNT, names.QUEUE_POLL, name)
        schedule[f"doubts {name}"] = every(5.0, names.DOUBTS, names.QUEUE_POLL, name)
    return schedule


def has_work(task: str, lane: str | None, work: PendingWork) -> bool:
    """Whether a tick would find something to do."""
    match task:
        case names.ADMIT:
            return work.queued
        case names.RESCUE:
            return work.live
        case names.POLL:
            return lane in work.generating
        case names.DOUBTS:
            return lane in work.doubted
        case names.ACCOUNT:
            return False
        case _:
            return True


class IdleScheduler(Scheduler):
    """Celery's own scheduler, in memory, that leaves out most of the ticks that have nothing to do.

    In memory because a tick that was missed while nobody ran is no loss, and a file could be corrupt.

    Args:
        look: says what waits; None, so that every tick is sent, where nobody can say.
        look_lasts_s: ticks that are due within so many seconds share one look at it.
        every_round: called in each round of beat's loop, a few times a second.
        settings: of Celery's scheduler.
    """

    def __init__(
        self,
        *,
        look: Callable[[], PendingWork | None],
        look_lasts_s: float = 0.9,
        every_round: Callable[[], None] = lambda: None,
        **settings: Any,
    ) -> None:
        self._look = look
        self._look_lasts_s = look_lasts_s
        self._every_round = every_round
        self._looked_at = float("-inf")
        self._work: PendingWork | None = None
        self._left_out = Counter[str]()
        self._refused = False
        super().__init__(**settings)

    def tick(self, *args: Any, **options: Any) -> Any:
        """Send what is due; returns the seconds until the next round."""
        self._every_round()
        return super().tick(*args, **options)

    def adjust(self, n: float, drift: float = 0.0) -> float:
        """The seconds until a tick is due, as they are.

        Celery wakes ten milliseconds early and then looks again without a pause until the tick is due: with some ticks
        a second, most of what an idle beat computes.
        """
        return n + drift if n and n > 0 else n

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send a tick that is due, or leave it out."""
        work, name = self._pending(), str(entry.name)
        lane = entry.args[0] if entry.args else None
        one_in = IDLE_FACTOR if entry.task in _OFTEN else RARE_FACTOR
        if work is not None and not has_work(str(entry.task), lane, work) and self._left_out[name] < one_in - 1:
            self._left_out[name] += 1
            return
        self._left_out[name] = 0
        self._send_tick(entry, producer)

    def _send_tick(self, entry: ScheduleEntry, producer: Any) -> None:
        """Instead of Celery's own `apply_entry`, which logs two traces for each tick that the broker refuses.

        A tick that was not sent is sent when it is due again, and nothing is lost meanwhile.
        """
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except Exception as refusal:  # noqa: BLE001 -- whatever it is, beat goes on, as Celery's would
            if not self._refused:
                log.warning("the broker takes no ticks; nothing is admitted or rescued until it does: %s", refusal)
            self._refused = True
            return
        if self._refused:
            log.warning("the broker takes ticks again")
        self._refused = False

    def _pending(self) -> PendingWork | None:
        if time.monotonic() - self._looked_at > self._look_lasts_s:
            try:
                self._work = self._look()
            except Exception:  # beat must outlive a look that fails, as it outlives a message that cannot be sent
                log.exception("nobody can say what waits; every tick is sent")
                self._work = None
            self._looked_at = time.monotonic()
        return self._work
