"""Delivery of callbacks, in each wire's own manner; and the ways they go wrong on request."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sandbox.faults.armed import Faults
from sandbox.faults.kinds import AT_THE_END, AT_THE_REPLY, AT_THE_START
from sandbox.jobs import Job, JobStore
from sandbox.timetable import Timetable

EARLY_S = 20.0  # a reply waits no longer for a callback to overtake it
STALE_S = 600.0  # beyond the five minutes that receivers of signed callbacks tolerate

Body = Callable[[Job], bytes]
Sign = Callable[[Job, bytes, float], Mapping[str, str]]


def unsigned(_job: Job, _body: bytes, _at_s: float) -> Mapping[str, str]:
    """The headers of a wire whose callbacks carry no signature."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one wire calls back.

    Attributes:
        pauses_s: between the tries, of which there is one more.
        delivered: whether a status counts as taken; everything else is tried again.
        sign: the headers of one try at a time, for a job's body.
    """

    pauses_s: Sequence[float]
    delivered: Callable[[int], bool]
    sign: Sign = unsigned


class Callbacks:
    """Callbacks owed are in the store, so that a sandbox that died delivers them at its next start."""

    def __init__(self, store: JobStore, faults: Faults) -> None:
        self._store, self._faults = store, faults
        self._timetable = Timetable()
        self._senders = ThreadPoolExecutor(8, thread_name_prefix="callback")
        self._overtaking: dict[str, threading.Event] = {}

    def accepted(self, job: Job, *, forged: Body, manner: Manner) -> None:
        """Where a forged callback is armed, somebody else sends one now: signed, but not with the account's secret."""
        if job.hook_url and self._faults.choose("callback", job.provider, prompt=job.prompt, among=AT_THE_START):
            body = forged(job)
            # A well-made signature, of something else.
            self._senders.submit(_post, job.hook_url, body, manner.sign(job, b"{}", time.time()))

    @contextmanager
    def overtaking(self, job: Job) -> Iterator[None]:
        """Where an early callback is armed, the end of the block is held up until the job's callback was tried.

        To be left before the reply to the submission goes out, and entered before the job can end.
        """
        if not job.hook_url or not self._faults.choose("callback", job.provider, prompt=job.prompt, among=AT_THE_REPLY):
            yield
            return
        tried = self._overtaking[job.job_id] = threading.Event()
        yield
        tried.wait(EARLY_S)
        self._overtaking.pop(job.job_id, None)

    def ended(self, job: Job, *, body: Body, manner: Manner) -> None:
        """Delivers what is owed for a job that has ended."""
        if not job.hook_url:
            return
        fault = self._faults.choose("callback", job.provider, prompt=job.prompt, among=AT_THE_END)
        match fault.name if fault else "":
            case "lost_callback":
                self._store.mark_called_back(job.job_id)
            case "late_callback":
                assert fault is not None
                self._soon(fault.seconds, lambda: self._deliver(job, body(job), manner))
            case "duplicate_callback":
                self._soon(0.0, lambda: self._deliver(job, body(job), manner, times=2))
            case "stale_callback":
                self._soon(0.0, lambda: self._deliver(job, body(job), manner, age_s=STALE_S))
            case _:
                self._soon(0.0, lambda: self._deliver(job, body(job), manner))

    def close(self) -> None:
        self._timetable.close()
        self._senders.shutdown(wait=False, cancel_futures=True)

    def _soon(self, wait_s: float, action: Callable[[], None]) -> None:
        """A sender does it after a while; nobody waits for it."""

        def send() -> None:
            with suppress(RuntimeError):  # the senders were sent home between the two
                self._senders.submit(action)

        self._timetable.at(time.time() + wait_s, send)

    def _deliver(
        self, job: Job, body: bytes, manner: Manner, *, times: int = 1, tries: int = 0, age_s: float = 0.0
    ) -> None:
        """One try, `times` over; the next one after the pause of this one's number."""
        assert job.hook_url is not None
        taken = [_post(job.hook_url, body, manner.sign(job, body, time.time() - age_s)) for _ in range(times)]
        if (overtaken := self._overtaking.get(job.job_id)) is not None:
            overtaken.set()
        if all(map(manner.delivered, taken)) or tries == len(manner.pauses_s):
            self._store.mark_called_back(job.job_id)
            return
        self._soon(
            manner.pauses_s[tries], lambda: self._deliver(job, body, manner, times=1, tries=tries + 1, age_s=age_s)
        )


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    from sandbox.outgoing import post_json

    return post_json(url, body, headers)
