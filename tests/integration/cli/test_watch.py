"""Watching a batch on a terminal, where bars move while other things are said."""

import io

from rich.console import Console

from cli.batches.watch import Watch
from cli.terminal import Terminal
from pipeline.operator import batch_control
from tests.support.steps import Bench


def _watched(bench: Bench, *, errors_seen: bool) -> tuple[str, str]:
    """What a watch over a canceled batch writes to both outputs, with a note while the bars are there and one after."""
    written = bench.enqueue("a pig")
    batch_control.cancel(bench.resources, written.batch_id)
    terminal = Terminal()
    out, err = io.StringIO(), io.StringIO()
    terminal.out = Console(file=out, force_terminal=True, width=80)
    terminal.err = Console(file=err, force_terminal=errors_seen, width=80)
    watch = Watch(bench.resources, written.batch_id, terminal, tend=lambda: terminal.note("worker gpu ended"))
    watch.until_over()
    terminal.note("report: report.html")
    return out.getvalue(), err.getvalue()


def test_a_note_beside_moving_bars_goes_through_their_console(bench: Bench) -> None:
    screen, errors = _watched(bench, errors_seen=True)
    assert "worker gpu ended\n" in screen
    assert errors == "report: report.html\n", "only what is said when the bars are gone"


def test_a_note_beside_moving_bars_stays_in_the_log_where_standard_error_is_one(bench: Bench) -> None:
    screen, errors = _watched(bench, errors_seen=False)
    assert "worker" not in screen
    assert errors == "worker gpu ended\nreport: report.html\n"


def test_a_watch_that_brings_no_workers_says_so_at_once(bench: Bench) -> None:
    written = bench.enqueue("a pig")
    batch_control.cancel(bench.resources, written.batch_id)
    terminal = Terminal()
    terminal.err = Console(file=(err := io.StringIO()), width=400)
    Watch(bench.resources, written.batch_id, terminal, tend=lambda: None, brings_workers=False).until_over()
    first = err.getvalue().splitlines()[0]
    assert first.startswith("no tick has come ever")
    assert "this command brings none, since DATABASE_URL is set; start them with `likeness up`" in first
