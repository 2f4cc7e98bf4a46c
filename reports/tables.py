"""Terminal tables of a batch: its progress and its result. Returns renderables and prints nothing.

They also read well without colour and motion, as in a log file.
"""

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from domain.states import GenerationState
from reports.records import Progress, Report
from reports.wording import dollars, duration_text, end_of, outcome

S = GenerationState

#: States in the order of a generation's life, with the colour of their bars.
_STATES: dict[GenerationState, str] = {
    S.PREPARING: "cyan",
    S.QUEUED: "bright_black",
    S.ADMITTED: "cyan",
    S.SUBMITTING: "cyan",
    S.IN_DOUBT: "magenta",
    S.GENERATING: "blue",
    S.COLLECTING: "blue",
    S.VALIDATING: "blue",
    S.COMPLETED: "green",
    S.REJECTED: "yellow",
    S.FAILED: "red",
    S.CANCELED: "bright_black",
}
#: Shown even when empty, so that the lines below do not move.
_ALWAYS = frozenset({S.QUEUED, S.GENERATING, S.VALIDATING, S.COMPLETED, S.REJECTED, S.FAILED})


def end_table(report: Report) -> RenderableType:
    """The result of a batch: one sentence, then the key figures."""
    ends = dict.fromkeys(("accepted", "rejected", "failed", "canceled", "unfinished"), 0)
    for state, number in report.counts.items():
        ends[end_of(GenerationState(state))] += number
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("accepted", Text(f"{report.accepted:,} of {report.total:,}", style="bold green"))
    table.add_row("rejected", _counted(ends["rejected"], "yellow"))
    table.add_row("failed", _counted(ends["failed"], "red"))
    for end in ("canceled", "unfinished"):
        if ends[end]:
            table.add_row("not finished" if end == "unfinished" else end, f"{ends[end]:,}")
    table.add_row("spent", _spent(report))
    if report.held_usd:
        table.add_row("held", dollars(report.held_usd))
    if report.in_doubt_usd:
        table.add_row("in doubt", Text(dollars(report.in_doubt_usd), style="magenta"))
    table.add_row("per accepted picture", dollars(report.avg_cost_per_image_usd))
    table.add_row("per call", dollars(report.usd_per_call))
    table.add_row("wall time", duration_text(report.wall_s))
    return Group(Text(outcome(report), style="bold"), table)


def progress_view(progress: Progress) -> RenderableType:
    """Progress of a batch: a bar per state, then money, rate and time left on one line.

    Plain text where the output is not a terminal, so that logs do not fill with bars.
    """
    return _ProgressView(progress)


class _ProgressView:
    """Chooses between bars and plain text when it is rendered, because only then the console is known."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not console.is_terminal:
            yield Text(_plain(self._progress))
            return
        yield Text.assemble((self._progress.name, "bold"), ("  " + _finished(self._progress), "dim"))
        yield _bars(self._progress, width=max(10, min(48, options.max_width - 26)))
        yield Text(_figures(self._progress), style="dim")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(40, options.max_width), options.max_width)


def _bars(progress: Progress, *, width: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=10)
    table.add_column(width=width)
    table.add_column(justify="right", min_width=9)
    for state, colour in _STATES.items():
        number = progress.counts.get(state, 0)
        if number or state in _ALWAYS:
            bar = Bar(max(progress.total, 1), 0, number, width=width, color=colour, bgcolor="default")
            label = Text(state.value.replace("_", " "), style="" if number else "dim")
            table.add_row(label, bar, Text(f"{number:,}", style=colour if number else "dim"))
    return table


def _plain(progress: Progress) -> str:
    counts = [
        f"{progress.counts[state]:,} {state.value.replace('_', ' ')}" for state in _STATES if progress.counts.get(state)
    ]
    return f"{progress.name}: {_finished(progress)} ({', '.join(counts) or 'nothing yet'}); {_figures(progress)}"


def _finished(progress: Progress) -> str:
    final = sum(number for state, number in progress.counts.items() if end_of(GenerationState(state)) != "unfinished")
    return f"{final:,} of {progress.total:,} final"


def _figures(progress: Progress) -> str:
    limit = "" if progress.limit_usd is None else f" of {dollars(progress.limit_usd)}"
    parts = [f"{dollars(progress.charged_usd)}{limit} spent"]
    if progress.held_usd:
        parts.append(f"{dollars(progress.held_usd)} held")
    if progress.in_doubt_usd:
        parts.append(f"{dollars(progress.in_doubt_usd)} in doubt")
    parts.append(f"{progress.rate_per_minute:.0f} a minute")
    if progress.eta_s is not None:
        parts.append(f"{duration_text(progress.eta_s)} left")
    return ", ".join(parts)


def _counted(number: int, style: str) -> Text:
    return Text(f"{number:,}", style=style if number else "dim")


def _spent(report: Report) -> str:
    return dollars(report.charged_usd) + ("" if report.limit_usd is None else f" of {dollars(report.limit_usd)}")
