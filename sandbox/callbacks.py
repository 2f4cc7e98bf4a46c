"""Deliver callbacks the way each service does, with faults on request."""

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

EARLY_S = 20.0  # longest wait of a reply for an early callback
STALE_S = 600.0  # older than the five minutes that receivers of signed callbacks accept

Body = Callable[[Job], bytes]
Sign = Callable[[Job, bytes, float], Mapping[str, str]]


def unsigned(_job: Job, _body: bytes, _at_s: float) -> Mapping[str, str]:
    """The headers of a wire without signed callbacks."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one wire calls back.

    Attributes:
        pauses_s: between tries; there is one try more.
        delivered: whether a status counts as delivered; otherwise it is tried again.
        sign: the headers of one try, for a job's body and a time.
    """

    pauses_s: Sequence[float]
    delivered: Callable[[int], bool]
    sign: Sign = unsigned


class Callbacks:
    """Delivers callbacks; pending ones are in the store, so that a restarted sandbox delivers them."""

    def __init__(self, store: JobStore, faults: Faults) -> None:
        self._store, self._faults = store, faults
        self._timetable = Timetable()
        self._senders = ThreadPoolExecutor(8, thread_name_prefix="callback")
        self._overtaking: dict[str, threading.Event] = {}

    def accepted(self, job: Job, *, forged: Body, manner: Manner) -> None:
        """Send a forged callback if that fault is armed: signed, but not with the account's secret."""
        if job.hook_url and self._faults.choose("callback", job.provider, prompt=job.prompt, among=AT_THE_START):
            body = forged(job)
            # A valid signature of another body.
            self._senders.submit(_post, job.hook_url, body, manner.sign(job, b"{}", time.time()))

    @contextmanager
    def overtaking(self, job: Job) -> Iterator[None]:
        """Hold up the end of the block until the job's callback was tried, if an early callback is armed.

        Enter before the job can end, and leave before the reply to the submission is sent.
        """
        if not job.hook_url or not self._faults.choose("callback", job.provider, prompt=job.prompt, among=AT_THE_REPLY):
            yield
            return
        tried = self._overtaking[job.job_id] = threading.Event()
        yield
        tried.wait(EARLY_S)
        self._overtaking.pop(job.job_id, None)

    def ended(self, job: Job, *, body: Body, manner: Manner) -> None:
        """Deliver the callback of a job that has ended."""
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
        """Run the action in a sender thread after a while, without waiting."""

        def send() -> None:
            with suppress(RuntimeError):  # the senders were shut down in between
                self._senders.submit(action)

        self._timetable.at(time.time() + wait_s, send)

    def _deliver(
        self, job: Job, body: bytes, manner: Manner, *, times: int = 1, tries: int = 0, age_s: float = 0.0
    ) -> None:
        """One try, sent `times` times; schedules the next try after a failure."""
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
