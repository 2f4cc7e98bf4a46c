"""Watching a batch on a terminal, where bars move while other things are said."""

import csv
import io
from pathlib import Path

from rich.console import Console

from cli.batches.watch import Watch
from cli.batches.watch_screen import watch_batches
from cli.terminal import Terminal
from pipeline.operator import batch_control
from tests.support.books import USER
from tests.support.steps import StepRunner


def _watched(runner: StepRunner, *, errors_seen: bool) -> tuple[str, str]:
    """What a watch over a canceled batch writes to both outputs, with a note while the bars are there and one after."""
    written = runner.enqueue("a pig")
    batch_control.cancel(runner.resources, written.batch_id)
    terminal = Terminal()
    out, err = io.StringIO(), io.StringIO()
    terminal.out = Console(file=out, force_terminal=True, width=80)
    terminal.err = Console(file=err, force_terminal=errors_seen, width=80)
    watch = Watch(runner.resources, written.batch_id, terminal, tend=lambda: terminal.note("worker gpu ended"))
    watch_batches(runner.resources, [watch], terminal, user=USER)
    terminal.note("report: report.html")
    return out.getvalue(), err.getvalue()


def test_a_note_beside_moving_bars_goes_through_their_console(runner: StepRunner) -> None:
    screen, errors = _watched(runner, errors_seen=True)
    assert "worker gpu ended\n" in screen
    assert errors == "report: report.html\n", "only what is said when the bars are gone"


def test_a_note_beside_moving_bars_stays_in_the_log_where_standard_error_is_one(runner: StepRunner) -> None:
    screen, errors = _watched(runner, errors_seen=False)
    assert "worker" not in screen
    assert errors == "worker gpu ended\nreport: report.html\n"


def test_a_watch_that_brings_no_workers_says_so_at_once(runner: StepRunner) -> None:
    written = runner.enqueue("a pig")
    batch_control.cancel(runner.resources, written.batch_id)
    terminal = Terminal()
    terminal.err = Console(file=(err := io.StringIO()), width=400)
    watch = Watch(runner.resources, written.batch_id, terminal, tend=lambda: None, brings_workers=False)
    watch_batches(runner.resources, [watch], terminal, user=USER)
    first = err.getvalue().splitlines()[0]
    assert first.startswith("no tick has come ever")
    assert "this command brings none, since DATABASE_URL is set; start them with `likeness up`" in first


def test_the_log_has_a_line_as_soon_as_a_generation_is_final(runner: StepRunner, tmp_path: Path) -> None:
    first, second = tmp_path / "reports" / "log.csv", tmp_path / "again.csv"
    written = runner.enqueue("a pig", "=cmd()", "a cow")
    watch = Watch(runner.resources, written.batch_id, Terminal(), tend=lambda: None, log=first)
    seen: list[int] = []

    def lines() -> list[str]:
        with first.open(encoding="utf-8", newline="") as file:
            return [row["prompt"] for row in csv.DictReader(file)]

    for attempt_id in runner.sent.take("submit"):
        assert runner.submit(attempt_id) is None
        runner.until_made(attempt_id)
        assert runner.collect(attempt_id) is None
        watch.look()
        seen.append(len(lines()))
    assert seen == [1, 2, 3], "not at the end only"
    watch.look()
    assert len(lines()) == 3, "each once"
    later = Watch(runner.resources, written.batch_id, Terminal(), tend=lambda: None, log=second)
    watch_batches(runner.resources, [later], Terminal(), user=USER)
    assert second.read_bytes() == first.read_bytes(), "who watches later has the same log"


def test_an_overdue_job_is_named_once_with_its_age_and_what_can_be_done(runner: StepRunner) -> None:
    attempt_id = runner.generating()
    runner.books.sql(
        "UPDATE attempts SET accepted_at = now() - interval '9 minutes', deadline_at = now() - interval '1 second'"
        " WHERE id = :id",
        id=attempt_id,
    )
    terminal = Terminal()
    terminal.err = Console(file=(err := io.StringIO()), width=400)
    watch = Watch(runner.resources, runner.batch_of(attempt_id), terminal, tend=lambda: None)
    for _ in range(2):
        assert watch.look() is not None
    (said,) = err.getvalue().splitlines()
    assert "is overdue" in said
    assert "9 min" in said
    assert "`likeness cancel` its batch" in said
