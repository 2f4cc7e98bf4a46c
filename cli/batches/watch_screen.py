"""Watch one or many batches until nothing moves any more: on a terminal with keys, elsewhere with plain lines."""

import os
import re
import sys
import time
import webbrowser
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.live import Live

from cli.batches import batch_control
from cli.batches.blocked_reasons import state_in_words
from cli.batches.key_presses import NextKey, key_presses
from cli.batches.watch import Watch
from cli.terminal import Terminal
from domain.errors import LikenessError, ServiceMissing
from domain.states import GenerationState
from pipeline.operator import lanes
from pipeline.resources import Resources
from pipeline.views import status
from pipeline.views.report import report_of
from pipeline.views.status import BatchStatus, RecentFailure
from reports.contact_sheet import write_report
from reports.tables import progress_view
from reports.watch_view import LaneLine, WatchedBatch, WatchScreen

_PERIOD_S: Final = 0.5
_LINE_EVERY_S: Final = 10.0
_LANES_EVERY_S: Final = 2.0
#: As many as the tallest terminals have room for.
_FAILURES: Final = 30
_NOT_IN_FILE_NAMES: Final = re.compile(r"[^\w.-]+")
_KEYS: Final = "p pause  r resume  c cancel  o report  q quit"
_KEYS_OF_SEVERAL: Final = "↑↓ choose  "


def watch_batches(
    resources: Resources, watches: Sequence[Watch], terminal: Terminal, *, user: str
) -> list[BatchStatus]:
    """Show the batches until each is final, stopped or waits for a person, or until `q` is pressed.

    Raises:
        ServiceMissing: Postgres stays away, or a worker of this machine cannot run.
    """
    if not terminal.out.is_terminal or terminal.out.is_dumb_terminal:
        return _lines(watches, terminal)
    with key_presses() as next_key:
        return _Screen(resources, watches, terminal, next_key, user=user).until_over()


def _lines(watches: Sequence[Watch], terminal: Terminal) -> list[BatchStatus]:
    """A line per batch now and then, and one as it ends."""
    spoken = float("-inf")
    ended: dict[int, BatchStatus] = {}
    while True:
        due = time.monotonic() - spoken >= _LINE_EVERY_S
        for place, watch in enumerate(watches):
            if place in ended or (now := watch.look()) is None:
                continue
            if watch.is_over(now):
                ended[place] = now
            if due or place in ended:
                terminal.err.print(progress_view(watch.progress(now)))
        spoken = time.monotonic() if due else spoken
        if len(ended) == len(watches):
            return [ended[place] for place in range(len(watches))]
        time.sleep(_PERIOD_S)


class _Screen:
    """What is shown and what keys do: the chosen batch, the answer to the last key, and a question that is open."""

    def __init__(
        self, resources: Resources, watches: Sequence[Watch], terminal: Terminal, next_key: NextKey | None, *, user: str
    ) -> None:
        self._resources = resources
        self._watches = watches
        self._terminal = terminal
        self._next_key = next_key
        self._user = user
        self._found: list[BatchStatus | None] = [None] * len(watches)
        self._chosen = 0
        self._message = ""
        self._confirms_cancel = False
        self._quits = False
        self._paused_here: set[int] = set()
        self._lanes: list[LaneLine] = []
        self._lanes_read = float("-inf")
        self._failures: list[RecentFailure] = []
        self._failed: list[int] = []

    def until_over(self) -> list[BatchStatus]:
        with (
            Live(console=self._terminal.out, auto_refresh=False, transient=True) as live,
            self._terminal.beside(live.console),
        ):
            while True:
                for place, watch in enumerate(self._watches):
                    self._found[place] = watch.look() or self._found[place]
                if found := self._all_found():
                    self._read_lanes_and_failures(found)
                    live.update(self._view(found), refresh=True)
                    if all(self._is_over(place, now) for place, now in enumerate(found)):
                        return found
                if self._wait(live):
                    return self._all_found()

    def _all_found(self) -> list[BatchStatus]:
        """Every batch as last seen; empty until each was seen once."""
        found = [now for now in self._found if now is not None]
        return found if len(found) == len(self._watches) else []

    def _is_over(self, place: int, now: BatchStatus) -> bool:
        # Somebody who pauses a batch with a key has not finished with it.
        paused_here = place in self._paused_here and now.batch.paused_reason is not None and now.progress.unfinished > 0
        return self._watches[place].is_over(now) and not paused_here

    def _wait(self, live: Live) -> bool:
        """Wait for the next round, acting on keys; returns whether to leave."""
        if self._next_key is None:
            time.sleep(_PERIOD_S)
            return False
        pressed = self._next_key(_PERIOD_S)
        while pressed and (found := self._all_found()):
            self._press(pressed)
            if self._quits:
                return True
            live.update(self._view(found), refresh=True)
            pressed = self._next_key(0)
        return False

    def _read_lanes_and_failures(self, found: Sequence[BatchStatus]) -> None:
        failed = [now.progress.counts[GenerationState.FAILED] for now in found]
        try:
            if time.monotonic() - self._lanes_read >= _LANES_EVERY_S:
                self._lanes = _lane_lines(self._resources)
                self._lanes_read = time.monotonic()
            if failed != self._failed:
                ids = [now.batch.id for now in found]
                self._failures = status.recent_failures(self._resources, ids, limit=_FAILURES)
                self._failed = failed
        except ServiceMissing as failure:
            if not failure.retryable:
                raise
            # What was read last stays on the screen; the watch itself gives up if the database stays away.

    def _view(self, found: Sequence[BatchStatus]) -> WatchScreen:
        several = len(found) > 1
        return WatchScreen(
            batches=[
                WatchedBatch(progress=watch.progress(now), halted=_halted(now))
                for watch, now in zip(self._watches, found, strict=True)
            ],
            lanes=self._lanes,
            failures=[(f"{one.batch}/{one.position}", one.reason) for one in self._failures],
            chosen=self._chosen,
            message=self._message,
            keys="" if self._next_key is None else (_KEYS_OF_SEVERAL if several else "") + _KEYS,
        )

    def _press(self, key: str) -> None:
        if self._confirms_cancel:
            self._confirms_cancel = False
            self._message = self._answer(self._cancel) if key in {"y", "Y"} else "nothing was canceled"
            return
        if key in {"up", "down", "k", "j"}:
            self._chosen = (self._chosen + (1 if key in {"down", "j"} else -1)) % len(self._watches)
            self._message = ""
            return
        acts = {
            "p": self._pause,
            "r": self._resume,
            "c": self._ask_to_cancel,
            "o": self._open_report,
            "q": self._quit,
        }
        if act := acts.get(key.lower()):
            self._message = self._answer(act)
        else:
            self._message = "that key does nothing here"

    @staticmethod
    def _answer(act: Callable[[], str]) -> str:
        """What the act says of itself, or why it could not be done."""
        try:
            return act()
        except LikenessError as failure:
            return str(failure)
        except OSError as failure:
            return f"{str(failure.filename)!r} cannot be used: {failure.strerror}"

    def _chosen_now(self) -> BatchStatus:
        """The chosen batch as it is now, not as it was at the last look."""
        shown = self._found[self._chosen]
        assert shown is not None
        self._found[self._chosen] = now = status.of_batch(self._resources, shown.batch.id)
        return now

    def _pause(self) -> str:
        after, said = batch_control.pause(
            self._resources, self._chosen_now(), user=self._user, reason="a person paused it while watching"
        )
        self._found[self._chosen] = after
        self._paused_here.add(self._chosen)
        return f"{said}; r resumes it"

    def _resume(self) -> str:
        after, said = batch_control.resume(self._resources, self._chosen_now(), user=self._user)
        self._found[self._chosen] = after
        self._paused_here.discard(self._chosen)
        return said

    def _ask_to_cancel(self) -> str:
        now = self._chosen_now()
        if not now.progress.unfinished:
            return f"batch {now.batch.name!r}: nothing is left to cancel"
        self._confirms_cancel = True
        return f"cancel {now.progress.unfinished:,} generations of {now.batch.name!r} for good? y = yes, any other = no"

    def _cancel(self) -> str:
        done, said = batch_control.cancel(self._resources, self._chosen_now(), user=self._user)
        self._found[self._chosen] = done.status
        return said

    def _open_report(self) -> str:
        now = self._chosen_now()
        name = _NOT_IN_FILE_NAMES.sub("-", now.batch.name).strip(".-") or str(now.batch.id)
        path = Path(f"{name}.html").resolve()
        write_report(report_of(self._resources, now.batch.id), path)
        # Over ssh a browser would take over the terminal, or open where nobody sits.
        local = sys.platform in {"darwin", "win32"} or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
        opened = local and "SSH_CONNECTION" not in os.environ and webbrowser.open(path.as_uri())
        return f"report {'opened' if opened else 'written'}: {path}"

    def _quit(self) -> str:
        self._quits = True
        return ""


def _lane_lines(resources: Resources) -> list[LaneLine]:
    """Closed lanes first, then those at work."""
    now = datetime.now(UTC)
    rows = sorted(lanes.list_lanes(resources), key=lambda row: (not row.is_closed(now), -row.in_flight, row.name))
    return [
        LaneLine(
            name=row.name,
            in_flight=row.in_flight,
            concurrency=row.concurrency,
            rate_limit=row.rate_limit,
            closed=row.is_closed(now),
            state=state_in_words(row, now),
        )
        for row in rows
    ]


def _halted(now: BatchStatus) -> str:
    if not now.progress.unfinished:
        return "over"
    if now.batch.stopped_reason is not None:
        return f"stopped: {now.batch.stopped_reason}"
    return "" if now.batch.paused_reason is None else f"paused: {now.batch.paused_reason}"
