"""What a command knows of a batch that it watches: progress, pace and warnings; and what it says at the end."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.batches import blocked_reasons
from cli.batches.blocked_reasons import what_holds_up
from cli.terminal import ENDED_OTHERWISE, OK, Terminal
from domain.errors import ServiceMissing
from domain.ids import BatchId
from domain.states import GenerationState
from pipeline.operator import heartbeat, lanes
from pipeline.resources import Resources
from pipeline.views import status
from pipeline.views.by_provider import by_provider, count_active
from pipeline.views.finished import Finished
from pipeline.views.report import report_of
from pipeline.views.status import BatchStatus
from reports.contact_sheet import write_report
from reports.generation_log import GrowingLog
from reports.records import Progress
from reports.tables import end_table

#: A doubt that no listing has settled by then waits for a person, and so does not hold up the one who watches.
_DOUBT_PATIENCE_S = 180.0
#: The same where the service has no list: all that may still turn up is a reply that a dead worker had stored.
_PARKED_PATIENCE_S = 12.0
#: Workers that this very command has started need a moment before they tick.
_START_PATIENCE_S = 20.0
#: So often is it asked which lanes hold a batch up of which nothing is at work.
_LANES_EVERY_S = 5.0
#: How long a database that went away is waited for.
_AWAY_PATIENCE_S = 60.0


class _Pace:
    """Generations that became final over the last minute, as watched from here."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def per_minute(self, final: int) -> float:
        now = time.monotonic()
        self._seen.append((now, final))
        while now - self._seen[0][0] > 60:
            self._seen.popleft()
        elapsed = now - self._seen[0][0]
        return (final - self._seen[0][1]) * 60 / elapsed if elapsed > 1 else 0.0


class Watch:
    """One command's watch over one batch.

    Args:
        tend: called every round; keeps this machine's workers alive where they are this command's business.
        brings_workers: whether they are, so that they are given a moment to start.
        log: gets a line for every generation that becomes final; None for no log.
        told: what was said already; shared by the watches of one command, so that each says nothing twice.
    """

    def __init__(
        self,
        resources: Resources,
        batch_id: BatchId,
        terminal: Terminal,
        *,
        tend: Callable[[], None],
        brings_workers: bool = True,
        log: Path | None = None,
        told: set[tuple[str | None, ...]] | None = None,
    ) -> None:
        self._resources = resources
        self._batch_id = batch_id
        self._terminal = terminal
        self._tend = tend
        self._brings_workers = brings_workers
        self._pace = _Pace()
        self._doubtful_since: float | None = None
        self._patience_s = _DOUBT_PATIENCE_S
        self._away_since: float | None = None
        self._told = set() if told is None else told
        self._lanes_asked = float("-inf")
        self._jobs_asked = float("-inf")
        self._began = time.monotonic()
        self._finished = Finished(resources, batch_id)
        self._log = None if log is None else GrowingLog(log)
        self._logged = 0

    def look(self) -> BatchStatus | None:
        """The progress of the batch, or None while Postgres is away."""
        self._tend()
        try:
            now = status.of_batch(self._resources, self._batch_id)
            self._patience_s = self._patience(now)
            self._warn_without_beat()
            self._tell_of_closed_lanes(now)
            self._tell_of_overdue_jobs(now)
            self._grow_log(now)
        except ServiceMissing as failure:
            self._away_since = self._away_since or time.monotonic()
            if not failure.retryable or time.monotonic() - self._away_since > _AWAY_PATIENCE_S:
                raise
            return None
        self._away_since = None
        return now

    def _warn_without_beat(self) -> None:
        silence = heartbeat.silence_s(self._resources)
        patient = self._brings_workers and time.monotonic() - self._began < _START_PATIENCE_S
        silent = silence is None or silence > heartbeat.SILENCE_S
        if silent and not patient and self._is_new("no tick"):
            since = "ever" if silence is None else f"for {silence:.0f} s"
            advice = (
                "; those of this command are slow to start, and `likeness doctor` says what they lack"
                if self._brings_workers
                else "; this command brings none, since DATABASE_URL is set;"
                " start them with `likeness up` or `likeness worker beat` and `likeness worker io`"
            )
            self._terminal.note(f"no tick has come {since}: nothing is admitted without beat and an io worker{advice}")

    def _tell_of_closed_lanes(self, now: BatchStatus) -> None:
        """Each closure once, where nothing moves because of it."""
        if not now.idle or time.monotonic() - self._lanes_asked < _LANES_EVERY_S:
            return
        self._lanes_asked = time.monotonic()
        rows = lanes.blocking_lanes(self._resources, self._batch_id)
        new = [row for row in rows if self._is_new("lane", row.name, row.reason)]
        for sentence in what_holds_up(new):
            self._terminal.note(sentence)

    def _grow_log(self, now: BatchStatus) -> None:
        final = now.progress.total - now.progress.unfinished
        if self._log is not None and final != self._logged:
            self._log.append(self._finished.new())
            self._logged = final

    def _tell_of_overdue_jobs(self, now: BatchStatus) -> None:
        """Each once."""
        if not now.progress.counts[GenerationState.GENERATING] or time.monotonic() - self._jobs_asked < _LANES_EVERY_S:
            return
        self._jobs_asked = time.monotonic()
        late = status.overdue_jobs(self._resources, self._batch_id)
        new = [one for one in late if self._is_new("job", one.lane, one.job_id)]
        for sentence in blocked_reasons.overdue(new):
            self._terminal.note(sentence)

    def _is_new(self, *what: str | None) -> bool:
        """Whether it was not told yet; from now on it was."""
        new = what not in self._told
        self._told.add(what)
        return new

    def progress(self, now: BatchStatus) -> Progress:
        """Its figures, with its pace over the last minute."""
        final = now.progress.total - now.progress.unfinished
        rate = self._pace.per_minute(final)
        return Progress(
            name=now.batch.name,
            total=now.progress.total,
            counts=now.progress.counts,
            charged_usd=now.batch.charged_usd,
            held_usd=now.batch.held_usd,
            in_doubt_usd=now.batch.in_doubt_usd,
            limit_usd=now.batch.limit_usd,
            rate_per_minute=rate,
            eta_s=now.progress.unfinished * 60 / rate if rate > 0 else None,
        )

    def is_over(self, now: BatchStatus) -> bool:
        """Whether nothing moves any more without a person."""
        if now.over:
            return True
        if not now.progress.only_doubt:
            self._doubtful_since = None
            return False
        self._doubtful_since = self._doubtful_since or time.monotonic()
        return time.monotonic() - self._doubtful_since > self._patience_s

    def _patience(self, now: BatchStatus) -> float:
        """How long to wait where nothing but doubts is left."""
        if now.progress.doubts and any(map(count_active, by_provider(self._resources, self._batch_id))):
            return _DOUBT_PATIENCE_S
        return _PARKED_PATIENCE_S


def conclude(
    resources: Resources,
    ended: BatchStatus,
    terminal: Terminal,
    *,
    report: Path | None,
    more: dict[str, Any],
    remark: str | None = None,
    advise: bool = True,
) -> int:
    """Write the report, print the end, and return the exit code.

    Args:
        remark: a sentence that report and terminal say behind the outcome.
        advise: whether to name commands that go on with the batch; in another home than this one they find nothing.
    """
    record = replace(report_of(resources, ended.batch.id), remark=remark)
    where: str | None = None
    if report is not None:
        write_report(record, report)
        where = str(report)
    terminal.document({**ended.as_json(), "report": where, **more})
    if not terminal.as_json:
        terminal.out.print(end_table(record))
        if remark:
            terminal.note(remark)
        for line in _advice(ended) if advise else ():
            terminal.note(line)
        if where:
            terminal.note(f"report: {where}")
    return OK if ended.all_accepted else ENDED_OTHERWISE


def _advice(ended: BatchStatus) -> list[str]:
    """What a person may want to do next, in the words of commands."""
    name, counts = ended.batch.name, ended.progress.counts
    advice = [*blocked_reasons.stopped(ended), *blocked_reasons.paused(ended)]
    if counts[GenerationState.FAILED]:
        advice.append(f"`likeness list {name} --state failed` says why; `likeness retry {name}` tries again")
    if counts[GenerationState.IN_DOUBT]:
        advice.append("`likeness doubts` shows what nobody knows whether it was paid")
    return advice
