"""Carry out accepted jobs: fetch references, draw pictures, end the job at its time.

A job succeeds when it is drawn and its time has come. Everything can be repeated from the job's row, which a sandbox
that was killed does at its next start.
"""

import queue
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from sandbox.drawing_process import Artist, Order, UnreadableReference
from sandbox.files import Files, kind_of
from sandbox.jobs import Job, JobStore, Terms
from sandbox.pictures import Pictures
from sandbox.timetable import Timetable

FETCHERS = 4  # so that a slow reference does not block other jobs


class Studio:
    """Carries out jobs.

    Args:
        terms: by provider: costs and messages of failures.
        ended: called with each ended job, in a thread of the studio.
    """

    def __init__(
        self,
        store: JobStore,
        pictures: Pictures,
        *,
        references: Files,
        terms: Mapping[str, Terms],
        artists: int,
        ended: Callable[[Job], None],
    ) -> None:
        self._store, self._pictures, self._references = store, pictures, references
        self._terms, self._ended = terms, ended
        self._closing = False
        self._timetable = Timetable()
        self._fetchers = ThreadPoolExecutor(FETCHERS, thread_name_prefix="fetch")
        self._desks = ThreadPoolExecutor(artists, thread_name_prefix="draw")
        self._all_artists = [Artist() for _ in range(artists)]
        self._free_artists: queue.SimpleQueue[Artist] = queue.SimpleQueue()
        for artist in self._all_artists:
            self._free_artists.put(artist)

    def commission(self, job: Job) -> None:
        """Start or resume a job; returns at once.

        A job whose plan has `ends_at_s` is stopped at that time.
        """
        if "ends_at_s" in job.plan:
            self._timetable.at(job.plan["ends_at_s"], partial(self.stop, job.job_id))
        if job.stuck:
            if "billed" in job.plan:
                self._fetchers.submit(self._only_bill, job)
            return
        if job.message:
            self._end_when_due(job, job.message, illegal=job.illegal)
        elif not job.plan.get("tiles") or self._pictures.drawn(job):
            self._end_when_due(job, None)
        else:
            self._fetchers.submit(self._prepare, job)

    def stop(self, job_id: str) -> None:
        """Stop a job, unless it has ended."""
        stopped = self._store.stop(job_id, at_s=time.time())
        if stopped is not None:
            self._ended(stopped)

    def artist_pids(self) -> list[int]:
        """Ids of the drawing processes."""
        return [artist.pid for artist in self._all_artists if artist.pid]

    def close(self) -> None:
        """Stop working: no job ends after this returns; unfinished ones resume at the next start."""
        self._closing = True
        self._timetable.close()
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        self._desks.shutdown(wait=False, cancel_futures=True)
        for artist in self._all_artists:
            artist.close()

    def _prepare(self, job: Job) -> None:
        from sandbox.outgoing import Unreachable

        try:
            files = [str(self._references.keep(content)) for content in self._fetched(job)]
        except Unreachable:
            self._end_when_due(job, self._terms[job.provider].unreadable, illegal=True)
        except Exception as error:  # noqa: BLE001 - top of a thread: no unexpected error may leave a job without an end
            self._surprised(job, error)
        else:
            self._desks.submit(self._draw, job, files)

    def _only_bill(self, job: Job) -> None:
        """A prediction that hangs, and is billed when it is stopped."""
        from sandbox.outgoing import Unreachable

        with suppress(Unreachable):
            self._fetched(job)

    def _fetched(self, job: Job) -> list[bytes]:
        """Fetch the references; updates the price where they are billed by their size."""
        from sandbox.outgoing import Unreachable, fetch_reference

        for url in job.plan["also_reachable"]:
            fetch_reference(url, job_id=job.job_id)
        fetched = [fetch_reference(url, job_id=job.job_id) for url in job.plan["references"]]
        if any(kind_of(content) == "tif" for content in fetched) and "tif" not in self._terms[job.provider].reads:
            raise Unreachable("a kind of file that the service does not read")
        if "billed" in job.plan:
            from sandbox.picture_size import started_megapixels

            rates = job.plan["billed"]
            megapixels = sum(map(started_megapixels, fetched))
            self._store.reprice(job.job_id, rates["base"] + rates["reference_mp"] * megapixels)
        return fetched

    def _draw(self, job: Job, references: list[str]) -> None:
        artist = self._free_artists.get()
        try:
            artist.draw(self._order(job, references))
        except UnreadableReference:
            self._end_when_due(job, self._terms[job.provider].unreadable, illegal=True)
        except Exception as error:  # noqa: BLE001 - as in `_prepare`
            self._surprised(job, error)
        else:
            self._end_when_due(job, None)
        finally:
            self._free_artists.put(artist)

    def _order(self, job: Job, references: list[str]) -> Order:
        plan = job.plan
        return Order(
            prompt=plan["text"],
            references=references,
            weight=plan["weight"],
            seed=plan["seed"],
            tiles=self._pictures.tiles(job),
            size=(plan["size"][0], plan["size"][1]),
            finishes=plan.get("finishes", ""),
            ancestry=[(seed, variation) for seed, variation in plan.get("ancestry", ())],
        )

    def _surprised(self, job: Job, error: Exception) -> None:
        if self._closing:
            return  # its drawing process was ended meanwhile; the job resumes at the next start
        print(f"job {job.job_id}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        self._end_when_due(job, self._terms[job.provider].broken)

    def _end_when_due(self, job: Job, message: str | None, *, illegal: bool = False) -> None:
        self._timetable.at(job.due_at_s, partial(self._end, job, message, illegal=illegal))

    def _end(self, job: Job, message: str | None, *, illegal: bool) -> None:
        finished = self._store.finish(
            job.job_id, at_s=time.time(), message=message, illegal=illegal, terms=self._terms[job.provider]
        )
        if finished is not None:
            self._ended(finished)
