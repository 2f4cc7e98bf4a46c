"""The screen of `watch`: batches, lanes, recent failures and keys, fitted to the size of the terminal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from domain.states import GenerationState
from reports.records import Progress
from reports.tables import progress_view
from reports.wording import dollars, duration_text, end_of

#: From this width on there is room for bars and budgets.
_WIDE: Final = 100
#: Lines kept for lanes and failures, with their headers and the empty lines above them.
_BELOW_BATCHES: Final = 10
#: Control characters in a name or in a provider's message could move the cursor or recolour the terminal.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLine:
    """A lane as it is now; `state` says in words whether it is open, and if not, for how long and why."""

    name: str
    in_flight: int
    concurrency: int
    rate_limit: str | None
    closed: bool
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedBatch:
    """A batch and what keeps it from going on: `paused: why`, `stopped: why`, `over`, or "" while it moves."""

    progress: Progress
    halted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchScreen:
    """A whole screen, never taller than the terminal.

    Args:
        failures: `batch/row` and the reason, the latest first.
        chosen: the place of the batch that keys act on.
        message: the answer to the last key, or a question.
        keys: what can be pressed; "" if nothing can.
    """

    batches: Sequence[WatchedBatch]
    lanes: Sequence[LaneLine] = ()
    failures: Sequence[tuple[str, str]] = ()
    chosen: int = 0
    message: str = ""
    keys: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or console.height
        # The cursor stands below the last line; an empty line, keys and a message of up to two lines stand above it.
        room = height - 1 - (4 if self.keys else 0)
        if len(self.batches) == 1:
            above: list[RenderableType] = [progress_view(self.batches[0].progress)]
            if self.batches[0].halted:
                above.append(_line(self.batches[0].halted, "yellow"))
        else:
            above = [_batches(self.batches, chosen=self.chosen, most=max(room - _BELOW_BATCHES, 3), width=width)]
        lines = [line for one in above for line in console.render_lines(one, options, pad=False)]
        yield from above
        most_lanes, most_failures = _shares(room - len(lines), len(self.lanes), len(self.failures))
        if most_lanes:
            yield Text()
            yield _lanes(self.lanes, most=most_lanes, width=width)
        if most_failures:
            yield Text()
            yield _failures(self.failures, most=most_failures, width=width)
        if self.keys:
            yield Text()
            yield Text(_clean(self.message), style="bold", overflow="ellipsis") if self.message else Text()
            yield _line(self.keys, "dim")


def _shares(room: int, lanes: int, failures: int) -> tuple[int, int]:
    """How many rows lanes and failures get; each section also takes an empty line and a header."""
    if room < 3 or not lanes + failures:
        return 0, 0
    if not lanes or not failures or room < 6:
        return (min(lanes, room - 2), 0) if lanes else (0, min(failures, room - 2))
    rows = room - 4
    for_lanes = min(lanes, max(rows // 2, rows - failures))
    return for_lanes, min(failures, rows - for_lanes)


def _clean(words: str) -> str:
    return " ".join(_CONTROL.sub(" ", words).split())


def _line(words: str, style: str = "") -> Text:
    return Text(_clean(words), style=style, no_wrap=True, overflow="ellipsis")


def _section(*columns: str, width: int) -> Table:
    """A table as wide as the terminal, of which the last column takes what the others leave, and is cut to it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", width=width)
    for place, name in enumerate(columns, start=1):
        last = place == len(columns)
        most = max(width // 3, 16) if place == 1 else None
        table.add_column(name, no_wrap=True, overflow="ellipsis", ratio=1 if last else None, max_width=most)
    return table


def _batches(batches: Sequence[WatchedBatch], *, chosen: int, most: int, width: int) -> Table:
    """A row per batch; where there are too many, those around the chosen one."""
    first = min(max(chosen - most + 1, 0), max(len(batches) - most, 0))
    shown = list(enumerate(batches))[first : first + most]
    part = "" if len(shown) == len(batches) else f" {first + 1}–{first + len(shown)} of {len(batches)}"
    wide = width >= _WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim", width=width)
    table.add_column("", width=1)
    table.add_column(f"batch{part}", no_wrap=True, overflow="ellipsis", ratio=1)
    if wide:
        table.add_column("", width=width // 6)
    for name in ("final", "accepted", "rejected", "failed", "spent", "left"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, one in shown:
        table.add_row(*_batch_cells(one, chosen=place == chosen, wide=wide))
    return table


def _batch_cells(one: WatchedBatch, *, chosen: bool, wide: bool) -> list[RenderableType]:
    now = one.progress
    ends = dict.fromkeys(("accepted", "rejected", "failed", "canceled", "unfinished"), 0)
    for state, number in now.counts.items():
        ends[end_of(GenerationState(state))] += number
    final = now.total - ends["unfinished"]
    left = one.halted.partition(":")[0] or ("–" if now.eta_s is None else duration_text(now.eta_s))
    budget = "" if now.limit_usd is None or not wide else f" of {dollars(now.limit_usd)}"
    return [
        ">" if chosen else "",
        _line(now.name, "bold" if chosen else ""),
        *([Bar(max(now.total, 1), 0, final, color="green", bgcolor="bright_black")] if wide else []),
        f"{final:,}/{now.total:,}",
        Text(f"{ends['accepted']:,}", style="green" if ends["accepted"] else "dim"),
        Text(f"{ends['rejected']:,}", style="yellow" if ends["rejected"] else "dim"),
        Text(f"{ends['failed']:,}", style="red" if ends["failed"] else "dim"),
        dollars(now.charged_usd, places=2) + budget,
        Text(left, style="yellow" if one.halted and left != "over" else ""),
    ]


def _lanes(lanes: Sequence[LaneLine], *, most: int, width: int) -> Table:
    table = _section(_header("lane", len(lanes), most), "jobs", "limit", "state", width=width)
    for one in lanes[:most]:
        state = _line(one.state, "yellow" if one.closed else "green")
        table.add_row(_line(one.name), f"{one.in_flight}/{one.concurrency}", one.rate_limit or "none", state)
    return table


def _failures(failures: Sequence[tuple[str, str]], *, most: int, width: int) -> Table:
    table = _section(_header("failed lately", len(failures), most), "reason", width=width)
    for address, reason in failures[:most]:
        table.add_row(_line(address), _line(reason, "red"))
    return table


def _header(name: str, number: int, most: int) -> str:
    return name if number <= most else f"{name} (of {number})"
