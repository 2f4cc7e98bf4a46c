"""Delivery of callbacks: at most three tries, a 200 counts as delivered; and the ways they go wrong on request."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sandbox.faults import Faults
from sandbox.jobs import Job, JobStore
from sandbox.timetable import Timetable

TRIES = 3  # TTAPI; the other wires bring their own schedule
AT_THE_END = frozenset({"duplicate_callback", "late_callback", "lost_callback"})
AT_THE_START = frozenset({"forged_callback"})

Body = Callable[[Job], bytes]


class Callbacks:
    """Callbacks owed are in the store, so that a sandbox that died delivers them at its next start."""

    def __init__(self, store: JobStore, faults: Faults, *, pause_s: float) -> None:
        self._store, self._faults, self._pause_s = store, faults, pause_s
        self._timetable = Timetable()
        self._senders = ThreadPoolExecutor(8, thread_name_prefix="callback")

    def accepted(self, job: Job, *, forged: Body) -> None:
        """Where a forged callback is armed, somebody else sends one now."""
        if job.hook_url and self._faults.choose("callback", job.provider, prompt=job.prompt, among=AT_THE_START):
            self._senders.submit(_post, job.hook_url, forged(job))

    def ended(self, job: Job, *, body: Body) -> None:
        """Delivers what is owed for a job that has ended."""
        if not job.hook_url:
            return
        fault = self._faults.choose("callback", job.provider, prompt=job.prompt, among=AT_THE_END)
        match fault.name if fault else "":
            case "lost_callback":
                self._store.mark_called_back(job.job_id)
            case "late_callback":
                assert fault is not None
                self._timetable.at(time.time() + fault.seconds, lambda: self._begin(job, body, times=1))
            case "duplicate_callback":
                self._begin(job, body, times=2)
            case _:
                self._begin(job, body, times=1)

    def close(self) -> None:
        self._timetable.close()
        self._senders.shutdown(wait=False, cancel_futures=True)

    def _begin(self, job: Job, body: Body, *, times: int) -> None:
        self._senders.submit(self._deliver, job, body(job), times=times)

    def _deliver(self, job: Job, body: bytes, *, times: int) -> None:
        assert job.hook_url is not None
        for _ in range(times):
            self._try(job.hook_url, body)
        self._store.mark_called_back(job.job_id)

    def _try(self, url: str, body: bytes) -> None:
        for left in reversed(range(TRIES)):
            if _post(url, body) == 200:
                return
            if left:
                time.sleep(self._pause_s)


def _post(url: str, body: bytes) -> int:
    from sandbox.outgoing import post_json

    return post_json(url, body)
