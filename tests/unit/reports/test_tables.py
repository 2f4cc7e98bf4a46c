"""What the terminal says."""

import io
from collections.abc import Callable
from decimal import Decimal

from rich.console import Console, RenderableType

from domain.states import GenerationState
from reports.records import Progress, Report
from reports.tables import end_table, progress_view

PROGRESS = Progress(
    name="lulu [bold]pig",
    total=28,
    counts={"queued": 5, "in_doubt": 1, "completed": 20, "rejected": 2},
    charged_usd=Decimal("1.20"),
    held_usd=Decimal("0.40"),
    limit_usd=Decimal("5.00"),
    rate_per_minute=14.2,
    eta_s=52,
)


def printed(thing: RenderableType, *, terminal: bool, width: int = 80) -> str:
    file = io.StringIO()
    Console(file=file, force_terminal=terminal, width=width, color_system=None, legacy_windows=False).print(thing)
    return file.getvalue()


def test_the_end_of_a_run_is_a_sentence_and_its_figures(report: Callable[..., Report]) -> None:
    said = printed(end_table(report()), terminal=False)
    for words in ("2 of 6", "rejected", "$0.16 of $5.00", "$0.08", "1 min 42 s", "not finished"):
        assert words in said


def test_progress_in_a_terminal_has_a_bar_for_each_state_that_has_any() -> None:
    said = printed(progress_view(PROGRESS), terminal=True)
    lines = said.splitlines()
    assert lines[0].startswith("lulu [bold]pig")
    assert any(line.startswith("in doubt") and line.rstrip().endswith("1") for line in lines)
    assert "█" in said
    assert "$1.20 of $5.00 spent, $0.40 held, 14 a minute, 52 s left" in said


def test_progress_outside_a_terminal_is_plain_words() -> None:
    said = printed(progress_view(PROGRESS), terminal=False, width=300)
    assert said == (
        "lulu [bold]pig: 22 of 28 final (5 queued, 1 in doubt, 20 completed, 2 rejected); "
        "$1.20 of $5.00 spent, $0.40 held, 14 a minute, 52 s left\n"
    )


def test_progress_fits_a_narrow_terminal() -> None:
    counts = {state.value: 1_000_000 for state in GenerationState}
    busy = Progress(name="n", total=12_000_000, counts=counts, charged_usd=Decimal(0))
    for width in (30, 40, 80, 200):
        assert max(map(len, printed(progress_view(busy), terminal=True, width=width).splitlines())) <= width


def test_an_empty_batch_has_a_view() -> None:
    nothing = Progress(name="empty", total=0, counts={}, charged_usd=Decimal(0))
    assert "0 of 0 final" in printed(progress_view(nothing), terminal=True)
    assert "nothing yet" in printed(progress_view(nothing), terminal=False)
